"""Generated Countdown and Game of 24 problems, every one solvable (algorithms §2.19).

``options`` of ``countdown``: ``inputs`` (2 to 5 numbers, 4), ``targets`` (``train``, or ``held_out`` for the tenth of the targets
that no training instance has), ``target_seed`` (4, whose held-out targets are the published ones). ``game24`` has four
numbers of 1 to 13 and ``largest`` to change that. Instance ``i`` of a seed does not depend on ``size``.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from tracemill.schemas.enums import Split
from tracemill.schemas.errors import UsageError, did_you_mean
from tracemill.schemas.recipe import SourceSpec
from tracemill.schemas.records import Problem
from tracemill.tasks.domains.countdown import State, solvable
from tracemill.tasks.domains.countdown_instances import INPUTS, drawn, problem, split_targets
from tracemill.tasks.search.rng import SplitMix, mix

DEFAULT_SIZE: Final = 100
#: From so many on, instances are drawn by compiled code, the same ones.
BULK: Final = 2000


def countdown(spec: SourceSpec) -> Iterator[Problem]:
    """``spec.size`` Countdown instances of ``spec.seed``. Raises ``UsageError`` for an option that there is not."""
    options = chosen(spec, {"inputs": INPUTS, "targets": "train", "target_seed": 4})
    inputs = options["inputs"]
    if not isinstance(inputs, int) or not 2 <= inputs <= 5:
        raise UsageError(f"inputs {inputs!r} is not a number of 2 to 5", where="problems.options.inputs", mend="use 4")
    if options["targets"] not in ("train", "held_out"):
        raise UsageError(
            f"no targets {options['targets']!r}", where="problems.options.targets", mend="use train or held_out"
        )
    targets = getattr(split_targets(int(options["target_seed"])), options["targets"])
    split = spec.split or (Split.TRAIN.value if options["targets"] == "train" else Split.TEST.value)
    size = spec.size or DEFAULT_SIZE
    states = _in_bulk(spec.seed, size, targets) if inputs == INPUTS and size >= BULK else None
    for index in range(size):
        state = drawn(spec.seed, index, targets, inputs).state if states is None else next(states)
        yield problem(state, index, split)


def _in_bulk(seed: int, size: int, targets: tuple[int, ...]) -> Iterator[State]:
    from tracemill.tasks.linearize.bulk import instances  # compiles where that was not done yet

    return instances(seed, size, targets)


def game24(spec: SourceSpec) -> Iterator[Problem]:
    """``spec.size`` solvable hands of four numbers, fractions allowed."""
    largest = int(chosen(spec, {"largest": 13})["largest"])
    for index in range(spec.size or DEFAULT_SIZE):
        rng = SplitMix(mix(spec.seed, index))
        while True:
            numbers = tuple(1 + rng.below(largest) for _ in range(4))
            if solvable(tuple(sorted(numbers)), 24, True):
                break
        yield problem(State(24, numbers), index, spec.split or Split.TRAIN.value, source="game24")


def chosen(spec: SourceSpec, defaults: dict[str, Any]) -> dict[str, Any]:
    """The options of ``spec`` over ``defaults``; an unknown one is a ``UsageError``."""
    for name in spec.options.keys() - defaults.keys():
        raise UsageError(
            f"source {spec.kind!r} has no option {name!r}",
            where="problems.options",
            mend=f"{did_you_mean(name, defaults)}known: {', '.join(defaults)}",
        )
    return {**defaults, **spec.options}
