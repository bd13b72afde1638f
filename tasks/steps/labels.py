"""Step labels as rows of ``step_labels``, and whether a right answer was reached by a right process.

A label is ``right``, ``neutral`` or ``wrong``. What must stay true: a located first error labels the steps before it right, itself
wrong, and says nothing of what follows; a soft label is correct / k; the last step of a rolled-out trace has its outcome.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from tracemill.tasks.steps.base import VERIFIED, FirstError, Source, Steps
from tracemill.tasks.steps.monte_carlo import Count

RIGHT: Final = "right"
NEUTRAL: Final = "neutral"
WRONG: Final = "wrong"

Row = dict[str, Any]


def located(
    steps: Steps, error: FirstError, sure: int | None = None, counts: Mapping[int, Count] | None = None
) -> list[Row]:
    """The rows of a first error: itself wrong, everything before it right, or only the ``sure`` first steps.

    ``counts`` are estimates by number of steps: what is known of a step's prefix stands beside its label.
    """
    before = error.step if sure is None else min(sure, error.step)
    rows = []
    for step in (*range(before), error.step):
        row = _row(steps, step, WRONG if step == error.step else RIGHT, error.source, agreed=error.agreed)
        count = (counts or {}).get(step + 1)
        rows.append(row if count is None else {**row, "soft": count.value, "k": count.k})
    return rows


def rolled(steps: Steps, counts: Sequence[Count], agreed: bool | None = None) -> list[Row]:
    """Math-Shepherd's rows: the hard label, the soft one beside it."""
    return [
        _row(steps, step, RIGHT if count.hard else WRONG, Source.MC, soft=count.value, k=count.k, agreed=agreed)
        for step, count in enumerate(counts)
    ]


def solvable(steps: Steps, states: Sequence[bool]) -> list[Row]:
    """The rows of an exact oracle: whether the problem can still be solved after each step."""
    return [_row(steps, step, RIGHT if good else WRONG, Source.ORACLE) for step, good in enumerate(states)]


def first_wrong(rows: Iterable[Mapping[str, Any]]) -> int | None:
    """The first step labelled wrong, among rows of one source."""
    return min((row["step"] for row in rows if row["label"] == WRONG), default=None)


def process_ok(outcome: str, rows: Iterable[Mapping[str, Any]]) -> bool | None:
    """Whether a trace's process holds, by the sources that are verified or agreed; None where nobody looked.

    A ``correct`` trace for which this is False reached a right answer by a wrong process (§2.3, false positives).
    """
    counted = [row for row in rows if row.get("agreed") or row["source"] in VERIFIED]
    if not counted:
        return None
    return outcome == "correct" and all(row["label"] != WRONG for row in counted)


def _row(
    steps: Steps,
    step: int,
    label: str,
    source: Source,
    *,
    soft: float | None = None,
    k: int | None = None,
    agreed: bool | None = None,
) -> Row:
    return {
        "trace_id": steps.trace_id,
        "segmenter": steps.segmenter,
        "step": step,
        "label": label,
        "soft": soft,
        "source": source.value,
        "k": k,
        "agreed": agreed,
    }
