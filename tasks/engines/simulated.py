"""A policy with known behaviour, in process: every method can be tested against a closed form.

What must stay true: a text depends on the seed and the prompt alone (and on the problem's gold answer), so continuing any
prefix of it gives the rest of it; the final answer is right with exactly the problem's success probability, whatever the
other settings; whether a step is right can be read off the text.

A text is ``steps`` steps of one sum each, then a boxed answer. Its state is *sound* or *astray*: each step goes astray with
probability ``step_error``, and is mended with probability ``self_correction``. The walk is conditioned on its outcome
(Doob's h-transform), which is drawn first with the success probability; so ``value`` of a prefix is exact too.
Sources: algorithms.md §B3 (Beta difficulty), §E (simulated policy).
"""

from __future__ import annotations

import asyncio
import hashlib
import random
import struct
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Final, Self

from tracemill.schemas import ids
from tracemill.schemas.enums import FinishReason
from tracemill.schemas.errors import UsageError, did_you_mean
from tracemill.schemas.ids import canonical_json
from tracemill.schemas.recipe import EngineSpec
from tracemill.schemas.records import Policy, Problem
from tracemill.tasks.engines.base import Capabilities, Completion, EngineStats, Request
from tracemill.tasks.engines.simulated_text import Walk, confidences, filler, is_sound, pool, wrong_answers

VERSION: Final = "1"
CHARACTERS_PER_TOKEN: Final = 4

#: The settings, with their defaults. ``success`` below 0 means: drawn per problem from Beta(alpha, beta).
DEFAULTS: Final[Mapping[str, float]] = {
    "success": -1.0,  # probability that the final answer is right, the same for every problem
    "alpha": 0.3,  # of the Beta distribution of problem difficulty
    "beta": 1.2,
    "steps": 8,  # steps per text
    "step_error": 0.1,  # probability that a sound text goes astray at a step
    "self_correction": 0.2,  # probability that a text gone astray is mended at a step
    "wrong_answers": 4,  # how many different wrong answers there are
    "wrong_spread": 0.5,  # each wrong answer is so much less likely than the one before (1: all alike)
    "text_bytes": 600,  # about how long a text is
    "latency": 0.0,  # seconds per completion
}
_BOUNDS: Final[Mapping[str, tuple[float, float]]] = {
    "success": (0, 1),
    "alpha": (1e-3, 1e3),
    "beta": (1e-3, 1e3),
    "steps": (1, 200),
    "step_error": (1e-6, 1 - 1e-6),
    "self_correction": (0, 1 - 1e-6),
    "wrong_answers": (1, 1000),
    "wrong_spread": (1e-3, 1),
    "text_bytes": (0, 10_000_000),
    "latency": (0, 3600),
}


#: Log-probabilities of tokens on the scoring route.
SEEN: Final = -0.25
NEW: Final = -3.0


class SimulatedEngine:
    """``spec.simulation`` holds the settings of ``DEFAULTS``; another key or a value out of bounds is a ``UsageError``.

    ``request.problem`` gives the gold answer and the difficulty; without one the answer is 0 and the prompt decides. One
    token is four characters. Log-probabilities are made up: -0.2 a token in a right text, -0.4 in a wrong one; so are
    confidences, which fall with each step that a text is astray. Of tokens that it is given it expects what was there before:
    ``SEEN`` for a token that stands before in the text, ``NEW`` for another.
    """

    name = "simulated"

    def __init__(self, spec: EngineSpec) -> None:
        given = dict(spec.simulation)
        _check(given)
        settings = {**DEFAULTS, **given}
        self.settings: Mapping[str, float] = settings
        self.policy = Policy(
            model=spec.model or "simulated",
            engine="simulated",
            revision=ids.digest("sim", settings),
            engine_version=VERSION,
            licence=spec.licence,
        )
        self.capabilities = Capabilities(continue_prefix=True, batch_invariant_seed=True, prompt_logprobs=True)
        self.stats = EngineStats(limit=spec.concurrency)
        self._slots = asyncio.Semaphore(spec.concurrency)
        self._walk = Walk(int(settings["steps"]), settings["step_error"], settings["self_correction"])
        share = max(0, int(settings["text_bytes"]) // self._walk.steps - 55)
        self._pool, self._ends = pool(share)
        self._share = share
        self._draws = struct.Struct(f"<{4 * self._walk.steps + 4}I")
        weights = [settings["wrong_spread"] ** j for j in range(int(settings["wrong_answers"]))]
        total = sum(weights)
        self._wrong_cdf = [sum(weights[: j + 1]) / total for j in range(len(weights) - 1)]
        self._prices = (spec.price_in, spec.price_out)
        self._success: dict[str, float] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    def success(self, problem: Problem) -> float:
        """The probability that a completion of ``problem`` ends in its gold answer."""
        return self._success_of(problem.problem_id)

    def value(self, problem: Problem, prefix: str) -> float:
        """The probability that a fresh continuation of ``prefix``, which ends at a step's end, ends in the gold answer."""
        done, sound = is_sound(prefix)
        return self._walk.value(self.success(problem), done, sound)

    async def complete(self, request: Request) -> Completion:
        stats = self.stats
        stats.requests += 1
        latency = self.settings["latency"]
        if latency > 0:
            async with self._slots:
                stats.in_flight += 1
                try:
                    await asyncio.sleep(latency)
                finally:
                    stats.in_flight -= 1
        completion = self._answer(request, latency * 1000.0)
        stats.prompt_tokens += completion.prompt_tokens or 0
        stats.completion_tokens += completion.completion_tokens or 0
        stats.cost_usd += completion.cost_usd or 0.0
        return completion

    def _answer(self, request: Request, latency_ms: float) -> Completion:
        if request.route == "scoring":
            return Completion(
                text=canonical_json(logprobs_of(request.tokens)),
                finish_reason=FinishReason.STOP.value,
                prompt_tokens=len(request.tokens),
                completion_tokens=0,
                cost_usd=len(request.tokens) * self._prices[0] / 1e6 if any(self._prices) else None,
                latency_ms=latency_ms,
            )
        asked = request.prompt if request.route == "completion" else _joined(request)
        problem = request.problem
        key = asked if problem is None else problem.problem_id
        success, prefix = self._success_of(key), request.prefix
        text, right = self._text(f"{request.seed}\0{asked}", problem, success, 0, True)
        if not prefix:
            rest = text
        elif text.startswith(prefix):
            rest = text[len(prefix) :]
        else:  # somebody else's beginning: go on from the state that it is in
            done, sound = is_sound(prefix)
            rest, right = self._text(f"{request.seed}\0{prefix}\0{asked}", problem, success, done, sound)
            if not prefix.endswith("\n\n"):  # cut inside a step, which is left as it is
                rest = "\n\n" + rest
        rest, finish = _limited(rest, request)
        tokens = -(-len(rest) // CHARACTERS_PER_TOKEN)
        prompt_tokens = -(-(len(asked) + len(prefix)) // CHARACTERS_PER_TOKEN)
        each = -0.2 if right else -0.4
        priced = any(self._prices)
        return Completion(
            text=rest,
            finish_reason=finish,
            prompt_tokens=prompt_tokens,
            completion_tokens=tokens,
            logprob_sum=each * tokens if request.sampling.logprobs else None,
            logprob_min=8 * each if request.sampling.logprobs and tokens else None,
            cost_usd=(prompt_tokens * self._prices[0] + tokens * self._prices[1]) / 1e6 if priced else None,
            latency_ms=latency_ms,
            confidence=confidences(prefix, rest, CHARACTERS_PER_TOKEN) if request.sampling.confidence else None,
        )

    def _text(self, key: str, problem: Problem | None, success: float, done: int, sound: bool) -> tuple[str, bool]:
        """The text from step ``done`` on, and whether its answer is right; drawn from the bytes of one hash of ``key``."""
        data = hashlib.shake_128(key.encode("utf-8", "surrogatepass")).digest(self._draws.size)
        draws = self._draws.unpack(data)
        walk, share = self._walk, self._share
        right = draws[0] < walk.value(success, done, sound) * 4294967296.0
        parts = []
        at = 4
        for step in range(done, walk.steps):
            chance, a, b, where = draws[at : at + 4]
            at += 4
            a, b, mended = 10 + a % 990, 10 + b % 990, False
            if chance < walk.turn(right, step, sound) * 4294967296.0:
                sound = not sound
                mended, shown = sound, a + b + (0 if sound else 1 + where % 9)
            else:
                shown = a + b
            head = f"Wait, that was wrong. Step {step + 1}" if mended else f"Step {step + 1}"
            parts.append(f"{head}: {a} + {b} = {shown}. {filler(self._pool, self._ends, share, where)}")
        parts.append(f"The final answer is \\boxed{{{self._final(problem, right, draws[1])}}}.")
        return "\n\n".join(parts), right

    def _final(self, problem: Problem | None, right: bool, draw: int) -> str:
        gold = "0" if problem is None or problem.gold is None else problem.gold
        if right:
            return gold
        which = bisect_right(self._wrong_cdf, draw / 4294967296.0)
        return wrong_answers(gold, which, len(problem.choices) if problem is not None and problem.choices else 0)

    def _success_of(self, key: str) -> float:
        fixed = self.settings["success"]
        if fixed >= 0:
            return fixed
        found = self._success.get(key)
        if found is None:
            seed = int.from_bytes(hashlib.blake2b(key.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big")
            found = random.Random(seed).betavariate(self.settings["alpha"], self.settings["beta"])
            self._success[key] = found
        return found


def logprobs_of(tokens: Sequence[int]) -> list[float]:
    """Of each token but the first: ``SEEN`` or ``NEW``."""
    seen, values = set(tokens[:1]), []
    for token in tokens[1:]:
        values.append(SEEN if token in seen else NEW)
        seen.add(token)
    return values


def _joined(request: Request) -> str:
    return "\0".join([f"{message['role']}\0{message['content']}" for message in request.messages])


def _limited(text: str, request: Request) -> tuple[str, str]:
    """``text`` cut at the first stop string and at the token limit, and why it ends."""
    for stop in request.sampling.stop:
        end = text.find(stop)
        if end >= 0:
            text = text[:end]
    most = request.sampling.max_tokens * CHARACTERS_PER_TOKEN
    if len(text) > most:
        return text[:most], FinishReason.LENGTH.value
    return text, FinishReason.STOP.value


def _check(given: Mapping[str, float]) -> None:
    for key, value in given.items():
        where = f"engine.simulation.{key}"
        if key not in DEFAULTS:
            hint = did_you_mean(key, DEFAULTS)
            raise UsageError("unknown key", where=where, mend=f"{hint}known: {', '.join(sorted(DEFAULTS))}")
        low, high = _BOUNDS[key]
        if not low <= value <= high:
            raise UsageError(f"{value:g} is out of bounds", where=where, mend=f"use a value from {low:g} to {high:g}")
        if key in ("steps", "wrong_answers") and value != int(value):
            raise UsageError(f"{value:g} is not a whole number", where=where, mend=f"use {int(value)}")
