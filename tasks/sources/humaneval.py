"""HumanEval: a function to complete and a ``check`` to run it by. All of it is a benchmark's test split."""

from __future__ import annotations

from collections.abc import Iterator

from tracemill.schemas.enums import Split
from tracemill.schemas.recipe import SourceSpec
from tracemill.schemas.records import Drop, Problem
from tracemill.tasks.sources.columns import cell_text
from tracemill.tasks.sources.mapped import need_text, own_id, shape
from tracemill.tasks.sources.read import Row


def humaneval(spec: SourceSpec) -> Iterator[Problem | Drop]:
    """Problems of ``openai/openai_humaneval`` or a file of its shape (HumanEval+ in its original format)."""
    return shape(spec, _problem, "openai/openai_humaneval")


def _problem(row: Row, spec: SourceSpec) -> Problem:
    return Problem(
        prompt=need_text(row, "prompt"),
        verifier=spec.verifier or "code",
        source="humaneval",
        spec={"tests": need_text(row, "test"), "entry_point": need_text(row, "entry_point")},
        domain=spec.domain or "code",
        source_row=own_id(row, "task_id"),
        licence=spec.licence or "MIT",
        reference_solution=cell_text(row.values.get("canonical_solution"), "canonical_solution"),
        split=Split.TEST.value,
    )
