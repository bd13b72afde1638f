"""Any table with one response a row, by a column mapping."""

from __future__ import annotations

from collections.abc import Iterator

from tracemill.schemas.recipe import ImportRecipe
from tracemill.schemas.records import Drop
from tracemill.tasks.imports.recorded import TRACE_NAMES, Recorded, attempts, single
from tracemill.tasks.sources.read import Row


def columns(rows: Iterator[Row | Drop], recipe: ImportRecipe) -> Iterator[Recorded | Drop]:
    """Attempts from rows whose columns are ours or named by ``recipe.map``."""
    return attempts(rows, recipe, TRACE_NAMES, ["response"], single)
