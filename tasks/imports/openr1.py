"""OpenR1-Math-220k: one problem a row, with lists that run beside ``generations``; each entry is an attempt."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from tracemill.schemas.enums import FinishReason
from tracemill.schemas.recipe import ImportRecipe
from tracemill.schemas.records import Drop
from tracemill.tasks.imports.recorded import TRACE_NAMES, Recorded, at, attempts, fields, finish_reason, several
from tracemill.tasks.sources.columns import CellError, Columns
from tracemill.tasks.sources.read import Row

NAMES = {
    **TRACE_NAMES,
    "prompt": ("problem", "question"),
    "gold": ("answer",),
    "generations": ("generations",),
    "complete": ("is_reasoning_complete",),
    "finish_reasons": ("finish_reasons",),
}

LABELS: Final = ("correctness_math_verify", "correctness_llama")


def openr1(rows: Iterator[Row | Drop], recipe: ImportRecipe) -> Iterator[Recorded | Drop]:
    """Attempts from rows with lists of generations; reasoning that did not come to its end was cut by the length."""
    return attempts(rows, recipe, NAMES, ["prompt", "generations"], _convert)


def _convert(row: Row, columns: Columns) -> list[Recorded]:
    generations = columns.get(row, "generations")
    if not isinstance(generations, list) or not generations:
        raise CellError(f"column {columns.names['generations']!r} is not a list of generations")
    found = several(row, generations, fields(row, columns, LABELS))
    return [replace(attempt, finish_reason=_reason(row, columns, place)) for place, attempt in enumerate(found)]


def _reason(row: Row, columns: Columns, place: int) -> str:
    said = finish_reason(at(columns.get(row, "finish_reasons"), place))
    cut = said == FinishReason.UNKNOWN and at(columns.get(row, "complete"), place) is False
    return FinishReason.LENGTH.value if cut else said
