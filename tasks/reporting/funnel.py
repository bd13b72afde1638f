"""The funnel: what went into each stage, what came out, and why the rest did not."""

from __future__ import annotations

from dataclasses import dataclass

import duckdb

from tracemill.tasks.reporting.grid import Grid


@dataclass(frozen=True, slots=True)
class StageCount:
    """One stage, or one reason of it: ``rows_in == rows_out`` plus what was dropped over all reasons."""

    stage: str
    rows_in: int
    rows_out: int
    reason: str | None
    dropped: int


def funnel_rows(connection: duckdb.DuckDBPyConnection, run: str) -> list[StageCount]:
    """The rows of the view ``funnel`` for one run, in the order of the stages."""
    found = connection.execute(
        "SELECT stage, rows_in, rows_out, reason, dropped FROM funnel WHERE run = ?", [run]
    ).fetchall()
    return [StageCount(*row) for row in found]


def funnel_grid(rows: list[StageCount]) -> Grid:
    """Each stage's counts once, its reasons below each other."""
    shown: list[tuple[str | int | None, ...]] = []
    last = None
    for row in rows:
        head: tuple[str | int | None, ...] = (
            (row.stage, row.rows_in, row.rows_out) if row.stage != last else ("", None, None)
        )
        shown.append((*head, row.dropped or None, row.reason or ""))
        last = row.stage
    return Grid("Funnel", ("stage", "in", "out", "dropped", "reason"), tuple(shown))


def funnel_line(rows: list[StageCount]) -> str:
    """The funnel in one line: ``load 72, sample 288, verify 288``."""
    return ", ".join(f"{stage} {out:,}" for stage, out in {row.stage: row.rows_out for row in rows}.items())
