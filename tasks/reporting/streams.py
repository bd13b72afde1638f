"""What was told of the searches of a run: by linearizer how many streams, how many verified, and why the others were not told;
of Countdown, by search, the measures of Stream of Search (algorithms §2.19).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import duckdb

from tracemill.tasks.linearize.fit import TOO_LONG
from tracemill.tasks.linearize.metrics import MOST_NODES
from tracemill.tasks.reporting.grid import Grid, share

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


_NODES: Final = " ".join(f"WHEN {inputs} THEN {most}" for inputs, most in MOST_NODES.items())
_LINE: Final = "Exploring Operation: "
_SEARCHES: Final = f"""
WITH told AS (
    SELECT t.strategy, t.parameters ->> 'value' AS value, (t.parameters ->> 'width')::INT AS width, t.status = 'solved' AS solved,
        json_array_length(p.spec -> 'numbers') AS inputs, d.subject_id IS NOT NULL AS long,
        (length(s.text) - length(replace(s.text, '{_LINE}', ''))) / {len(_LINE)} AS explored
    FROM trees t
    JOIN problems p ON p.problem_id = t.problem_id
    LEFT JOIN streams s ON s.tree_id = t.tree_id AND s.linearizer = 'stream_of_search'
    LEFT JOIN drops d ON d.subject_id = t.tree_id AND d.stage = 'linearize' AND d.reason = '{TOO_LONG}'
        AND d.detail = 'stream_of_search'
    WHERE (t.parameters ->> 'domain') = 'countdown' AND t.strategy IN ('dfs', 'bfs') AND (p.spec -> 'numbers') IS NOT NULL
), rated AS (
    SELECT *, CASE WHEN solved THEN greatest(0, 1 - (explored + 1) / (CASE inputs {_NODES} END)::DOUBLE) ELSE 0 END AS rating
    FROM told WHERE long OR explored IS NOT NULL
)
SELECT strategy, value, width, count(*), avg(solved::INT), avg(explored), avg(rating) FILTER (NOT long),
    avg(explored / (inputs - 1)) FILTER (solved), avg(long::INT)
FROM rated GROUP BY ALL ORDER BY ALL
"""


@dataclass(frozen=True, slots=True)
class SearchRow:
    """One search of Countdown: means over its trees. ``gap`` is over solved ones alone; ``overflow`` the share of searches whose
    stream did not fit the recipe's ``stream_tokens`` (one that was shortened fits); ``explored`` counts what was told.
    """

    search: str
    value: str
    width: int | None
    trees: int
    solved: float
    explored: float | None
    rating: float | None
    gap: float | None
    overflow: float


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


def search_rows(connection: duckdb.DuckDBPyConnection) -> list[SearchRow]:
    """The depth- and breadth-first searches of Countdown of the one run that ``connection`` sees."""
    return [SearchRow(*row) for row in connection.execute(_SEARCHES).fetchall()]


def search_grid(rows: tuple[SearchRow, ...]) -> Grid:
    def shown(number: float | None, digits: int) -> float | None:
        return None if number is None else round(number, digits)

    return Grid(
        "Searches of Countdown",
        ("search", "value", "width", "trees", "solved", "explored", "rating", "gap", "too long"),
        tuple(
            (
                r.search,
                r.value,
                r.width,
                r.trees,
                share(r.solved),
                shown(r.explored, 1),
                shown(r.rating, 3),
                shown(r.gap, 1),
                share(r.overflow),
            )
            for r in rows
        ),
        "rating: 1 less the share of the whole game that was looked at, 0 unsolved; gap: nodes looked at to those of a shortest solution.",
    )


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
