"""Solvable Countdown instances, and how Stream of Search searches each (algorithms §2.19).

Four inputs uniform in 1..99 and a target uniform in 10..100, drawn again until the target can be reached (14.5 % of random
instances are). One target in ten is held out. Instance ``i`` of a seed does not depend on how many are drawn.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Final, Literal

from tracemill.schemas.enums import Split
from tracemill.schemas.records import Problem
from tracemill.tasks.domains.countdown import State, solvable
from tracemill.tasks.search.rng import SplitMix, mix

LOWEST: Final = 10
LARGEST: Final = 100
INPUTS: Final = 4
#: Widths of the breadth-first searches of the mixture.
WIDTHS: Final = (1, 2, 3, 4, 5)


@dataclass(frozen=True, slots=True)
class Targets:
    """Targets to train on, and those held out, in the order in which they were drawn."""

    train: tuple[int, ...]
    held_out: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Mixed:
    """An instance and its search: ``width`` 0 is depth-first. ``seed`` is the tree's."""

    seed: int
    state: State
    heuristic: Literal["sum", "mult"]
    width: int


def split_targets(seed: int, lowest: int = LOWEST, largest: int = LARGEST) -> Targets:
    """One target in ten held out: the first of a shuffle by Python's own generator, so that the published split comes back."""
    targets = list(range(lowest, largest + 1))
    random.Random(seed).shuffle(targets)
    cut = len(targets) // 10
    return Targets(tuple(targets[cut:]), tuple(targets[:cut]))


def drawn(seed: int, index: int, targets: tuple[int, ...], inputs: int = INPUTS) -> Mixed:
    """Instance ``index`` of ``seed`` with the search that the mixture gives it: DFS or BFS, sum or mult, a width of 1 to 5."""
    own = mix(seed, index)
    rng = SplitMix(mix(own, 1))
    target = targets[rng.below(len(targets))]
    while True:
        numbers = tuple(1 + rng.below(LARGEST - 1) for _ in range(inputs))
        if solvable(tuple(sorted(numbers)), target):
            break
    heuristic: Literal["sum", "mult"] = "mult" if rng.below(2) else "sum"
    width = WIDTHS[rng.below(len(WIDTHS))] if rng.below(2) else 0
    return Mixed(own, State(target, numbers), heuristic, width)


def problem(state: State, index: int, split: str = Split.TRAIN.value, source: str = "countdown") -> Problem:
    """The problem that an instance is; every number is used once, and the answer is one expression."""
    numbers, target = [int(n) for n in state.numbers], int(state.target)
    return Problem(
        prompt=f"Combine the numbers {', '.join(map(str, numbers))} with + - * / and brackets so that the result is "
        f"{target}. Use every number exactly once. Give the expression as \\boxed{{...}}.",
        verifier="countdown",
        source=source,
        spec={"numbers": numbers, "target": target},
        domain=f"puzzle/{source}",
        source_row=f"{source}:{index}",
        licence="Apache-2.0",
        split=split,
    )
