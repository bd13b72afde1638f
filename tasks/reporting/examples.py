"""Example traces: a few attempts to look at, right ones and wrong ones, as the model said them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import duckdb

from tracemill.tasks.reporting.grid import visible

#: Longest text that is shown of one trace, in characters.
SHOWN: Final = 4000

_PICK: Final = """
CREATE OR REPLACE TEMP TABLE _picked AS
WITH pool AS (
    SELECT run, trace_id, problem_id, coalesce(outcome, 'unverified') AS outcome,
        row_number() OVER (PARTITION BY coalesce(outcome, 'unverified') ORDER BY trace_id) AS turn
    FROM attempts WHERE error IS NULL
)
SELECT * FROM pool ORDER BY turn, outcome <> 'correct', outcome LIMIT ?
"""
_SHOW: Final = """
SELECT x.trace_id, p.prompt, p.gold, w.answer, x.outcome, t.text, v.verifier, v.reason
FROM _picked x
JOIN traces t ON t.run = x.run AND t.trace_id = x.trace_id
JOIN answers w ON w.run = x.run AND w.trace_id = x.trace_id
JOIN problems p ON p.run = x.run AND p.problem_id = x.problem_id
LEFT JOIN final_verdict v ON v.run = x.run AND v.subject_id = x.trace_id
ORDER BY x.turn, x.outcome <> 'correct', x.outcome
"""


@dataclass(frozen=True, slots=True)
class Example:
    trace_id: str
    prompt: str
    gold: str | None
    answer: str | None
    outcome: str
    text: str
    verifier: str | None
    reason: str | None


def examples(connection: duckdb.DuckDBPyConnection, n: int) -> list[Example]:
    """At most ``n`` traces, of each outcome in turn, ``correct`` first; the same ones every time."""
    connection.execute(_PICK, [n])
    return [Example(*row) for row in connection.execute(_SHOW).fetchall()]


def clip(text: str, most: int = SHOWN) -> str:
    """``text``, its middle left out where it is longer than ``most``."""
    if len(text) <= most:
        return text
    head = most * 3 // 4
    return f"{text[:head]}\n[... {len(text) - most:,} characters ...]\n{text[-(most - head) :]}"


def example_text(example: Example, most: int = SHOWN) -> str:
    """Readable on a terminal; nothing in it can drive one."""

    def block(text: str) -> str:
        return "\n".join(f"  | {line}" for line in visible(clip(text, most), lines=True).split("\n"))

    said = f"{example.verifier}: {example.outcome}" if example.verifier else example.outcome
    lines = [
        f"{example.trace_id}  {said}" + (f" ({visible(example.reason)})" if example.reason else ""),
        " problem",
        block(example.prompt),
        " trace",
        block(example.text),
        f" answer {visible(example.answer or '-')}   gold {visible(example.gold or '-')}",
    ]
    return "\n".join(lines)
