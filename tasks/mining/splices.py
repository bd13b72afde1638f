"""The splices of one problem, and as many clean controls."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from tracemill.schemas.recipe import MiningSpec
from tracemill.tasks.mining.drawn import Drawn, Pair
from tracemill.tasks.mining.splice import Splice, Unspliceable, Wrong, control, detours, rambles, splice


def splices(drawn: Drawn, spec: MiningSpec, refused: Counter[str]) -> list[Splice]:
    """At most ``splices_per_problem`` of a problem and one control for each; ``refused`` counts why others came to nothing.

    The first detour of each is another wrong attempt; a right attempt is the control of one splice at the most.
    """
    made: list[Splice] = []
    rights = [right for right in drawn.rights if not rambles(right.text)]
    for pair in _once(drawn):
        if rambles(pair.right.text):
            refused["right_rambles"] += 1
            continue
        if len(made) == min(spec.splices_per_problem, len(rights)):
            refused["over_cap"] += 1
            continue
        rng = drawn.rng(spec.seed, "splice", pair.wrong.trace_id, pair.right.trace_id)
        others = [other for other in _once(drawn) if other is not pair]
        rng.shuffle(others)
        count = detours(rng, spec.detours, 1 + len(others))
        chosen = [pair, *others[: count - 1]]
        wrongs = [Wrong(p.wrong.steps, p.error, p.wrong.near(pair.right), p.ground) for p in chosen]
        try:
            made.append(splice(wrongs, pair.right.steps, rng, rng.random() < spec.random_cuts))
        except Unspliceable as why:
            refused[str(why)] += 1
    return made + [control(right.steps) for right in rights[: len(made)]]


def _once(drawn: Drawn) -> Iterator[Pair]:
    """The pairs, each wrong attempt with its best one."""
    seen: set[str] = set()
    for pair in drawn.pairs:
        if pair.wrong.trace_id not in seen:
            seen.add(pair.wrong.trace_id)
            yield pair
