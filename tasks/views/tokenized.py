"""The tokenized form of a view: ids and labels that a trainer takes as they are, for one named tokenizer and chat template.

What must stay true: only the last assistant turn is trained on, because that is the trace that the verdict is about; the
worked examples of a few-shot prompt and the earlier turns of a conversation are context.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
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

#: The tokenized form of splices and streams, whose loss spans leave out what may be wrong or is told to the model.
SPLICED: Final = pa.schema(
    [
        ("input_ids", pa.list_(pa.int32())),
        ("labels", pa.list_(pa.int32())),
        ("stream_id", pa.string()),
        ("problem_id", pa.string()),
        ("straddling", pa.int32()),  # tokens on both sides of a span's edge; none of them is trained on
        ("tokenizer", pa.string()),
        ("template_hash", pa.string()),
    ]
)
#: The last trained token stands among so many at the end: the closing token and white space may follow it.
_TAIL: Final = 4

TOO_LONG: Final = "too_long"
UNTRAINED: Final = "answer_without_loss"

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


def tokenize_splices(tokenizer: Tokenizer, rows: pa.Table, most: int | None) -> tuple[pa.Table, Counter[str]]:
    """Rows of the view ``splices`` as rows of ``SPLICED``, and how many are left out for which reason.

    One of more than ``most`` tokens is left out, and one whose last token carries no loss: neither would teach its answer.
    """
    made, refused = [], Counter[str]()
    for row in rows.select(["messages", "loss_spans", "stream_id", "problem_id"]).to_pylist():
        try:
            told = told_row(tokenizer, row)
        except UsageError:
            refused[REFUSED] += 1
            continue
        if most is not None and len(told["input_ids"]) > most:
            refused[TOO_LONG] += 1
        elif not any(label != IGNORED for label in told["labels"][-_TAIL:]):
            refused[UNTRAINED] += 1
        else:
            made.append(told)
    return pa.Table.from_pylist(made, schema=SPLICED), refused


def told_row(tokenizer: Tokenizer, row: Mapping[str, Any]) -> dict[str, Any]:
    """The row of ``SPLICED`` of a view's row with ``messages`` and ``loss_spans``. Raises UsageError where the template refuses."""
    spans = [(span["start"], span["end"]) for span in row["loss_spans"]]
    ids, labels, straddling = tokenizer.tokenize_spans(row["messages"], spans)
    return {
        "input_ids": ids,
        "labels": labels,
        "stream_id": row["stream_id"],
        "problem_id": row["problem_id"],
        "straddling": straddling,
        "tokenizer": tokenizer.name,
        "template_hash": tokenizer.template_hash,
    }


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
