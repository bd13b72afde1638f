"""First errors of a run's attempts: what texts and evidence tell by themselves, beside what people, rollouts and judges said.

What must stay true: every trace's arithmetic is looked at, right or wrong, so that a right answer by a wrong process is found;
the other locators look at the wrong attempts that are in a pair.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import duckdb
import pyarrow as pa

from tracemill.tasks.steps.arithmetic import step_holding
from tracemill.tasks.steps.base import FirstError, Source, Steps, best, consensus
from tracemill.tasks.steps.divergence import common_ground, divergence
from tracemill.tasks.steps.evidence import lean_first_error
from tracemill.tasks.steps.labels import located
from tracemill.tasks.steps.reading import read_in_order
from tracemill.tasks.store import RunStore
from tracemill.tasks.views.select import table_batches

#: Most right siblings that a wrong attempt is compared with.
SIBLINGS: Final = 8

#: Bytes of stored traces above which more than one process reads their arithmetic.
LARGE: Final = 32 << 20

#: Sources whose labels are there before mining begins.
TOLD: Final = frozenset({Source.EXECUTION, Source.MC_SEARCH, Source.MC, Source.ORACLE, Source.JUDGE, Source.HUMAN})

#: A label of a step counts where the trace is still cut as it was then.
_TOLD: Final = """
SELECT l.trace_id, l.source, min(l.step)
FROM step_labels l JOIN traces t USING (run, trace_id, segmenter)
WHERE l.label = 'wrong' AND list_contains(?, l.source)
GROUP BY ALL ORDER BY ALL
"""

Row = dict[str, Any]


def arithmetic_errors(run: RunStore) -> Iterator[tuple[FirstError, list[Row]]]:
    """(first false equation, its rows of ``step_labels``) of every trace of ``run`` that has one."""
    size = sum(file.bytes for commit in run.commits() for file in commit.files if file.table == "traces")
    readers = os.cpu_count() or 1 if size > LARGE else 1
    batches = table_batches(run, "traces", ["trace_id", "text", "steps", "segmenter"])
    for batch, found in read_in_order(batches, lambda batch: batch["text"].to_pylist(), readers):
        for row, places in enumerate(found):
            if places:
                steps = _row_steps(batch, row, batch["text"][row].as_py())
                error = step_holding(steps, places)
                if error is not None:
                    yield error, located(steps, error, 0)


def told_errors(connection: duckdb.DuckDBPyConnection) -> dict[str, list[FirstError]]:
    """Trace -> the first errors that others than this stage found: people, rollouts, judges, solvers."""
    found: dict[str, list[FirstError]] = {}
    for trace, source, step in connection.execute(_TOLD, [sorted(TOLD)]).fetchall():
        found.setdefault(trace, []).append(FirstError(step, Source(source)))
    return found


@dataclass(frozen=True, slots=True)
class Located:
    """``error`` is the first error to act on. The first ``ground`` steps say nothing of their own (``divergence.common_ground``);
    between the two nobody knows. ``rows`` are new rows of ``step_labels``."""

    error: FirstError | None
    ground: int
    rows: list[Row]


def locate(steps: Steps, siblings: Sequence[str], prompt: str, evidence: str, known: Sequence[FirstError]) -> Located:
    """What can be told of a wrong attempt with these right siblings, beside what is ``known`` of it."""
    siblings = siblings[:SIBLINGS]
    ground = common_ground(steps, siblings, prompt)
    others = [lean_first_error(steps, evidence), divergence(steps, siblings, prompt)]
    new = [error for error in others if error is not None]
    found = [*new, *known]
    agreed = consensus(found)
    rows = []
    for error in (*new, *([agreed] if agreed is not None else [])):
        rows += located(steps, error, None if error.source is Source.LEAN else ground)
    return Located(best(found), ground, rows)


def _row_steps(batch: pa.RecordBatch, row: int, text: str) -> Steps:
    trace, spans, segmenter = (batch[name][row].as_py() for name in ("trace_id", "steps", "segmenter"))
    return Steps.of(trace, text, spans, segmenter)
