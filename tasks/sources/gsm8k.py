"""GSM8K: the gold is the number after ``####``, or its own column beside the solution."""

from __future__ import annotations

from collections.abc import Iterator

from tracemill.schemas.recipe import SourceSpec
from tracemill.schemas.records import Drop, Problem
from tracemill.tasks.sources.columns import cell_text, split_of
from tracemill.tasks.sources.hub import split_in_name
from tracemill.tasks.sources.mapped import need_text, own_id, shape
from tracemill.tasks.sources.read import Row


def gsm8k(spec: SourceSpec) -> Iterator[Problem | Drop]:
    """Problems of ``openai/gsm8k`` or a file of its shape; the test split is a benchmark's."""
    return shape(spec, _problem, "openai/gsm8k", "main")


def _problem(row: Row, spec: SourceSpec) -> Problem:
    answer = need_text(row, "answer")
    solution = cell_text(row.values.get("solution"), "solution")
    working, mark, final = answer.rpartition("####")
    if mark and solution is None:
        solution = working.strip()
    return Problem(
        prompt=need_text(row, "question"),
        verifier=spec.verifier or "answer",
        source="gsm8k",
        gold=final.strip().replace(",", ""),
        domain=spec.domain or "math",
        source_row=own_id(row, "id"),
        licence=spec.licence or "MIT",
        reference_solution=solution,
        split=split_of(row.split or split_in_name(row.path)),
    )
