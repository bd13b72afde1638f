"""Problems of any file or data set, by a column mapping. Also what the built-in shapes share: rows in, problems or drops out."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, islice
from typing import Any

from tracemill.schemas.errors import DataError, UsageError
from tracemill.schemas.ids import canonical_json
from tracemill.schemas.recipe import SourceSpec
from tracemill.schemas.records import Drop, Problem
from tracemill.tasks.sources.columns import PROBLEM_NAMES, CellError, Columns, bind, cell_text, split_of
from tracemill.tasks.sources.hub import open_rows
from tracemill.tasks.sources.read import Row

#: The rows that are looked at for the names of a file's columns.
HEAD = 100


def mapped(spec: SourceSpec) -> Iterator[Problem | Drop]:
    """Problems from ``spec.path`` by ``spec.map`` (our column -> theirs; ``spec.KEY`` fills the verifier's inputs)."""
    rows = open_rows(spec)
    head = list(islice(rows, HEAD))
    first = [row for row in head if isinstance(row, Row)]
    columns = bind(first, spec.map, PROBLEM_NAMES, required=["prompt"], free="spec.") if first else Columns({})
    for row in chain(head, rows):
        yield row if isinstance(row, Drop) else _guarded(row, lambda r: _mapped(r, columns, spec))


def shape(
    spec: SourceSpec, convert: Callable[[Row, SourceSpec], Problem | Drop], hub_id: str, subset: str | None = None
) -> Iterator[Problem | Drop]:
    """Problems of a known shape; a column that the first row lacks is an error, one that a later row lacks a drop."""
    if spec.map:
        raise UsageError(f"source {spec.kind!r} takes no map", where="problems.map", mend="use source kind file")
    started = False
    for row in open_rows(spec, hub_id, subset):
        if isinstance(row, Drop):
            yield row
            continue
        try:
            item = _guarded(row, lambda r: convert(r, spec))
        except DataError as error:
            if not started:
                raise
            item = Drop(row.name, "load", "bad_row", error.what)
        started = True
        yield item


def need(row: Row, *names: str) -> Any:
    """The first of the columns ``names`` that the row has; ``DataError`` where it has none."""
    for name in names:
        if name in row.values:
            return row.values[name]
    raise DataError(
        f"no column {' or '.join(map(repr, names))}",
        where=f"{row.where}, column {names[0]!r}",
        mend=f"use source kind file with a map; the row has: {', '.join(row.values) or 'no columns'}",
    )


def need_text(row: Row, *names: str) -> str:
    """Like ``need``, as text; an empty cell is the empty text."""
    return cell_text(need(row, *names), names[0]) or ""


def own_id(row: Row, *names: str) -> str:
    """The row's own id in the source, else ``file:line``."""
    for name in names or PROBLEM_NAMES["id"]:
        value = row.values.get(name)
        if isinstance(value, str | int) and not isinstance(value, bool) and str(value).strip():
            return str(value)
    return row.name


def message_text(value: Any, column: str) -> str | None:
    """A prompt as text: of a list of messages, the user's words; of several turns, each with its speaker before it."""
    if not isinstance(value, list):
        return cell_text(value, column)
    turns = [turn for turn in value if isinstance(turn, dict) and turn.get("role") != "system"]
    if len(turns) == 1:
        return content_text(turns[0].get("content"))
    return "\n\n".join(f"{str(t.get('role', '')).capitalize()}: {content_text(t.get('content'))}" for t in turns)


def content_text(content: Any) -> str:
    """A message's content as text: plain, or a list of parts of which the text parts count."""
    if isinstance(content, list):
        return "".join(str(part.get("text") or "") for part in content if isinstance(part, dict))
    return "" if content is None else str(content)


def _guarded(row: Row, convert: Callable[[Row], Problem | Drop]) -> Problem | Drop:
    try:
        return convert(row)
    except CellError as error:
        return Drop(row.name, "load", "bad_row", str(error))


def _mapped(row: Row, columns: Columns, spec: SourceSpec) -> Problem:
    inputs = _inputs(row, columns)
    choices = _choices(columns.get(row, "choices"))
    if choices:
        inputs.setdefault("choices", list(choices))
    own = columns.text(row, "id")
    return Problem(
        prompt=message_text(columns.get(row, "prompt"), columns.names["prompt"]) or "",
        verifier=spec.verifier or columns.text(row, "verifier") or "answer",
        source=_source_name(spec),
        spec=inputs,
        gold=columns.text(row, "gold"),
        domain=spec.domain or columns.text(row, "domain") or "other",
        source_row=own if own and own.strip() else row.name,
        licence=spec.licence or columns.text(row, "licence"),
        choices=choices,
        reference_solution=columns.text(row, "reference_solution"),
        split=split_of(row.split or columns.text(row, "split")),
    )


def _source_name(spec: SourceSpec) -> str:
    """A Hub id as it stands, a local path by its last part: where a file lay on one machine means nothing on another."""
    path = os.path.expanduser(spec.path or spec.kind)
    return os.path.basename(os.path.normpath(path)) if os.path.exists(path) else path


def _inputs(row: Row, columns: Columns) -> dict[str, Any]:
    """The verifier's inputs: the ``spec`` column (an object, or JSON text of one), and each ``spec.KEY`` that is mapped."""
    value = columns.get(row, "spec")
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except json.JSONDecodeError as error:
            raise CellError(f"column {columns.names['spec']!r} is not JSON: {error.msg}") from error
    if value is not None and not isinstance(value, dict):
        raise CellError(f"column {columns.names['spec']!r} holds a {type(value).__name__}, not an object")
    inputs = dict(value or {})
    for ours in columns.names:
        if ours.startswith("spec."):
            inputs[ours.removeprefix("spec.")] = columns.get(row, ours)
    return plain(inputs, "spec")


def plain(inputs: dict[str, Any], column: str) -> dict[str, Any]:
    """``inputs`` if JSON can hold them; ``CellError`` for NaN, dates, bytes and the like."""
    try:
        canonical_json(inputs)
    except (TypeError, ValueError) as error:
        raise CellError(f"column {column!r} holds what JSON cannot: {error}") from error
    return inputs


def _choices(value: Any) -> tuple[str, ...] | None:
    if isinstance(value, dict):  # {"text": [...], "label": [...]}
        value = value.get("text")
    if value is None or value == "":
        return None
    if not isinstance(value, Iterable) or isinstance(value, str):
        raise CellError(f"choices are a {type(value).__name__}, not a list")
    return tuple(cell_text(choice, "choices") or "" for choice in value) or None
