"""Conversations as attempts: the last assistant turn is the trace, all that came before it is the prompt."""

from __future__ import annotations

import json
from typing import Any

from tracemill.tasks.imports.recorded import Message, Recorded, thought
from tracemill.tasks.sources.columns import CellError
from tracemill.tasks.sources.mapped import content_text, message_text
from tracemill.tasks.sources.read import Row


def recorded(row: Row, turns: list[dict[str, Any]], said: dict[str, Any]) -> Recorded:
    """The attempt that ``turns`` end in. A prompt column of the row's own wins over the turns before it.

    The system turn stays in ``messages``: it instructs the policy and is no part of the problem. Raises ``CellError``
    where no turn is the assistant's.
    """
    last = max((i for i, turn in enumerate(turns) if turn.get("role") == "assistant"), default=None)
    if last is None:
        raise CellError("no assistant turn in the conversation")
    turn = turns[last]
    reasoning = turn.get("reasoning_content") or turn.get("reasoning")
    text = thought(reasoning if isinstance(reasoning, str) else None, _content(turn), said.get("finish_reason"))
    said = {**said, "prompt": said.get("prompt") or message_text(turns[:last], "messages")}
    return Recorded(path=str(row.number), text=text, messages=[message(turn) for turn in turns], **said)


def turns_of(value: Any, column: str) -> list[dict[str, Any]]:
    """A column of messages as a list of objects; ``CellError`` for anything else."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except json.JSONDecodeError as error:
            raise CellError(f"column {column!r} is text, not messages") from error
    if not isinstance(value, list) or not all(isinstance(turn, dict) for turn in value):
        raise CellError(f"column {column!r} is not a list of messages")
    return value


def message(turn: dict[str, Any]) -> Message:
    """A turn as the ``messages`` column holds it."""
    return {"role": str(turn.get("role", "")), "content": _content(turn)}


def _content(turn: dict[str, Any]) -> str:
    """The turn's text; tool calls follow as JSON, so that they are not lost."""
    text, calls = content_text(turn.get("content")), turn.get("tool_calls")
    if not calls:
        return text
    written = json.dumps(calls, ensure_ascii=False)
    return f"{text}\n{written}" if text else written
