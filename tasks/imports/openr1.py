"""OpenR1-Math-220k: one problem a row, with lists that run beside ``generations``; each entry is an attempt."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from tracemill.schemas.enums import FinishReason
from tracemill.schemas.recipe import ImportRecipe
from tracemill.schemas.records import Drop
from tracemill.tasks.imports.recorded import TRACE_NAMES, Recorded, attempts, fields, finish_reason
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
    said = fields(row, columns, labels=())
    found = []
    for place, text in enumerate(generations):
        reason = finish_reason(_at(columns.get(row, "finish_reasons"), place))
        if reason == FinishReason.UNKNOWN and _at(columns.get(row, "complete"), place) is False:
            reason = FinishReason.LENGTH.value
        values = ((name, _at(row.values.get(name), place)) for name in LABELS)
        found.append(
            Recorded(
                path=f"{row.number}/{place}",
                text=str(text or ""),
                **{
                    **said,
                    "sample_index": place,
                    "finish_reason": reason,
                    "labels": tuple((name, value) for name, value in values if value is not None),
                },
            )
        )
    return found


def _at(values: Any, place: int) -> Any:
    return values[place] if isinstance(values, list) and place < len(values) else None
