"""Labelling: committed traces without a verdict in, verdicts out. Idempotent: a verdict that stands is not asked again.

No verifier gives a verdict before it has passed its canaries, once each start.

A verdict stands for a trace under one verifier, version and configuration. What the verdict depends on besides these (the
text, the problem's gold and spec) cannot change under the same trace id.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from tracemill.schemas import ids
from tracemill.schemas.enums import Outcome
from tracemill.schemas.recipe import VerifierSpec
from tracemill.schemas.records import Problem
from tracemill.tasks.reporting.listener import Listener
from tracemill.tasks.sampling import candidate_of
from tracemill.tasks.store import Commit, Funnel, RunStore
from tracemill.verifiers.base import Candidate, Judgement, Verifier
from tracemill.verifiers.canaries.base import CanaryError, Report, prove
from tracemill.verifiers.canaries.registry import find_suite
from tracemill.verifiers.consensus import consensus_verdicts
from tracemill.verifiers.pool import VerifierPool
from tracemill.verifiers.registry import build_verifier
from tracemill.verifiers.verdicts import verdict_table

STAGE: Final = "verify"
CONSENSUS: Final = "consensus"
COLUMNS: Final = ("trace_id", "problem_id", "text", "finish_reason", "error")


class Labeller:
    """Runs each problem's own verifier, and those that the recipe adds for every trace."""

    def __init__(
        self,
        run: RunStore,
        pool: VerifierPool,
        problems: Sequence[Problem],
        specs: Sequence[VerifierSpec],
        listener: Listener,
        apart: frozenset[str] = frozenset(),
    ) -> None:
        self._run, self._pool, self._listener = run, pool, listener
        self._problems = {problem.problem_id: problem for problem in problems}
        options = {spec.kind: spec for spec in specs}
        named = {problem.verifier for problem in problems}
        self._extra = [spec.kind for spec in specs if spec.all_problems]
        self._apart = apart
        self.canaries: dict[str, Report | None] = {}
        self._proving = asyncio.Lock()
        self.verifiers: dict[str, Verifier] = {}
        for name in sorted(named | set(self._extra)):
            spec = options.get(name)
            self.verifiers[name] = build_verifier(
                name, options=spec.options if spec else None, time_limit=spec.time_limit if spec else None
            )

    async def judge(self, candidate: Candidate, verifier: str) -> Judgement:
        """One response, for a strategy that decides by it; nothing is stored."""
        verdicts = await self._pool.verify(await self._trusted(verifier), [candidate])
        return verdicts[0].judgement

    async def prove(self) -> None:
        """Run the canaries of every verifier that has not had them. Raises CanaryError for one that fails."""
        for name in self.verifiers:
            await self._trusted(name)

    async def _trusted(self, name: str) -> Verifier:
        """The verifier, once its canaries have passed; one that has none is taken as it is."""
        verifier = self.verifiers[name]
        if name not in self.canaries:
            async with self._proving:
                if name not in self.canaries:
                    suite = find_suite(verifier)
                    self.canaries[name] = await prove(self._pool, verifier, suite) if suite else None
        report = self.canaries[name]
        if report is not None and not report.passed:
            raise CanaryError(report)
        return verifier

    async def label(self, commit: Commit) -> None:
        """Verify the traces that ``commit`` brought and commit their verdicts."""
        if commit.rows("traces"):
            for name, group in self._by_verifier(self._run.read_shard(commit, "traces", COLUMNS)):
                await self._commit(name, group)

    def owed(self) -> Iterator[tuple[str, pa.Table]]:
        """What earlier invocations left unlabelled: (verifier, traces), one committed shard at a time."""
        stands = self._standing()
        for commit in self._run.commits():
            if not commit.rows("traces"):
                continue
            for name, group in self._by_verifier(self._run.read_shard(commit, "traces", COLUMNS)):
                verifier = self.verifiers[name]
                key = (name, verifier.version, verifier.config_hash)
                have = stands.get(key)
                if have is not None:
                    group = group.filter(pc.invert(pc.is_in(group["trace_id"], value_set=have)))
                if group.num_rows:
                    yield name, group

    async def label_owed(self) -> int:
        """Label everything that is owed; returns the number of verdicts given."""
        count = 0
        for name, group in self.owed():
            await self._commit(name, group)
            count += group.num_rows
        return count

    def _by_verifier(self, traces: pa.Table) -> Iterator[tuple[str, pa.Table]]:
        names = [
            self._problems[problem].verifier if problem in self._problems else None
            for problem in traces["problem_id"].to_pylist()
        ]  # None beyond a lowered limit: left as it is
        column = pa.array(names, pa.string())
        usable = pc.and_(
            pc.is_null(traces["error"]), pc.invert(pc.is_in(traces["trace_id"], value_set=self._set_apart()))
        )
        for name in sorted({name for name in names if name is not None}):
            group = traces.filter(pc.and_(pc.equal(column, name), usable))
            if group.num_rows:
                yield name, group
        for name in self._extra:
            group = traces.filter(pc.and_(pc.not_equal(column, name), usable))
            if group.num_rows:
                yield name, group

    def _set_apart(self) -> pa.Array:
        return pa.array(sorted(self._apart), pa.string())

    def _standing(self) -> dict[tuple[str, str, str], pa.Array]:
        table = self._run.read("verdicts", ["subject_id", "verifier", "version", "config_hash"])
        grouped: dict[tuple[str, str, str], list[str]] = {}
        for subject, *key in zip(*(column.to_pylist() for column in table.columns), strict=True):
            grouped.setdefault((key[0], key[1], key[2]), []).append(subject)
        return {key: pa.array(subjects, pa.string()) for key, subjects in grouped.items()}

    async def _commit(self, name: str, traces: pa.Table) -> None:
        verifier = self.verifiers[name]
        subjects = traces["trace_id"].to_pylist()
        shard_id = ids.digest("shard", STAGE, name, verifier.version, verifier.config_hash, subjects)
        if self._run.is_committed(STAGE, shard_id):
            return
        candidates = [
            candidate_of(self._problems[problem], subject, text, finish)
            for subject, problem, text, finish in zip(
                subjects,
                traces["problem_id"].to_pylist(),
                traces["text"].to_pylist(),
                traces["finish_reason"].to_pylist(),
                strict=True,
            )
        ]
        verdicts = await self._pool.verify(await self._trusted(name), candidates)
        self._run.commit(
            STAGE, shard_id, {"verdicts": verdict_table(verdicts)}, Funnel(STAGE, len(candidates), len(verdicts), {})
        )
        graded = [verdict for verdict in verdicts if verdict.judgement.outcome is not Outcome.ERROR]
        self._listener.verdicts(sum(verdict.correct for verdict in graded), len(graded))
        self._listener.advance(STAGE, len(verdicts))


def vote(run: RunStore) -> None:
    """Majority verdicts (level ``pseudo``) for problems whose set of answers has none yet (algorithms §2.2)."""
    table = run.read("traces", ["trace_id", "problem_id", "answer", "error"])
    drops = run.read("drops", ["subject_id", "reason"])
    superseded = drops.filter(pc.equal(drops["reason"], "superseded"))["subject_id"]
    replaced = pc.is_in(table["trace_id"], value_set=superseded.combine_chunks())
    table = table.filter(pc.and_(pc.is_null(table["error"]), pc.invert(replaced)))
    verdicts = consensus_verdicts(
        list(zip(*(table[name].to_pylist() for name in ("trace_id", "problem_id", "answer")), strict=True))
    )
    stands = run.read("verdicts", ["subject_id", "verifier", "inputs_hash"])
    have = set(zip(*(column.to_pylist() for column in stands.columns), strict=True))
    new = [verdict for verdict in verdicts if (verdict.subject_id, verdict.verifier, verdict.inputs_hash) not in have]
    if new:
        shard_id = ids.digest("shard", CONSENSUS, [(v.subject_id, v.inputs_hash) for v in new])
        run.commit(CONSENSUS, shard_id, {"verdicts": verdict_table(new)}, Funnel(CONSENSUS, len(new), len(new), {}))
