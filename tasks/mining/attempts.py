"""The attempts that pairs are made of, problem by problem, however they lie scattered over a run's shards.

What must stay true: an attempt is wrong or right only by the final verdict of a rule verifier; what was cut, failed, replaced,
set apart or has seen the answer is neither; never more than one block of texts is in memory, because the texts are
sorted by problem on disk; every attempt that is left out is counted with one reason.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tracemill.schemas.recipe import MiningSpec
from tracemill.tasks.store import RunStore
from tracemill.tasks.store.builds import counted
from tracemill.tasks.store.location import location_of
from tracemill.tasks.views.select import arrow, table_batches

#: Most attempts of one problem that are looked at, drawn by their ids, which are hashes.
PER_PROBLEM: Final = 8192
#: A block ends at the first problem's end beyond so many attempts, or characters of text.
BLOCK_ROWS: Final = 8192
BLOCK_CHARACTERS: Final = 24 << 20

#: A part of the attempts on disk is about so large, and there are at most so many.
_PART_BYTES: Final = 96 << 20
_MOST_PARTS: Final = 256

#: Rows of a part are held until they are so large.
_HELD_BYTES: Final = 4 << 20

_MEMORY: Final = "1500MB"

_DECIDED: Final = """
CREATE OR REPLACE TEMP TABLE mined AS
WITH replaced AS (
    SELECT DISTINCT subject_id FROM drops WHERE reason = 'superseded' AND stage NOT LIKE 'view:%'
), apart AS (
    SELECT DISTINCT subject_id FROM drops WHERE stage = 'verify'
), flagged AS (
    SELECT DISTINCT subject_id FROM drops WHERE stage = 'problem'
), judged AS (
    SELECT t.trace_id, t.problem_id, t.policy_id, t.template_id, t.round, t.text_hash, v.outcome, v.score, v.verifier, v.version,
        CASE
            WHEN x.subject_id IS NOT NULL THEN 'superseded'
            WHEN t.error IS NOT NULL OR t.finish_reason IN ('error', 'abort') THEN 'error'
            WHEN t.kind NOT IN ('sample', 'imported', 'revision') THEN 'kind_' || t.kind
            WHEN f.subject_id IS NOT NULL THEN 'problem_flagged'
            WHEN a.subject_id IS NOT NULL THEN 'set_apart'
            WHEN t.finish_reason = 'length' THEN 'truncated'
            WHEN v.outcome IS NULL THEN 'unverified'
            WHEN v.outcome NOT IN ('correct', 'incorrect') THEN v.outcome
        END AS reason
    FROM traces t
    LEFT JOIN final_verdict v ON v.subject_id = t.trace_id
    LEFT JOIN replaced x ON x.subject_id = t.trace_id
    LEFT JOIN apart a ON a.subject_id = t.trace_id
    LEFT JOIN flagged f ON f.subject_id = t.problem_id
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

_FACTS: Final = """
SELECT problem_id, trace_id, policy_id, template_id, round, good, value, verifier, version
FROM mined WHERE reason IS NULL ORDER BY problem_id, trace_id
"""


@dataclass(frozen=True, slots=True)
class Pool:
    """The attempts that can be paired, in parts of whole problems on disk, and how many others there are for which reason."""

    attempts: int
    left_out: Mapping[str, int]
    _facts: pa.Table
    _parts: _Parts

    def blocks(self) -> Iterator[pa.Table]:
        """Tables of whole problems, ordered by problem and attempt: the facts, texts, steps and what the verifier found."""
        for part in range(self._parts.count):
            rows = self._parts.read(part)
            problems = rows["problem_id"].to_pylist()
            sizes = pc.binary_length(rows["text"]).to_pylist()
            start = characters = 0
            for row, problem in enumerate(problems):
                full = row - start >= BLOCK_ROWS or characters >= BLOCK_CHARACTERS
                if full and problem != problems[row - 1]:
                    yield rows.slice(start, row - start)
                    start, characters = row, 0
                characters += sizes[row] or 0
            if rows.num_rows:
                yield rows.slice(start)


@contextmanager
def pooled(run: RunStore, connection: duckdb.DuckDBPyConnection, spec: MiningSpec) -> Iterator[Pool]:
    """The attempts of ``run``, which ``connection`` is open to, that can be paired. Uses the disk while it lasts."""
    connection.execute(f"SET memory_limit = '{_MEMORY}'")
    connection.execute("SET enable_progress_bar = false")
    connection.execute(_DECIDED, {"most": PER_PROBLEM, "same_policy": spec.same_policy})
    counted = dict(connection.execute("SELECT reason, count(*) FROM mined GROUP BY reason").fetchall())
    facts = arrow(connection, _FACTS).combine_chunks()
    connection.execute("DROP TABLE mined")
    with tempfile.TemporaryDirectory(prefix="tracemill-mining-") as folder:
        parts = _Parts(folder, facts, _part_rows(run))
        parts.fill(run)
        yield Pool(counted.pop(None, 0), counted, facts, parts)


class _Parts:
    """Texts and evidence, sorted into files of whole problems, because no pass over a run finds a problem in one place."""

    def __init__(self, folder: str, facts: pa.Table, rows: int) -> None:
        self._folder = folder
        self._facts = facts
        self._part, self._starts = _cut(facts["problem_id"].to_pylist(), rows)
        self._place = {trace: row for row, trace in enumerate(facts["trace_id"].to_pylist())}
        self._writers: dict[str, pq.ParquetWriter] = {}
        self._held: dict[str, list[pa.Table]] = {}
        self._bytes: dict[str, int] = {}

    @property
    def count(self) -> int:
        return len(self._starts) - 1

    def fill(self, run: RunStore) -> None:
        for batch in table_batches(run, "traces", ["trace_id", "text", "steps", "segmenter"]):
            self._sort_in("text", batch["trace_id"], batch)
        wrong = pc.invert(self._facts["good"]).to_pylist()
        named = list(zip(*(self._facts[name].to_pylist() for name in ("verifier", "version")), strict=True))
        for batch in table_batches(run, "verdicts", ["subject_id", "verifier", "version", "reason", "evidence"]):
            found = zip(*(batch[name].to_pylist() for name in ("subject_id", "verifier", "version")), strict=True)
            rows = [(self._place.get(subject), (verifier, version)) for subject, verifier, version in found]
            mask = [row is not None and wrong[row] and named[row] == by for row, by in rows]
            batch = batch.filter(pa.array(mask, pa.bool_()))
            self._sort_in("verdict", batch["subject_id"], batch.select(["reason", "evidence"]))
        for name in list(self._held):
            self._write(name)
        for writer in self._writers.values():
            writer.close()

    def read(self, part: int) -> pa.Table:
        """The rows of one part, in the order of the facts."""
        first, last = self._starts[part : part + 2]
        facts = self._facts.slice(first, last - first)
        texts = self._table(f"text-{part}").sort_by("row")
        found = self._table(f"verdict-{part}")
        told = dict(zip(found["row"].to_pylist(), range(found.num_rows), strict=True)) if found.num_rows else {}
        where = pa.array([told.get(row) for row in range(first, last)], pa.int64())
        columns = {name: texts[name] for name in ("text", "steps", "segmenter")}
        columns |= {
            name: found[name].take(where) if found.num_rows else pa.nulls(len(where), pa.string())
            for name in ("reason", "evidence")
        }
        for name, column in columns.items():
            facts = facts.append_column(name, column)
        return facts

    def _table(self, name: str) -> pa.Table:
        path = os.path.join(self._folder, name)
        return pq.read_table(path) if os.path.exists(path) else pa.table({"row": pa.array([], pa.int64())})

    def _sort_in(self, kind: str, subjects: pa.Array, batch: pa.RecordBatch) -> None:
        rows = [self._place.get(subject) for subject in subjects.to_pylist()]
        by_part: dict[int, list[int]] = {}
        for at, row in enumerate(rows):
            if row is not None:
                by_part.setdefault(self._part[row], []).append(at)
        for part, places in by_part.items():
            here = pa.Table.from_batches([batch.take(pa.array(places))])
            self._hold(f"{kind}-{part}", here.append_column("row", pa.array([rows[at] for at in places], pa.int64())))

    def _hold(self, name: str, table: pa.Table) -> None:
        self._held.setdefault(name, []).append(table)
        self._bytes[name] = self._bytes.get(name, 0) + table.nbytes
        if self._bytes[name] >= _HELD_BYTES:
            self._write(name)

    def _write(self, name: str) -> None:
        table = pa.concat_tables(self._held.pop(name))
        self._bytes[name] = 0
        if name not in self._writers:
            path = os.path.join(self._folder, name)
            self._writers[name] = pq.ParquetWriter(path, table.schema, compression="lz4")
        self._writers[name].write_table(table)


def _cut(problems: Sequence[str], rows: int) -> tuple[list[int], list[int]]:
    """The part of each row, and where the parts begin and the last one ends; a part ends with a problem."""
    part: list[int] = []
    starts = [0]
    for row, problem in enumerate(problems):
        if row - starts[-1] >= rows and problem != problems[row - 1]:
            starts.append(row)
        part.append(len(starts) - 1)
    return part, [*starts, len(problems)] if part else starts


def _part_rows(run: RunStore) -> int:
    """Attempts in a part, by the mean size of a trace of this run."""
    files = [file for commit in counted(run.commits()) for file in commit.files if file.table == "traces"]
    rows = max(1, sum(file.rows for file in files))
    location = location_of(run.path)
    size = 0
    for file in files:
        with location.open(file.path) as source:
            metadata = pq.read_metadata(source)
            size += sum(metadata.row_group(group).total_byte_size for group in range(metadata.num_row_groups))
    return max(1, _PART_BYTES * rows // max(size, 1), rows // _MOST_PARTS)
