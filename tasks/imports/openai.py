"""OpenAI chat messages: ``{"messages": [{"role", "content", "reasoning_content"?}, ...]}``, one conversation a row."""

from __future__ import annotations

from collections.abc import Iterator

from tracemill.schemas.recipe import ImportRecipe
from tracemill.schemas.records import Drop
from tracemill.tasks.imports.conversation import recorded, turns_of
from tracemill.tasks.imports.recorded import TRACE_NAMES, Recorded, attempts, fields
from tracemill.tasks.sources.columns import Columns
from tracemill.tasks.sources.read import Row

NAMES = {**TRACE_NAMES, "messages": ("messages", "conversation"), "prompt": ("prompt", "question", "problem")}


def openai(rows: Iterator[Row | Drop], recipe: ImportRecipe) -> Iterator[Recorded | Drop]:
    """Attempts from OpenAI messages."""
    return attempts(rows, recipe, NAMES, ["messages"], _convert)


def _convert(row: Row, columns: Columns) -> list[Recorded]:
    turns = turns_of(columns.get(row, "messages"), columns.names["messages"])
    return [recorded(row, turns, fields(row, columns))]
