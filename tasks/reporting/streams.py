"""What was told of the searches of a run, by linearizer: how many streams, how many verified, and why the others were not told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import duckdb

from tracemill.tasks.reporting.grid import Grid

_ROWS: Final = """
WITH told AS (
    SELECT linearizer, count(*) AS told, count(*) FILTER (verified) AS verified, avg(length(text)) AS characters
    FROM streams WHERE tree_id IS NOT NULL GROUP BY linearizer
), lost AS (
    SELECT detail AS linearizer, sum(n)::BIGINT AS dropped, string_agg(reason || ' ' || n, ', ' ORDER BY reason) AS reasons
    FROM (SELECT detail, reason, count(*) AS n FROM drops WHERE stage = 'linearize' GROUP BY detail, reason)
    GROUP BY detail
)
SELECT linearizer, coalesce(told, 0), coalesce(verified, 0), characters, coalesce(dropped, 0), coalesce(reasons, '')
FROM told FULL JOIN lost USING (linearizer) ORDER BY linearizer
"""


@dataclass(frozen=True, slots=True)
class StreamRow:
    """One linearizer. ``characters`` is the mean length of a stream; ``reasons`` counts the drops by reason."""

    linearizer: str
    told: int
    verified: int
    characters: float | None
    dropped: int
    reasons: str


def stream_rows(connection: duckdb.DuckDBPyConnection) -> list[StreamRow]:
    """The rows of the one run that ``connection`` sees."""
    return [StreamRow(*row) for row in connection.execute(_ROWS).fetchall()]


def stream_grid(rows: tuple[StreamRow, ...]) -> Grid:
    return Grid(
        "Streams",
        ("linearizer", "told", "verified", "mean characters", "dropped", "why"),
        tuple(
            (
                r.linearizer,
                r.told,
                r.verified,
                None if r.characters is None else round(r.characters),
                r.dropped,
                r.reasons,
            )
            for r in rows
        ),
    )
