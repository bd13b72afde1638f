"""Small domains whose every tree can be worked out on paper."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from tracemill.schemas.records import Problem
from tracemill.tasks.domains.base import Draw, Rollout, Step
from tracemill.tasks.search.rng import SplitMix
from tracemill.tasks.search.tree import Plot


@dataclass(frozen=True)
class Digits:
    """Write ``length`` digits below ``base``; the goal is ``goal``. Each step costs what its digit says, plus one token."""

    goal: str = "12"
    base: int = 3
    price: int | None = None
    name: str = "digits"

    @property
    def step_tokens(self) -> int | None:
        return self.price

    @property
    def rollout_tokens(self) -> int | None:
        return None if self.price is None else self.price * len(self.goal)

    def initial(self, problem: Problem) -> str:
        return ""

    def expand(self, state: str, k: int | None, draw: Draw) -> Sequence[Step[str]]:
        digits = list(range(self.base))
        if k is not None:
            digits = SplitMix(draw.seed).sample(digits, k)
        most = draw.max_tokens if draw.max_tokens is not None else self.base
        return [
            Step(str(d), state + str(d), -float(d), min(d + 1, most) if self.price is not None else 0) for d in digits
        ]

    def terminal(self, state: str) -> float | None:
        return float(state == self.goal) if len(state) == len(self.goal) else None

    def value(self, state: str, draw: Draw) -> float:
        return sum(a == b for a, b in zip(state, self.goal, strict=False)) / len(self.goal)

    def rollout(self, state: str, draw: Draw) -> Rollout:
        rng, tokens = SplitMix(draw.seed), 0
        while len(state) < len(self.goal):
            if tokens == draw.max_tokens:
                return Rollout(0.0, tokens)
            state += str(rng.below(self.base))
            tokens += 1 if self.price is not None else 0
        return Rollout(float(state == self.goal), tokens)

    def key(self, state: str) -> str | None:
        return state

    def show(self, state: str) -> str:
        return state

    def read(self, text: str) -> str:
        return text


class Slow:
    """Any domain, answered through awaitables."""

    def __init__(self, domain: Any) -> None:
        self._domain = domain

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._domain, name)
        if name not in ("expand", "terminal", "value", "rollout"):
            return found

        async def answer(*arguments: Any) -> Any:
            return found(*arguments)

        return answer


@pytest.fixture
def digits() -> type[Digits]:
    return Digits


@pytest.fixture
def slow() -> type[Slow]:
    return Slow


@pytest.fixture
def plot() -> Plot:
    return Plot("p_1", "m_1", "test", {"k": 2}, 7)
