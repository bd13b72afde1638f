"""Dumps of servers that return reasoning apart: prompt, ``reasoning_content``, ``content``, one response a row."""

from __future__ import annotations

from collections.abc import Iterator

from tracemill.schemas.recipe import ImportRecipe
from tracemill.schemas.records import Drop
from tracemill.tasks.imports.recorded import TRACE_NAMES, Recorded, attempts, single
from tracemill.tasks.sources.read import Row

NAMES = {
    **TRACE_NAMES,
    "reasoning": ("reasoning_content", "reasoning", "thinking"),
    "response": ("content", "response", "output", "completion"),
}


def reasoning(rows: Iterator[Row | Drop], recipe: ImportRecipe) -> Iterator[Recorded | Drop]:
    """Attempts from ``reasoning_content`` dumps."""
    return attempts(rows, recipe, NAMES, ["reasoning", "response"], single)
