"""The attempts that pairs are made of, problem by problem, however they lie scattered over a run's shards.

What must stay true: an attempt is wrong or right only by the final verdict of a rule verifier; what was cut, failed, replaced,
set apart or has seen the answer is neither; never more than one block of texts is in memory, because the texts are
sorted by problem on disk; every attempt that is left out is counted with one reason.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from tracemill.schemas.recipe import MiningSpec

#: Most attempts of one problem that are looked at, drawn by their ids, which are hashes.
PER_PROBLEM: Final = 8192
#: A block ends at the first problem's end beyond so many attempts, or characters of text.
BLOCK_ROWS: Final = 8192
BLOCK_CHARACTERS: Final = 24 << 20

_BATCH: Final = 512
_MEMORY: Final = "1500MB"

_DECIDED: Final = """
CREATE OR REPLACE TEMP TABLE mined AS
WITH replaced AS (
    SELECT DISTINCT subject_id FROM drops WHERE reason = 'superseded' AND stage NOT LIKE 'view:%'
), apart AS (
    SELECT DISTINCT subject_id FROM drops WHERE stage = 'verify'
), judged AS (
    SELECT t.trace_id, t.problem_id, t.policy_id, t.round, t.text_hash, v.outcome, v.score, v.verifier,
        CASE
            WHEN x.subject_id IS NOT NULL THEN 'superseded'
            WHEN t.error IS NOT NULL OR t.finish_reason IN ('error', 'abort') THEN 'error'
            WHEN t.kind NOT IN ('sample', 'imported', 'revision') THEN 'kind_' || t.kind
            WHEN a.subject_id IS NOT NULL THEN 'set_apart'
            WHEN t.finish_reason = 'length' THEN 'truncated'
            WHEN v.outcome IS NULL THEN 'unverified'
            WHEN v.outcome NOT IN ('correct', 'incorrect') THEN v.outcome
        END AS reason
    FROM traces t
    LEFT JOIN final_verdict v ON v.subject_id = t.trace_id
    LEFT JOIN replaced x ON x.subject_id = t.trace_id
    LEFT JOIN apart a ON a.subject_id = t.trace_id
), once AS (
    SELECT * EXCLUDE (reason, score), outcome = 'correct' AS good,
        CASE WHEN outcome = 'correct' THEN 1.0 ELSE least(greatest(coalesce(score, 0.0), 0.0), 0.99) END AS value,
        CASE WHEN reason IS NOT NULL THEN reason
            WHEN row_number() OVER (PARTITION BY reason IS NULL, problem_id, policy_id, round, text_hash ORDER BY trace_id) > 1
            THEN 'duplicate_text' END AS reason
    FROM judged
), placed AS (
    SELECT * EXCLUDE (reason),
        CASE WHEN reason IS NOT NULL THEN reason
            WHEN row_number() OVER (PARTITION BY reason IS NULL, problem_id ORDER BY trace_id) > $most THEN 'over_limit'
        END AS reason
    FROM once
), paired AS (
    SELECT problem_id, CASE WHEN $same_policy THEN policy_id END AS pool
    FROM placed WHERE reason IS NULL GROUP BY ALL HAVING bool_or(good) AND NOT bool_and(good)
)
SELECT p.* EXCLUDE (reason),
    CASE WHEN reason IS NOT NULL THEN reason WHEN q.problem_id IS NULL THEN 'no_partner' END AS reason
FROM placed p
LEFT JOIN paired q ON q.problem_id = p.problem_id AND (NOT $same_policy OR q.pool = p.policy_id)
"""

_SORTED: Final = """
COPY (
    SELECT m.problem_id, m.trace_id, m.policy_id, m.round, m.good, m.value, m.outcome, t.text, t.steps, t.segmenter,
        t.answer, CASE WHEN NOT m.good THEN e.reason END AS reason, CASE WHEN NOT m.good THEN e.evidence END AS evidence
    FROM mined m
    JOIN traces t ON t.trace_id = m.trace_id
    LEFT JOIN current_verdicts e ON e.subject_id = m.trace_id AND e.verifier = m.verifier
    WHERE m.reason IS NULL
    ORDER BY m.problem_id, m.trace_id
) TO {path} (FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE 2048)
"""


@dataclass(frozen=True, slots=True)
class Pool:
    """The sorted attempts on disk, and how many others there are for which reason."""

    path: str
    attempts: int
    left_out: Mapping[str, int]

    def blocks(self) -> Iterator[pa.Table]:
        """Tables of whole problems, ordered by problem and attempt."""
        held: list[pa.Table] = []
        rows = characters = 0
        last: str | None = None
        with pq.ParquetFile(self.path) as file:
            for batch in file.iter_batches(_BATCH):
                table = pa.Table.from_batches([batch])
                problems = table["problem_id"].to_pylist()
                cut = 0
                if last is not None and (rows >= BLOCK_ROWS or characters >= BLOCK_CHARACTERS):
                    while cut < len(problems) and problems[cut] == last:
                        cut += 1
                    if cut < len(problems):
                        yield pa.concat_tables([*held, table.slice(0, cut)])
                        held, rows, characters = [], 0, 0
                        table = table.slice(cut)
                held.append(table)
                rows += table.num_rows
                characters += table["text"].nbytes
                last = problems[-1]
        if held:
            yield pa.concat_tables(held)


@contextmanager
def pooled(connection: duckdb.DuckDBPyConnection, spec: MiningSpec) -> Iterator[Pool]:
    """The attempts of the one run behind ``connection`` that can be paired. Uses the disk for what was sorted."""
    connection.execute(f"SET memory_limit = '{_MEMORY}'")
    connection.execute("SET preserve_insertion_order = false")
    connection.execute("SET enable_progress_bar = false")
    connection.execute(_DECIDED, {"most": PER_PROBLEM, "same_policy": spec.same_policy})
    counted = dict(connection.execute("SELECT reason, count(*) FROM mined GROUP BY reason").fetchall())
    with tempfile.TemporaryDirectory(prefix="tracemill-mining-") as folder:
        path = os.path.join(folder, "attempts.parquet")
        connection.execute(_SORTED.format(path="'" + path.replace("'", "''") + "'"))
        yield Pool(path, counted.pop(None, 0), counted)
