"""MATH: the gold is the ``answer`` column, else what the solution's last ``\\boxed`` holds."""

from __future__ import annotations

import os
from collections.abc import Iterator

from tracemill.schemas.enums import Split
from tracemill.schemas.recipe import SourceSpec
from tracemill.schemas.records import Drop, Problem
from tracemill.tasks.sources.columns import cell_text, split_of
from tracemill.tasks.sources.hub import split_in_name
from tracemill.tasks.sources.mapped import need_text, own_id, shape
from tracemill.tasks.sources.read import Row


def math(spec: SourceSpec) -> Iterator[Problem | Drop]:
    """Problems of MATH in any of its common shapes; MATH-500 and the 5,000 test problems are a benchmark's."""
    return shape(spec, _problem, "HuggingFaceH4/MATH-500")


def last_boxed(text: str) -> str | None:
    """What the last ``\\boxed{...}`` of ``text`` holds, braces matched; None where there is none that closes."""
    start = text.rfind("\\boxed{")
    if start < 0:
        return None
    start += len("\\boxed{")
    depth, skip = 1, False
    for position in range(start, len(text)):
        letter = text[position]
        if skip or letter == "\\":
            skip = not skip
        elif letter in "{}":
            depth += 1 if letter == "{" else -1
            if depth == 0:
                return text[start:position].strip()
    return None


def _problem(row: Row, spec: SourceSpec) -> Problem:
    solution = cell_text(row.values.get("solution"), "solution")
    gold = cell_text(row.values.get("answer"), "answer")
    if gold is None:
        gold = last_boxed(solution or need_text(row, "answer", "solution"))
    subject = cell_text(row.values.get("subject", row.values.get("type")), "subject")
    said = row.split or split_in_name(row.path)
    benchmark = said is None and "500" in os.path.basename(row.path)
    return Problem(
        prompt=need_text(row, "question", "problem"),
        verifier=spec.verifier or "answer",
        source="math",
        gold=gold,
        domain=spec.domain or ("math" if not subject else f"math/{subject.lower().replace(' ', '_')}"),
        source_row=own_id(row, "id", "unique_id"),
        licence=spec.licence or "MIT",
        reference_solution=solution,
        split=Split.TEST.value if benchmark else split_of(said),
    )
