"""Fresh continuations of a prefix by an engine, each verified: the estimates that Monte-Carlo labels are made of.

What must stay true: a prefix is estimated once, whoever asks; every request is a pure function of the problem, the prefix
and the draw, so a run that is killed asks for the same again; a continuation that was cut is wrong, one that failed counts
for nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Protocol

from tracemill.schemas import ids
from tracemill.schemas.enums import FinishReason
from tracemill.schemas.errors import EngineError, UsageError
from tracemill.schemas.records import Problem
from tracemill.tasks.engines.base import Capabilities, Completion, Request
from tracemill.tasks.steps.monte_carlo import Count

#: Whether a whole response is right; None where nobody can say.
Verify = Callable[[str], Awaitable[bool | None]]


class Completer(Protocol):
    """What rollouts need of an engine."""

    @property
    def name(self) -> str: ...

    @property
    def capabilities(self) -> Capabilities: ...

    async def complete(self, request: Request) -> Completion: ...


class RolloutsFailed(EngineError):
    """Not one continuation of a prefix came to an end that could be verified."""


class Rollouts:
    """Estimates of the prefixes of one problem. ``asked`` counts requests, ``estimates`` the prefixes.

    ``request`` holds the prompt and the sampling; its prefix is what stands before every prefix, its seed and draw are
    replaced.
    """

    def __init__(
        self, engine: Completer, problem: Problem, request: Request, verify: Verify, k: int, seed: int = 0
    ) -> None:
        if not engine.capabilities.continue_prefix:
            raise UsageError(
                f"{engine.name} cannot continue a text, which rollouts need", mend="use an engine that can: vllm, local"
            )
        self._engine, self._problem, self._request = engine, problem, request
        self._verify, self._k, self._seed = verify, k, seed
        self._known: dict[str, Count] = {}
        self.asked = 0

    @property
    def estimates(self) -> int:
        return len(self._known)

    async def estimate(self, prefix: str) -> Count:
        """k continuations of ``prefix``, sent together. Raises ``RolloutsFailed`` where every one of them failed."""
        if prefix not in self._known:
            ended = await asyncio.gather(*(self._one(prefix, draw) for draw in range(self._k)))
            graded = [right for right in ended if right is not None]
            if not graded:
                raise RolloutsFailed("every rollout of a prefix failed", where=self._problem.problem_id)
            self._known[prefix] = Count(sum(graded), len(graded))
        return self._known[prefix]

    async def _one(self, prefix: str, draw: int) -> bool | None:
        path = f"{self._problem.problem_id}/{ids.text_hash(prefix)}"
        seed = ids.derive_seed(self._seed, path, draw)
        completion = await self._engine.complete(
            replace(self._request, prefix=self._request.prefix + prefix, seed=seed, draw=draw, problem=self._problem)
        )
        self.asked += 1
        if completion.error is not None:
            return None
        if completion.finish_reason == FinishReason.LENGTH.value:
            return False
        return await self._verify(prefix + completion.text)
