"""The tokenized form of a view: ids and labels that a trainer takes as they are, for one named tokenizer and chat template.

What must stay true: only the last assistant turn is trained on, because that is the trace that the verdict is about; the
worked examples of a few-shot prompt and the earlier turns of a conversation are context.
"""

from __future__ import annotations

from typing import Any, Final

import pyarrow as pa

from tracemill.schemas.errors import UsageError
from tracemill.tasks.tokenizer import IGNORED, Tokenizer, load_tokenizer

SUFFIX: Final = "_tokenized"
REFUSED: Final = "chat_template_refuses"

SCHEMA: Final = pa.schema(
    [
        ("input_ids", pa.list_(pa.int32())),
        ("labels", pa.list_(pa.int32())),
        ("trace_id", pa.string()),
        ("problem_id", pa.string()),
        ("tokenizer", pa.string()),
        ("template_hash", pa.string()),
    ]
)

Tokens = tuple[list[int], list[int]]


def tokenizer_of(name: str) -> Tokenizer:
    """The tokenizer called ``name``; ``UsageError`` where it has no chat template."""
    tokenizer = load_tokenizer(name)
    if tokenizer.template_hash is None:
        raise UsageError(
            "the tokenizer has no chat template, so conversations cannot be tokenized",
            where=f"views.tokenizer {name!r}",
            mend="name the tokenizer of an instruct model, or leave views.tokenizer out",
        )
    return tokenizer


def tokenize(tokenizer: Tokenizer, rows: pa.Table) -> tuple[pa.Table, dict[str, str]]:
    """``rows`` with the columns of ``SCHEMA`` that they lack, null where the chat template refuses; trace id -> why.

    Done once for all views that a row is in. Needs ``messages`` and ``trace_id``.
    """
    conversations: list[Any] = rows["messages"].to_pylist()
    made, refused = _tokens(tokenizer, conversations)
    pairs = [(None, None) if tokens is None else last_turn_only(*tokens) for tokens in made]
    columns = {
        "input_ids": [pair[0] for pair in pairs],
        "labels": [pair[1] for pair in pairs],
        "tokenizer": [tokenizer.name] * len(pairs),
        "template_hash": [tokenizer.template_hash] * len(pairs),
    }
    for name, column in columns.items():
        rows = rows.append_column(name, pa.array(column, SCHEMA.field(name).type))
    traces = rows["trace_id"].to_pylist()
    return rows, {traces[index]: why for index, why in refused}


def last_turn_only(input_ids: list[int], labels: list[int]) -> Tokens:
    """The same, with every label before the last run of trained positions ignored."""
    end = len(labels)
    while end and labels[end - 1] == IGNORED:
        end -= 1
    start = end
    while start and labels[start - 1] != IGNORED:
        start -= 1
    return input_ids, [IGNORED] * start + labels[start:]


def _tokens(tokenizer: Tokenizer, conversations: list[Any]) -> tuple[list[Tokens | None], list[tuple[int, str]]]:
    try:
        return list(tokenizer.tokenize_chats(conversations)), []
    except UsageError:
        made: list[Tokens | None] = []
        refused = []
        for index, conversation in enumerate(conversations):
            try:
                made.append(tokenizer.tokenize_chat(conversation))
            except UsageError as error:
                made.append(None)
                refused.append((index, error.what))
        return made, refused
