"""Problems from every named source: each row that comes in is a problem or a drop, and each problem is there once.

A source is a function from a ``SourceSpec`` to problems (and drops); ``module:function`` and entry points of the group
``tracemill.sources`` stand beside the built-in ones.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from tracemill.schemas.enums import Split
from tracemill.schemas.errors import DataError
from tracemill.schemas.ids import normalise_prompt
from tracemill.schemas.plugins import resolve
from tracemill.schemas.recipe import SourceSpec
from tracemill.schemas.records import Drop, Problem
from tracemill.tasks.sources.aqua import aqua
from tracemill.tasks.sources.clusters import cluster
from tracemill.tasks.sources.code_contests import code_contests
from tracemill.tasks.sources.countdown import countdown, game24
from tracemill.tasks.sources.gsm8k import gsm8k
from tracemill.tasks.sources.humaneval import humaneval
from tracemill.tasks.sources.leandojo import leandojo
from tracemill.tasks.sources.mapped import mapped
from tracemill.tasks.sources.math import math
from tracemill.tasks.sources.mbpp import mbpp
from tracemill.tasks.sources.minif2f import minif2f
from tracemill.tasks.sources.reasoning_gym import reasoning_gym
from tracemill.tasks.sources.sudoku import sudoku
from tracemill.verifiers.equivalence import normal_form

Source = Callable[[SourceSpec], Iterable[Problem | Drop]]

SOURCES: Final[Mapping[str, Source]] = {
    "aqua": aqua,
    "code_contests": code_contests,
    "countdown": countdown,
    "file": mapped,
    "game24": game24,
    "gsm8k": gsm8k,
    "hub": mapped,
    "humaneval": humaneval,
    "leandojo": leandojo,
    "math": math,
    "mbpp": mbpp,
    "minif2f": minif2f,
    "reasoning_gym": reasoning_gym,
    "sudoku": sudoku,
}

#: Verifiers that compare with a gold answer; a problem without one cannot be checked by them.
NEEDS_GOLD: Final = frozenset({"answer"})


def same_gold(one: str, other: str) -> bool:
    """Whether two gold answers are written alike or have one normal form (``1,200`` and ``1200.0``)."""
    return one.strip() == other.strip() or ((form := normal_form(one)) is not None and form == normal_form(other))


@dataclass(frozen=True, slots=True)
class Loaded:
    """Problems and what was left out: ``rows_in == len(problems) + len(drops)``.

    ``ids`` leads from a row's own id in its source to its problem, duplicates included; an id that two different problems
    carry leads to None.
    """

    problems: list[Problem]
    drops: list[Drop]
    rows_in: int
    ids: Mapping[str, str | None] = field(default_factory=dict)


def load_problems(specs: Sequence[SourceSpec]) -> Loaded:
    """The problems of all ``specs`` in order, each with its cluster.

    The first of equal problems stays; one that any source calls ``test`` is ``test``. Raises ``UsageError`` for an unknown
    source, ``DataError`` for a source that cannot be read or gives no problem.
    """
    gathered = Gathered()
    for spec in specs:
        source: Source = resolve(spec.kind, SOURCES, noun="source", group="tracemill.sources")
        before = gathered.rows_in
        for item in source(spec):
            if not isinstance(item, Problem | Drop):
                raise DataError(
                    f"gave a {type(item).__name__}, not a Problem",
                    where=f"source {spec.kind!r}",
                    mend="yield Problem rows",
                )
            gathered.add(item)
        if gathered.rows_in == before:
            raise DataError("gave no rows", where=f"source {spec.kind!r}", mend="check its path, split and size")
    return gathered.finished()


class Gathered:
    """Problems as they come in: checked, told apart, counted."""

    def __init__(self) -> None:
        self.rows_in = 0
        self.drops: list[Drop] = []
        self.ids: dict[str, str | None] = {}
        self._problems: dict[str, Problem] = {}
        self._puzzles: dict[tuple[str, str], str] = {}

    def add(self, item: Problem | Drop) -> str | None:
        """Count ``item`` in; the id of the problem that it is, or None for a drop of a row that is no problem."""
        self.rows_in += 1
        if isinstance(item, Drop):
            self.drops.append(item)
            return None
        row = item.source_row or item.problem_id
        if not item.prompt.strip():
            self._drop(row, "empty_prompt", "the prompt is empty")
            return None
        if item.verifier in NEEDS_GOLD and not (item.gold or "").strip():
            self._drop(row, "empty_gold", f"the verifier {item.verifier!r} needs a gold answer")
            return None
        known = self._known(item)
        if known is None:
            self._problems[item.problem_id] = item
        else:
            self._repeated(known, item, row)
        problem_id = item.problem_id if known is None else known.problem_id
        if item.source_row is not None:
            self.ids[item.source_row] = problem_id if self.ids.get(item.source_row, problem_id) == problem_id else None
        return problem_id

    def finished(self) -> Loaded:
        """What came in, with clusters; ``DataError`` where nothing is left of it."""
        if not self._problems:
            reasons = ", ".join(f"{count} {reason}" for reason, count in Counter(d.reason for d in self.drops).items())
            first = self.drops[0] if self.drops else None
            raise DataError(
                f"all {self.rows_in} rows were dropped ({reasons})" if first else "no rows",
                where=first.subject_id if first else "problems",
                mend=f"first of them: {first.detail or first.reason}" if first else "check the path",
            )
        problems = list(self._problems.values())
        clusters = cluster(problems)
        return Loaded(
            [replace(problem, cluster_id=clusters[problem.problem_id]) for problem in problems],
            self.drops,
            self.rows_in,
            self.ids,
        )

    def _known(self, item: Problem) -> Problem | None:
        """The problem that ``item`` repeats. Two puzzles with one question are one, whatever index made them."""
        if item.verifier == "puzzle":
            key = (item.domain, normalise_prompt(item.prompt))
            return self._problems.get(self._puzzles.setdefault(key, item.problem_id))
        return self._problems.get(item.problem_id)

    def _repeated(self, known: Problem, item: Problem, row: str) -> None:
        conflict = item.verifier != "puzzle" and not same_gold(item.gold or "", known.gold or "")
        if conflict:
            detail = f"gold {item.gold!r}, but {known.gold!r} in {known.source_row} ({known.problem_id})"
        else:
            detail = f"the same as {known.source_row} ({known.problem_id})"
        if item.split == Split.TEST.value != known.split:
            self._problems[known.problem_id] = replace(known, split=item.split)
        self._drop(row, "gold_conflict" if conflict else "duplicate_problem", detail)

    def _drop(self, row: str, reason: str, detail: str) -> None:
        self.drops.append(Drop(row, "load", reason, detail))
