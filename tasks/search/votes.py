"""Self-evaluation as a value: the mean of several votes of the model on its own steps (Tree of Thoughts, arXiv 2305.10601)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tracemill.tasks.domains.base import Draw, Rollout
from tracemill.tasks.search.drive import Call
from tracemill.tasks.search.values import Estimate, answered, mean_reward


@dataclass(frozen=True, slots=True)
class Votes:
    """``n`` votes by ``domain.vote``, whose answers are in [0, 1]; each has a price in tokens."""

    n: int = 3
    source: str = "votes"
    costs: bool = True
    ends: bool = False

    @property
    def calls_each(self) -> int:
        return self.n

    def call(self, domain: Any, state: Any, draw: Draw) -> Call:
        return domain.vote, (state, draw)

    def fold(self, answers: Sequence[Rollout]) -> Estimate:
        return Estimate(mean_reward(answered(answers)), sum(answer.tokens for answer in answers))
