"""The mining stage: a build of ``pairs`` from all that is committed, block by block.

What must stay true: the newest whole build is of the verdicts and the settings there are; mining again without a change
does nothing; a build that is killed goes on with its next block; of all attempts, those in a pair and those left out for a
reason are the whole.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any, Final

import duckdb
import pyarrow as pa

from tracemill.schemas import ids
from tracemill.schemas.recipe import MiningSpec
from tracemill.schemas.tables import schema_of
from tracemill.tasks.mining.attempts import Pool, pooled
from tracemill.tasks.mining.errors import arithmetic_errors, told_errors
from tracemill.tasks.mining.made import Verify, rows_of, spliced
from tracemill.tasks.mining.pairs import mine_block
from tracemill.tasks.mining.trees import PART, sibling_rows, trees_of
from tracemill.tasks.queries import connect
from tracemill.tasks.reporting.listener import Listener
from tracemill.tasks.store import Commit, Funnel, RunStore
from tracemill.tasks.store.builds import BUILT, MINE, build_of, counted, shard_of
from tracemill.tasks.views import splits
from tracemill.tasks.views.rows import Prompts
from tracemill.verifiers.base import Verdict
from tracemill.verifiers.verdicts import verdict_table

STAGE: Final = MINE
PAIRS: Final = "mine:pairs"
SIBLINGS: Final = "mine:siblings"

#: Of the rules in this package; a build by other rules is another build.
VERSION: Final = 4

#: Keys of the recipe for what is looked at or asked before mining begins, and is read as labels.
ASKED: Final = {"execute", "rollouts", "judge", "scorer"}

Row = dict[str, Any]

#: What a build is made from; commits of anything else do not make it stale.
_READ: Final = frozenset({"traces", "verdicts", "problems", "drops", "step_labels"})


async def mine(
    run: RunStore, spec: MiningSpec, validation: float, verify: Verify, listener: Listener | None = None
) -> list[Commit]:
    """Mine ``run`` as ``spec`` says; returns the commits of the build.

    ``validation`` is the share of validation clusters; ``verify`` judges spliced texts.
    """
    build = _build_id(run, spec, validation)
    commits = run.commits(STAGE)
    whole = [commit for commit in counted(commits) if commit.stage == STAGE]
    if whole and build_of(whole[0])[1] == build.rpartition("_")[2]:
        return whole
    writer = _Writer(run, _place(commits, build), build)
    with connect([run]) as connection:
        errors = told_errors(connection)
        split_of = _splits(connection, validation)
        found = connection.execute("SELECT problem_id, prompt, gold FROM problems").fetchall()
        problems = {problem: (prompt, gold) for problem, prompt, gold in found}
        prompts = Prompts(run)
        with pooled(run, connection, spec) as pool:
            if listener is not None:
                listener.stage(STAGE, pool.attempts)
            labels: list[Row] = []
            for error, rows in arithmetic_errors(run):
                errors.setdefault(rows[0]["trace_id"], []).append(error)
                labels += rows
            writer.write({"step_labels": labels}, [_left_out(pool)])
            for block in pool.blocks():
                if not writer.has_next():
                    mined = mine_block(block, spec, split_of, problems, errors)
                    funnels = [Funnel(PAIRS, mined.attempts, mined.used, dict(sorted(mined.unused.items())))]
                    tables = {"pairs": mined.rows, "step_labels": mined.labels}
                    tables |= rows_of(mined.drawn, spec, lambda template, problem: _asked(prompts, template, problem))
                    verdicts: list[Verdict] = []
                    if "splices" in spec.make:
                        tables["streams"], verdicts, funnel = await spliced(mined.drawn, spec, verify)
                        funnels.append(funnel)
                    writer.write(tables, funnels, verdicts)
                if listener is not None:
                    listener.advance(STAGE, block.num_rows)
            if "siblings" in spec.make:
                _mine_trees(connection, split_of, writer)
            writer.close()
    return writer.commits


def _mine_trees(connection: duckdb.DuckDBPyConnection, split_of: Mapping[str, str], writer: _Writer) -> None:
    """The preferences between siblings, some trees a part."""
    trees = trees_of(connection)
    while part := list(islice(trees, PART)):
        if not writer.has_next():
            found = [sibling_rows(nodes, split_of[nodes[0]["problem_id"]]) for nodes in part]
            told = sum(map(bool, found))
            funnel = Funnel(SIBLINGS, len(found), told, {"no_sides": len(found) - told} if told < len(found) else {})
            writer.write({"preferences": [row for rows in found for row in rows]}, [funnel])


class _Writer:
    """The commits of one build, part by part; a part that is there already stays as it is."""

    def __init__(self, run: RunStore, place: int, build: str) -> None:
        self._run, self._place, self._build = run, place, build
        self._part = 0
        self.commits: list[Commit] = []

    def has_next(self) -> bool:
        """Whether the next part is committed; then it is passed over."""
        shard = self._shard()
        if self._run.is_committed(STAGE, shard):
            self.write({}, [])
            return True
        return False

    def write(
        self, tables: Mapping[str, list[Row]], funnels: Sequence[Funnel], verdicts: Sequence[Verdict] = ()
    ) -> None:
        made = {name: pa.Table.from_pylist(rows, schema=schema_of(name)) for name, rows in tables.items()}
        if verdicts:
            made["verdicts"] = verdict_table(verdicts)
        info = {"last": False, "funnels": [funnel.document() for funnel in funnels]}
        self.commits.append(self._run.commit(STAGE, self._shard(), made, info=info))
        self._part += 1

    def close(self) -> None:
        """From here on the build counts."""
        self.commits.append(self._run.commit(STAGE, self._shard(), {}, None, {"last": True}))

    def _shard(self) -> str:
        return shard_of(self._place, self._build, self._part)


def _asked(prompts: Prompts, template: str | None, problem: str) -> list[dict[str, str]]:
    """The prompt as the attempt's template makes it; the bare question where that needs more than the problem."""
    messages, _ = prompts.before(None if template in prompts.incomplete else template, problem)
    return messages


def _left_out(pool: Pool) -> Funnel:
    return Funnel(PAIRS, sum(pool.left_out.values()), 0, dict(sorted(Counter(pool.left_out).items())))


def _build_id(run: RunStore, spec: MiningSpec, validation: float) -> str:
    read = sorted(
        [commit.stage, commit.shard]
        for commit in run.commits()
        if commit.stage not in BUILT and any(file.table in _READ for file in commit.files)
    )
    return ids.digest("mine", VERSION, spec.model_dump(mode="json", exclude=ASKED), validation, read)


def _place(commits: list[Commit], build: str) -> int:
    """Where an unfinished build of the same id goes on, else behind all others."""
    found = {build_of(commit) for commit in commits}
    last = max(found, default=(-1, ""))
    return last[0] if last[1] == build.rpartition("_")[2] else last[0] + 1


def _splits(connection: duckdb.DuckDBPyConnection, validation: float) -> dict[str, str]:
    problems = connection.execute("SELECT problem_id, cluster_id, split FROM problems").fetchall()
    return splits.assign(problems, validation)
