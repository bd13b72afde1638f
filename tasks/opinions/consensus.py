"""The vote over a run's committed attempts (algorithms §2.2): one for each problem whose set of answers has none yet."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from tracemill.schemas import ids
from tracemill.schemas.records import Problem
from tracemill.tasks.queries import connect
from tracemill.tasks.store import Funnel, RunStore
from tracemill.verifiers import consensus
from tracemill.verifiers.base import Verifier
from tracemill.verifiers.verdicts import verdict_table

STAGE: Final = consensus.NAME


def vote(run: RunStore, verifier: Verifier, problems: Sequence[Problem]) -> int:
    """Commit the majority verdicts of ``problems`` that are not there yet; how many. Doing it twice adds nothing.

    A trace that failed, was replaced, or is no independent attempt has no vote. Problems with a gold answer vote only under
    the option ``all``.
    """
    options = consensus.read_options(verifier.config)
    voting = [p.problem_id for p in problems if options.all or not (p.gold or "").strip()]
    with connect([run]) as connection:
        table = connection.sql(
            """SELECT a.trace_id, a.problem_id, w.answer FROM attempts a
            JOIN answers w ON w.run = a.run AND w.trace_id = a.trace_id
            WHERE a.error IS NULL ORDER BY a.problem_id, a.trace_id"""
        ).to_arrow_table()
    table = table.filter(pc.is_in(table["problem_id"], value_set=pa.array(voting, pa.string())))
    columns = (table[name].to_pylist() for name in ("trace_id", "problem_id", "answer"))
    verdicts = consensus.consensus_verdicts(list(zip(*columns, strict=True)), verifier)
    stands = run.read("verdicts", ["subject_id", "verifier", "version", "config_hash", "inputs_hash"])
    have = set(zip(*(column.to_pylist() for column in stands.columns), strict=True))
    new = [v for v in verdicts if (v.subject_id, v.verifier, v.version, v.config_hash, v.inputs_hash) not in have]
    if new:
        shard_id = ids.digest("shard", STAGE, [(v.subject_id, v.config_hash, v.inputs_hash) for v in new])
        run.commit(STAGE, shard_id, {"verdicts": verdict_table(new)}, Funnel(STAGE, len(new), len(new), {}))
    return len(new)
