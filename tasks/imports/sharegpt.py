"""ShareGPT: ``{"conversations": [{"from": "human" | "gpt" | ..., "value": ...}, ...]}``, one conversation a row."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from tracemill.schemas.recipe import ImportRecipe
from tracemill.schemas.records import Drop
from tracemill.tasks.imports.conversation import recorded, turns_of
from tracemill.tasks.imports.recorded import TRACE_NAMES, Recorded, attempts, fields
from tracemill.tasks.sources.columns import Columns
from tracemill.tasks.sources.read import Row

NAMES = {
    **TRACE_NAMES,
    "conversations": ("conversations", "conversation"),
    "system": ("system",),
    "prompt": ("prompt", "question", "problem"),
}

_ROLES: Final = {"human": "user", "gpt": "assistant", "chatgpt": "assistant", "bot": "assistant", "model": "assistant"}


def sharegpt(rows: Iterator[Row | Drop], recipe: ImportRecipe) -> Iterator[Recorded | Drop]:
    """Attempts from ShareGPT conversations."""
    return attempts(rows, recipe, NAMES, ["conversations"], _convert)


def _convert(row: Row, columns: Columns) -> list[Recorded]:
    turns = []
    for turn in turns_of(columns.get(row, "conversations"), columns.names["conversations"]):
        speaker = str(turn.get("from", turn.get("role", "")))
        turns.append({"role": _ROLES.get(speaker, speaker), "content": turn.get("value", turn.get("content"))})
    system = columns.text(row, "system")
    if system:
        turns.insert(0, {"role": "system", "content": system})
    return [recorded(row, turns, fields(row, columns))]
