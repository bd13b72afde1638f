"""What a state is worth, and who says so: the domain (an exact oracle, a heuristic), playouts, or any callable.

A value names the calls that it needs and folds their answers, so that those of many states go out in one batch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from tracemill.tasks.domains.base import Domain, Draw, Rollout
from tracemill.tasks.search.drive import Call


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value, what it cost, and for playouts how many there were and how many ended in a goal."""

    value: float
    tokens: int = 0
    rollouts: int | None = None
    correct: int | None = None


class Value(Protocol):
    """``source`` is what ``nodes.value_source`` says. ``calls_each`` calls are made for a state; ``costs`` says whether they
    are rollouts, which have a price in tokens; ``ends`` whether ends are valued too, instead of by their reward.
    """

    @property
    def source(self) -> str: ...

    @property
    def calls_each(self) -> int: ...

    @property
    def costs(self) -> bool: ...

    @property
    def ends(self) -> bool: ...

    def call(self, domain: Domain[Any], state: Any, draw: Draw) -> Call: ...

    def fold(self, answers: Sequence[Any]) -> Estimate: ...


@dataclass(frozen=True, slots=True)
class Own:
    """The domain's own value."""

    source: str = "domain"
    ends: bool = False
    calls_each: int = 1
    costs: bool = False

    def call(self, domain: Domain[Any], state: Any, draw: Draw) -> Call:
        return domain.value, (state, draw)

    def fold(self, answers: Sequence[Any]) -> Estimate:
        return Estimate(answers[0])


@dataclass(frozen=True, slots=True)
class MonteCarlo:
    """The mean reward of ``k`` playouts (Math-Shepherd, arXiv 2312.08935, soft label)."""

    k: int = 8
    source: str = "monte_carlo"
    costs: bool = True
    ends: bool = False

    @property
    def calls_each(self) -> int:
        return self.k

    def call(self, domain: Domain[Any], state: Any, draw: Draw) -> Call:
        return domain.rollout, (state, draw)

    def fold(self, answers: Sequence[Rollout]) -> Estimate:
        played = answered(answers)
        goals = sum(answer.reward >= 1.0 for answer in played)
        return Estimate(mean_reward(played), sum(answer.tokens for answer in answers), len(played), goals)


@dataclass(frozen=True, slots=True)
class Votes(MonteCarlo):
    """The mean of ``k`` votes of a model on its own steps by ``domain.vote``, each in [0, 1] and with a price in tokens (Tree of
    Thoughts, arXiv 2305.10601).
    """

    k: int = 3
    source: str = "votes"

    def call(self, domain: Any, state: Any, draw: Draw) -> Call:
        return domain.vote, (state, draw)

    def fold(self, answers: Sequence[Rollout]) -> Estimate:
        found = MonteCarlo.fold(self, answers)
        return Estimate(found.value, found.tokens)


def answered(answers: Sequence[Rollout]) -> list[Rollout]:
    """Those that were played at all: a request that failed, or an end that could not be checked, counts on neither side."""
    return [answer for answer in answers if not math.isnan(answer.reward)]


def mean_reward(answers: Sequence[Rollout]) -> float:
    """The mean reward, 0 of none."""
    return math.fsum(answer.reward for answer in answers) / len(answers) if answers else 0.0


@dataclass(frozen=True, slots=True)
class Reward:
    """Any callable of a state, a reward verifier for one; it may answer with an awaitable."""

    of: Callable[[Any], Any]
    source: str = "reward"
    ends: bool = False
    calls_each: int = 1
    costs: bool = False

    def call(self, domain: Domain[Any], state: Any, draw: Draw) -> Call:
        return self.of, (state,)

    def fold(self, answers: Sequence[Any]) -> Estimate:
        return Estimate(float(answers[0]))


@dataclass(frozen=True, slots=True)
class Squashed:
    """Another value in (0, 1]: exp((v - 1) / scale), for a search whose values must be bounded (MCTS) where 1 is the best."""

    value: Own | Reward = Own()
    scale: float = 1.0

    @property
    def source(self) -> str:
        return self.value.source

    @property
    def calls_each(self) -> int:
        return self.value.calls_each

    @property
    def costs(self) -> bool:
        return self.value.costs

    @property
    def ends(self) -> bool:
        return self.value.ends

    def call(self, domain: Domain[Any], state: Any, draw: Draw) -> Call:
        return self.value.call(domain, state, draw)

    def fold(self, answers: Sequence[Any]) -> Estimate:
        found = self.value.fold(answers)
        return Estimate(math.exp(min(0.0, (found.value - 1.0) / self.scale)), found.tokens)
