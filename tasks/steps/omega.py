"""OmegaPRM (arXiv 2406.06592): many first-error searches over one problem, each begun where it pays most.

A state is a prefix with its MC estimate. The pool holds pairs of a state with 0 < MC < 1 and one of its wrong rollouts. The pair
with the largest Q + U is taken, Q = alpha^(1 - MC(s)) * beta^(len(r) / L) and U = c * sqrt(sum of N) / (1 + N(s)), and the first error of
its rollout is searched; every prefix on the way becomes a state with its own rollouts. What must stay true: a state's text
begins with its parent's; a taken pair never comes back; visit counts only grow; the budget of rollouts holds.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from tracemill.tasks.steps.monte_carlo import Count, Searched, first_wrong_step

ALPHA: Final = 0.5
BETA: Final = 0.9
LENGTH: Final = 500
C_PUCT: Final = 0.125


@dataclass(frozen=True, slots=True)
class Rolled:
    """What rolling out from a prefix gave: the count, and the wrong continuations as lists of steps."""

    count: Count
    wrong: tuple[tuple[str, ...], ...] = ()


#: Rolls out from a prefix, given as its steps.
RollOut = Callable[[tuple[str, ...]], Awaitable[Rolled]]


@dataclass(slots=True)
class State:
    steps: tuple[str, ...]
    count: Count
    parent: tuple[str, ...] | None = None
    visits: int = 0


@dataclass(slots=True)
class OmegaTree:
    """States by their steps, the pool, and what was found; grown by ``grow``."""

    roll_out: RollOut
    tokens: Callable[[str], int]
    states: dict[tuple[str, ...], State] = field(default_factory=dict)
    pool: list[tuple[tuple[str, ...], tuple[str, ...]]] = field(default_factory=list)
    taken: set[tuple[tuple[str, ...], tuple[str, ...]]] = field(default_factory=set)
    searches: list[Searched] = field(default_factory=list)
    rollouts: int = 0

    async def grow(self, searches: int, budget: int) -> None:
        """Up to ``searches`` searches while fewer than ``budget`` rollouts were made."""
        if () not in self.states:
            await self._visit((), None)
        for _ in range(searches):
            if not self.pool or self.rollouts >= budget:
                return
            state, rollout = self._take()
            self.states[state].visits += 1
            await self._search(state, rollout, budget)

    def score(self, state: tuple[str, ...], rollout: Sequence[str]) -> float:
        """Q + U of a pair."""
        held = self.states[state]
        length = sum(map(self.tokens, rollout))
        q = ALPHA ** (1 - held.count.value) * BETA ** (length / LENGTH)
        total = sum(self.states[other].visits for other in {pair[0] for pair in self.pool})
        return float(q + C_PUCT * math.sqrt(total) / (1 + held.visits))

    def _take(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        best = max(self.pool, key=lambda pair: (self.score(*pair), pair))
        self.pool.remove(best)
        self.taken.add(best)
        return best

    async def _search(self, state: tuple[str, ...], rollout: tuple[str, ...], budget: int) -> None:
        parents = {0: state}

        async def estimate(done: int) -> Count:
            prefix = state + rollout[:done]
            parent = parents[max(m for m in parents if m < done)]
            parents[done] = prefix
            return await self._visit(prefix, parent)

        if self.rollouts < budget and rollout:
            self.searches.append(await first_wrong_step(estimate, len(rollout)))

    async def _visit(self, steps: tuple[str, ...], parent: tuple[str, ...] | None) -> Count:
        held = self.states.get(steps)
        if held is None:
            rolled = await self.roll_out(steps)
            self.rollouts += rolled.count.k
            held = self.states[steps] = State(steps, rolled.count, parent)
            if 0 < rolled.count.value < 1:
                new = [(steps, wrong) for wrong in dict.fromkeys(rolled.wrong) if wrong]
                self.pool += [pair for pair in new if pair not in self.taken]
        return held.count
