"""What an engine is: something that completes one request at a time, many at once, for one policy.

A failure of one prompt is a completion with ``error`` set and never raises; only a failure of the engine as a whole
(down, refusing, answering garbage) raises ``EngineError``. One request gives one completion on the wire.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from types import TracebackType
from typing import Any, Literal, Protocol, Self

from tracemill.schemas import ids
from tracemill.schemas.errors import UsageError
from tracemill.schemas.records import Policy, Problem

Route = Literal["chat", "completion", "pooling", "scoring"]
Message = Mapping[str, str]  # {"role": ..., "content": ...}


@dataclass(frozen=True, slots=True)
class Sampling:
    """Sampling parameters of a request; None leaves a parameter to the server's default.

    ``max_tokens`` is tunable and not a part of any identity. ``logprobs`` asks for the log-probability of each chosen token,
    ``confidence`` for that of so many candidates in each place, of which only the token's confidence is kept.
    """

    temperature: float = 0.8
    top_p: float = 1.0
    top_k: int | None = None
    min_p: float | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    stop: tuple[str, ...] = ()
    logprobs: bool = False
    confidence: int = 0
    seed: int = 0  # the base seed; each draw's own seed is derived from it
    max_tokens: int = 2048

    def identity(self) -> dict[str, Any]:
        """Everything but ``max_tokens``, as plain JSON values; ``confidence`` where it is asked for."""
        more = {"confidence": self.confidence} if self.confidence else {}
        return {
            "temperature": self.temperature,
            "top_p": self.top_p,
            "top_k": self.top_k,
            "min_p": self.min_p,
            "presence_penalty": self.presence_penalty,
            "frequency_penalty": self.frequency_penalty,
            "stop": list(self.stop),
            "logprobs": self.logprobs,
            "seed": self.seed,
            **more,
        }

    @property
    def sampling_id(self) -> str:
        return _sampling_id(self)


@lru_cache(maxsize=1024)
def _sampling_id(sampling: Sampling) -> str:
    return ids.sampling_id(sampling.identity())


@dataclass(frozen=True, slots=True)
class Request:
    """One model call. ``messages`` on the chat route, ``prompt`` on the completion route, either on the pooling route, which
    gives scores instead of text (as JSON in ``Completion.text``) for the pooling ``task``. ``tokens`` on the scoring route:
    the log-probability (natural logarithm) of each but the first, given those before it, as JSON in ``Completion.text``
    (only where ``Capabilities.prompt_logprobs``).

    ``prefix`` is text of the assistant's turn that is already there: the engine continues it and returns only what
    follows (only where ``Capabilities.continue_prefix``). ``problem`` is for in-process engines and never leaves the process.
    """

    attempt_id: str
    route: Route
    sampling: Sampling
    seed: int
    draw: int = 0
    messages: tuple[Message, ...] = ()
    prompt: str = ""
    prefix: str = ""
    top_logprobs: int = 0
    task: str = ""
    tokens: tuple[int, ...] = ()
    template_id: str | None = None
    problem: Problem | None = field(default=None, compare=False, repr=False)

    @property
    def content(self) -> Any:
        """The prompt as it is hashed: messages as plain dicts, the text, or the token ids."""
        if self.route == "scoring":
            return list(self.tokens)
        return [dict(m) for m in self.messages] if self.messages or self.route == "chat" else self.prompt

    @property
    def prompt_hash(self) -> str:
        return ids.digest("h", self.route, self.content)[2:]

    def key(self, policy_id: str) -> str:
        """The request key: what was paid for, whatever the token limit; ``prefix`` is a continuation of the same call."""
        return ids.request_key(policy_id, self.route, self.content, self.sampling.identity(), self.seed, self.draw)


@dataclass(frozen=True, slots=True)
class Completion:
    """What came back. ``text`` is the whole raw turn, a think block included (a server's separate ``reasoning_content`` is
    put back as ``<think>...</think>``); ``prefix`` is not repeated in it. Token counts are None where the server does not say.
    ``top`` has the log-probabilities in the place of the first token, where asked for and given; ``confidence`` has a number a
    token, the negative mean log-probability of its ``Sampling.confidence`` likeliest candidates. ``refused``: the error is the
    server's answer to this prompt (it does not fit, say), not a failure of the server.
    """

    text: str
    finish_reason: str
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    cached_tokens: int | None = None
    reasoning_tokens: int | None = None
    logprob_sum: float | None = None
    logprob_min: float | None = None
    cost_usd: float | None = None
    latency_ms: float | None = None
    replica: str | None = None
    retries: int = 0
    error: str | None = None
    top: Mapping[str, float] | None = None
    refused: bool = False
    confidence: tuple[float, ...] | None = None


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a server can do beyond plain sampling."""

    continue_prefix: bool = False
    prompt_logprobs: bool = False
    batch_invariant_seed: bool = False
    token_ids: bool = False


def cannot_score(engine: str, where: str = "engine") -> UsageError:
    """The refusal of the scoring route by ``engine``, which has no ``Capabilities.prompt_logprobs``."""
    return UsageError(
        f"the {engine} engine gives no log-probabilities of a text that it is given",
        where=where,
        mend="name one that does: vllm, or openai with the address of a vLLM server",
    )


@dataclass(slots=True)
class EngineStats:
    """Counters for the live panel; read at any time."""

    in_flight: int = 0
    limit: int = 0  # the adaptive concurrency limit
    requests: int = 0
    retries: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost_usd: float = 0.0


class Engine(Protocol):
    """``async with engine:`` starts it, waits until it is ready, and tears it down; ``policy`` is known before that."""

    name: str
    policy: Policy
    capabilities: Capabilities
    stats: EngineStats

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    async def complete(self, request: Request) -> Completion: ...
