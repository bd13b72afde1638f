"""MBPP: a short Python task and asserts that its function has to pass. Tasks 11 to 510 are the benchmark's test split."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from tracemill.schemas.enums import Split
from tracemill.schemas.recipe import SourceSpec
from tracemill.schemas.records import Drop, Problem
from tracemill.tasks.sources.columns import CellError, cell_text, split_of
from tracemill.tasks.sources.mapped import need, need_text, own_id, shape
from tracemill.tasks.sources.read import Row

_NUMBER: Final = re.compile(r"\d+$")
TEST_TASKS: Final = range(11, 511)


def mbpp(spec: SourceSpec) -> Iterator[Problem | Drop]:
    """Problems of ``google-research-datasets/mbpp``, full or sanitized, or its form with a ``check`` function."""
    return shape(spec, _problem, "google-research-datasets/mbpp", "full")


def _problem(row: Row, spec: SourceSpec) -> Problem:
    task = own_id(row, "task_id")
    prompt = need_text(row, "text", "prompt")
    inputs: dict[str, object]
    if "entry_point" in row.values:
        inputs = {"tests": need_text(row, "test"), "entry_point": need_text(row, "entry_point").strip()}
    else:
        tests = need(row, "test_list")
        if not isinstance(tests, list) or not tests:
            raise CellError("column 'test_list' is not a list of asserts")
        imports = row.values.get("test_imports") or []
        setup = "\n".join([*imports, cell_text(row.values.get("test_setup_code"), "test_setup_code") or ""]).strip()
        asserts = [str(test) for test in tests]
        inputs = {"tests": asserts, "setup": setup}
        prompt = "\n".join([prompt.strip(), "", "The code has to pass these asserts:", *asserts]) if prompt else ""
    number = _NUMBER.search(task)
    held_out = number is not None and int(number.group()) in TEST_TASKS
    return Problem(
        prompt=prompt,
        verifier=spec.verifier or "code",
        source="mbpp",
        spec=inputs,
        domain=spec.domain or "code",
        source_row=task,
        licence=spec.licence or "CC-BY-4.0",
        reference_solution=cell_text(row.values.get("code", row.values.get("canonical_solution")), "code"),
        split=Split.TEST.value if held_out else split_of(row.split),
    )
