"""The mining stage: a build of ``pairs`` from all that is committed, block by block.

What must stay true: the newest whole build is of the verdicts and the settings there are; mining again without a change
does nothing; a build that is killed goes on with its next block; of all attempts, those in a pair and those left out for a
reason are the whole.
"""

from __future__ import annotations

from collections import Counter
from typing import Final

import duckdb
import pyarrow as pa

from tracemill.schemas import ids
from tracemill.schemas.recipe import MiningSpec
from tracemill.schemas.tables import schema_of
from tracemill.tasks.mining.attempts import Pool, pooled
from tracemill.tasks.mining.pairs import mine_block
from tracemill.tasks.queries import connect
from tracemill.tasks.reporting.listener import Listener
from tracemill.tasks.store import Commit, Funnel, RunStore
from tracemill.tasks.store.builds import BUILT, MINE, build_of, counted, shard_of
from tracemill.tasks.views import splits

STAGE: Final = MINE
PAIRS: Final = "mine:pairs"

#: Of the rules in this package; a build by other rules is another build.
VERSION: Final = 1

#: What a build is made from; commits of anything else do not make it stale.
_READ: Final = frozenset({"traces", "verdicts", "problems", "drops", "step_labels"})


def mine(run: RunStore, spec: MiningSpec, validation: float, listener: Listener | None = None) -> list[Commit]:
    """Mine ``run`` as ``spec`` says; returns the commits of the build. ``validation`` is the share of validation clusters."""
    build = _build_id(run, spec, validation)
    commits = run.commits(STAGE)
    whole = [commit for commit in counted(commits) if commit.stage == STAGE]
    if whole and build_of(whole[0])[1] == build.rpartition("_")[2]:
        return whole
    place = _place(commits, build)
    with connect([run]) as connection:
        split_of = _splits(connection, validation)
        golds = dict(connection.execute("SELECT problem_id, gold FROM problems").fetchall())
        with pooled(run, connection, spec) as pool:
            if listener is not None:
                listener.stage(STAGE, pool.attempts)
            made, part = [], 0
            for part, block in enumerate(pool.blocks(), 1):
                shard = shard_of(place, build, part)
                if not run.is_committed(STAGE, shard):
                    found = mine_block(block, spec, split_of, golds, {})
                    funnel = Funnel(PAIRS, found.attempts, found.used, dict(sorted(found.unused.items())))
                    table = pa.Table.from_pylist(found.rows, schema=schema_of("pairs"))
                    made.append(run.commit(STAGE, shard, {"pairs": table}, funnel, {"last": False}))
                if listener is not None:
                    listener.advance(STAGE, block.num_rows)
            closing = _left_out(pool)
            made.append(run.commit(STAGE, shard_of(place, build, part + 1), {}, closing, {"last": True}))
    return made


def _left_out(pool: Pool) -> Funnel:
    return Funnel(PAIRS, sum(pool.left_out.values()), 0, dict(sorted(Counter(pool.left_out).items())))


def _build_id(run: RunStore, spec: MiningSpec, validation: float) -> str:
    read = sorted(
        [commit.stage, commit.shard]
        for commit in run.commits()
        if commit.stage not in BUILT and any(file.table in _READ for file in commit.files)
    )
    return ids.digest("mine", VERSION, spec.model_dump(mode="json"), validation, read)


def _place(commits: list[Commit], build: str) -> int:
    """Where an unfinished build of the same id goes on, else behind all others."""
    found = {build_of(commit) for commit in commits}
    last = max(found, default=(-1, ""))
    return last[0] if last[1] == build.rpartition("_")[2] else last[0] + 1


def _splits(connection: duckdb.DuckDBPyConnection, validation: float) -> dict[str, str]:
    problems = connection.execute("SELECT problem_id, cluster_id, split FROM problems").fetchall()
    return splits.assign(problems, validation)
