"""Identity: every id is a pure function of what it names, stable across processes, key order and time.

H(kind, parts) is the first 128 bits of sha256 over the kind and the parts, each part written as canonical JSON with
its byte length before it, so that no two different lists of parts are hashed as the same bytes.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any, Final

Json = None | bool | int | float | str | list[Any] | tuple[Any, ...] | Mapping[str, Any]

#: Recipe-independent seeds fit a signed 32-bit integer, which every engine accepts.
SEED_BITS: Final = 31

_SPACE: Final = re.compile(r"\s+")
_ENCODER: Final = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def canonical_json(value: Json) -> str:
    """``value`` as JSON with sorted keys and no white space; equal values give equal text.

    Raises ValueError for NaN and infinities, TypeError for anything that JSON cannot hold.
    """
    return _ENCODER.encode(value)


def digest(kind: str, *parts: Json) -> str:
    """``kind`` + ``_`` + 32 hexadecimal digits that identify ``parts``."""
    sha = hashlib.sha256(kind.encode())
    for part in parts:
        data = canonical_json(part).encode("utf-8", "surrogatepass")
        sha.update(len(data).to_bytes(8, "big"))
        sha.update(data)
    return f"{kind}_{sha.hexdigest()[:32]}"


def normalise_prompt(prompt: str) -> str:
    """``prompt`` with runs of white space folded to one space: the text that identifies a problem."""
    return _SPACE.sub(" ", prompt).strip()


def text_hash(text: str) -> str:
    """32 hexadecimal digits that identify ``text`` alone."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def problem_id(prompt: str, verifier: str, spec: Mapping[str, Any]) -> str:
    """A problem is its prompt and how it is checked, without the gold answer: a new gold is a conflict, not a new problem."""
    return digest("p", normalise_prompt(prompt), verifier, {k: v for k, v in spec.items() if k != "gold"})


def policy_id(description: Mapping[str, Any]) -> str:
    """A model as served: model, revision, engine, engine version, dtype, chat-template hash."""
    return digest("m", description)


def template_id(template: Mapping[str, Any]) -> str:
    """A prompt template with everything that shapes the prompt."""
    return digest("f", template)


def sampling_id(sampling: Mapping[str, Any]) -> str:
    """Sampling parameters without ``max_tokens``: a longer limit continues the same attempt."""
    return digest("s", {k: v for k, v in sampling.items() if k != "max_tokens"})


def attempt_id(
    problem: str,
    policy: str,
    template: str,
    sampling: str,
    strategy: Mapping[str, Any],
    round_: int,
    path: str,
) -> str:
    """One attempt at one problem; ``path`` is its sample index (``"3"``) or place in a tree (``"3/0/2"``)."""
    return digest("a", problem, policy, template, sampling, strategy, round_, path)


def trace_id(attempt: str, text: str) -> str:
    """Equal texts of two attempts are two traces."""
    return digest("t", attempt, text)


def request_key(policy: str, route: str, prompt: Json, sampling: Mapping[str, Any], seed: int | None, draw: int) -> str:
    """A model call as it is paid for. ``prompt`` is messages, text or token ids; ``sampling`` goes without ``max_tokens``."""
    return digest("r", policy, route, prompt, {k: v for k, v in sampling.items() if k != "max_tokens"}, seed, draw)


def derive_seed(base: int, path: str, draw: int) -> int:
    """The seed of one draw of one attempt, in [0, 2**31)."""
    return int(digest("seed", base, path, draw)[5:13], 16) >> (32 - SEED_BITS)
