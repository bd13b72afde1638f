"""What the mining stage knows of one problem once its pairs are drawn: all that splices, preferences and turns are made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from tracemill.schemas import ids
from tracemill.tasks.steps.base import FirstError, Steps


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt with its text in steps."""

    steps: Steps
    policy_id: str
    round: int
    template_id: str | None

    @property
    def trace_id(self) -> str:
        return self.steps.trace_id

    @property
    def text(self) -> str:
        return self.steps.text

    def near(self, other: Attempt) -> bool:
        """Whether both are of one policy and at most one round apart."""
        return self.policy_id == other.policy_id and abs(self.round - other.round) <= 1


@dataclass(frozen=True, slots=True)
class Pair:
    """A wrong attempt and the right one drawn for it. ``ground`` steps of the wrong one are common to right attempts."""

    wrong: Attempt
    right: Attempt
    weight: float
    feedback: str
    error: FirstError | None
    ground: int = 0

    @property
    def on_policy(self) -> bool:
        return self.wrong.near(self.right)


@dataclass(frozen=True, slots=True)
class Drawn:
    """One problem: its pairs, best first, and some of its right attempts."""

    problem_id: str
    prompt: str
    gold: str | None
    split: str
    pairs: Sequence[Pair]
    rights: Sequence[Attempt]

    def rng(self, seed: int, *parts: str) -> Random:
        """Chance that depends on the problem, the seed and ``parts`` alone."""
        return Random(ids.digest("rng", self.problem_id, seed, list(parts)))
