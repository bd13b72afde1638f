"""AQuA: five choices, each written with its letter (``A)32400``); the gold is the letter."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from tracemill.schemas.recipe import SourceSpec
from tracemill.schemas.records import Drop, Problem
from tracemill.tasks.sources.columns import CellError, cell_text, split_of
from tracemill.tasks.sources.hub import split_in_name
from tracemill.tasks.sources.mapped import need, need_text, own_id, shape
from tracemill.tasks.sources.read import Row

_LETTER: Final = re.compile(r"^\s*\(?[A-E]\s*\)\s*")


def aqua(spec: SourceSpec) -> Iterator[Problem | Drop]:
    """Problems of ``deepmind/aqua_rat`` or a file of its shape; the test split is a benchmark's."""
    return shape(spec, _problem, "deepmind/aqua_rat", "raw")


def _problem(row: Row, spec: SourceSpec) -> Problem:
    options = need(row, "options")
    if not isinstance(options, list) or not options:
        raise CellError("column 'options' is not a list of choices")
    choices = tuple(_LETTER.sub("", cell_text(option, "options") or "", count=1) for option in options)
    gold = need_text(row, "answer", "correct").strip()
    if gold and not 0 <= ord(gold[0]) - ord("A") < len(choices):
        raise CellError(f"answer {gold!r} is not the letter of one of {len(choices)} choices")
    return Problem(
        prompt=need_text(row, "question"),
        verifier=spec.verifier or "answer",
        source="aqua",
        spec={"choices": list(choices)},
        gold=gold,
        domain=spec.domain or "math",
        source_row=own_id(row, "id"),
        licence=spec.licence or "Apache-2.0",
        choices=choices,
        reference_solution=cell_text(row.values.get("rationale"), "rationale"),
        split=split_of(row.split or cell_text(row.values.get("split"), "split") or split_in_name(row.path)),
    )
