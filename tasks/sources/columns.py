"""Our columns by their names in somebody's file. A column that is not there is an error that lists those that are.

A name is looked up as it stands, then as a path with dots into nested objects (``reward_model.ground_truth``).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any, Final

from tracemill.schemas.enums import Split
from tracemill.schemas.errors import DataError, UsageError, did_you_mean
from tracemill.tasks.sources.read import Row

#: What people call a problem's columns; the first that a file has is read.
PROBLEM_NAMES: Final[Mapping[str, tuple[str, ...]]] = {
    "prompt": ("prompt", "question", "problem", "input", "instruction", "query"),
    "gold": (
        "gold",
        "answer",
        "expected_answer",
        "final_answer",
        "ground_truth",
        "reward_model.ground_truth",
        "target",
    ),
    "choices": ("choices", "options"),
    "reference_solution": ("reference_solution", "solution", "rationale", "canonical_solution"),
    "split": ("split",),
    "licence": ("licence", "license"),
    "domain": ("domain",),
    "verifier": ("verifier",),
    "spec": ("spec",),
    "id": ("id", "problem_id", "task_id", "uid", "idx"),
}


@dataclass(frozen=True, slots=True)
class Columns:
    """``names`` is our column -> theirs, for the columns that the file has."""

    names: Mapping[str, str]

    def __contains__(self, ours: str) -> bool:
        return ours in self.names

    def get(self, row: Row, ours: str) -> Any:
        """The cell, or None where the column or the cell is not there."""
        theirs = self.names.get(ours)
        return None if theirs is None else lookup(row.values, theirs)[1]

    def text(self, row: Row, ours: str) -> str | None:
        """The cell as text; ``CellError`` where it is neither text nor a number."""
        theirs = self.names.get(ours)
        return None if theirs is None else cell_text(lookup(row.values, theirs)[1], theirs)


class CellError(ValueError):
    """A cell of the wrong type; its row becomes a drop with this text."""


def bind(
    head: Sequence[Row],
    mapping: Mapping[str, str],
    known: Mapping[str, Sequence[str]],
    *,
    required: Iterable[str] = (),
    free: str | None = None,
    flag: str = "map",
) -> Columns:
    """Columns for the file whose first rows are ``head``.

    Raises ``UsageError`` where ``mapping`` has a key that is not ours (unless it begins with ``free``), and ``DataError``
    naming file, row and column where a mapped or required column is in none of the first rows.
    """
    names: dict[str, str] = {}
    for ours, theirs in mapping.items():
        if ours not in known and not (free and ours.startswith(free)):
            raise UsageError(
                f"no column {ours!r} of ours to map {theirs!r} to",
                where=flag,
                mend=f"{did_you_mean(ours, known)}ours: {', '.join(known)}",
            )
        if not any(lookup(row.values, theirs)[0] for row in head):
            raise missing(head[0], theirs, ours, flag)
        names[ours] = theirs
    for ours, candidates in known.items():
        if ours not in names:
            found = next((c for c in candidates if any(lookup(r.values, c)[0] for r in head)), None)
            if found is not None:
                names[ours] = found
    for ours in required:
        if ours not in names:
            raise missing(head[0], known[ours][0], ours, flag, tried=known[ours])
    return Columns(names)


def missing(row: Row, theirs: str, ours: str, flag: str = "map", tried: Sequence[str] = ()) -> DataError:
    """The error for a column that is not there, with the nearest name that is."""
    there = list(row.values)
    hint = did_you_mean(theirs, there, cutoff=0.5)
    what = f"no column {theirs!r} for {ours!r}" if not tried else f"no column for {ours!r} (tried {', '.join(tried)})"
    return DataError(
        what,
        where=f"{row.where}, column {theirs!r}",
        mend=f"{hint}set {flag} {ours}=COLUMN to one of: {', '.join(there) or '(the row has no columns)'}",
    )


def lookup(values: Mapping[str, Any], name: str) -> tuple[bool, Any]:
    """Whether ``name`` is there, and its value."""
    if name in values:
        return True, values[name]
    if "." not in name:
        return False, None
    found: Any = values
    for part in name.split("."):
        if not isinstance(found, Mapping) or part not in found:
            return False, None
        found = found[part]
    return True, found


def cell_text(value: Any, column: str) -> str | None:
    """A cell as text: whole floats as integers, NaN as None, a list of one cell as that cell."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, float):
        if math.isnan(value):
            return None
        return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)
    if isinstance(value, bool | int | Decimal | date):
        return str(value)
    if isinstance(value, list) and len(value) == 1:
        return cell_text(value[0], column)
    raise CellError(f"column {column!r} holds a {type(value).__name__}, not text or a number")


def split_of(name: str | None) -> str:
    """Our split for somebody's name of it: ``test*``, ``val*`` and ``dev*`` are held out; anything else is for training."""
    lowered = (name or "").lower()
    if lowered.startswith("test"):
        return Split.TEST.value
    return Split.VALIDATION.value if lowered.startswith(("val", "dev")) else Split.TRAIN.value
