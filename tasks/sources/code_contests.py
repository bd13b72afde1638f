"""CodeContests: contest problems with cases over standard input and output."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from tracemill.schemas.recipe import SourceSpec
from tracemill.schemas.records import Drop, Problem
from tracemill.tasks.sources.columns import CellError, split_of
from tracemill.tasks.sources.mapped import need, need_text, own_id, plain, shape
from tracemill.tasks.sources.read import Row

#: Where the data set keeps its cases, those that the statement shows first.
_CASES: Final = ("public_tests", "private_tests", "generated_tests")
#: The data set's number for Python 3, in a solution's ``language``.
_PYTHON: Final = 3


def code_contests(spec: SourceSpec) -> Iterator[Problem | Drop]:
    """Problems of ``deepmind/code_contests``, or a file whose rows have ``problem`` and ``tests`` (inputs, outputs)."""
    return shape(spec, _problem, "deepmind/code_contests")


def _problem(row: Row, spec: SourceSpec) -> Problem:
    inputs: dict[str, Any] = {"cases": _cases(row)}
    seconds = _seconds(row.values.get("time_limit"))
    if seconds is not None:
        inputs["time_limit"] = seconds
    return Problem(
        prompt=need_text(row, "description", "problem"),
        verifier=spec.verifier or "code",
        source="code_contests",
        spec=plain(inputs, "tests"),
        domain=spec.domain or "code",
        source_row=own_id(row, "name", "id"),
        licence=spec.licence or "CC-BY-4.0",
        reference_solution=_solution(row.values.get("solutions")),
        split=split_of(row.split),
    )


def _cases(row: Row) -> list[list[str]]:
    if "tests" in row.values:
        return _pairs(need(row, "tests"), "tests", "inputs", "outputs")
    need(row, *_CASES)
    found = [
        pair for name in _CASES if row.values.get(name) for pair in _pairs(row.values[name], name, "input", "output")
    ]
    if not found:
        raise CellError("it has no cases")
    return found


def _pairs(value: Any, column: str, given: str, expected: str) -> list[list[str]]:
    lists: list[Any] = [value.get(name) for name in (given, expected)] if isinstance(value, dict) else [None]
    if not all(isinstance(one, list) and all(isinstance(text, str) for text in one) for one in lists):
        raise CellError(f"column {column!r} does not hold {given} and {expected}")
    if len(lists[0]) != len(lists[1]):
        raise CellError(f"column {column!r} has not as many {expected} as {given}")
    return [list(pair) for pair in zip(*lists, strict=True)]


def _seconds(value: Any) -> float | None:
    """A time limit as a number, or as seconds and nanoseconds."""
    if isinstance(value, dict):
        return float(value.get("seconds") or 0) + float(value.get("nanos") or 0) / 1e9 or None
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) and value > 0 else None


def _solution(value: Any) -> str | None:
    """The first solution in Python 3."""
    if not isinstance(value, dict) or not isinstance(value.get("solution"), list):
        return None
    pairs = zip(value.get("language") or [], value["solution"], strict=False)
    return next((text for language, text in pairs if language == _PYTHON and isinstance(text, str)), None)
