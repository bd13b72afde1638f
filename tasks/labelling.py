"""Labelling: committed traces without a verdict in, verdicts out. Idempotent: a verdict that stands is not asked again.

No verifier gives a verdict before it has passed its canaries, once each start. A share of the verdicts is given twice;
where the two differ the row is ``error`` and the problem is flagged as flaky, which keeps it out of training views.

A verdict stands for a trace under one verifier, version and configuration. What the verdict depends on besides these (the
text, the problem's gold and spec) cannot change under the same trace id.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from tracemill.schemas import ids
from tracemill.schemas.enums import Outcome
from tracemill.schemas.recipe import VerifierSpec
from tracemill.schemas.records import Drop, Problem
from tracemill.schemas.tables import schema_of
from tracemill.tasks.opinions.names import OPINIONS
from tracemill.tasks.reporting.listener import Listener
from tracemill.tasks.sampling import candidate_of
from tracemill.tasks.store import Commit, Funnel, RunStore
from tracemill.verifiers.base import Candidate, Judgement, Verdict, Verifier
from tracemill.verifiers.canaries.base import CanaryError, Report, prove
from tracemill.verifiers.canaries.registry import find_suite
from tracemill.verifiers.pool import VerifierPool
from tracemill.verifiers.recheck import FLAKY, SHARE, differ, disputed, is_chosen, is_flaky, verify_checked
from tracemill.verifiers.registry import build_verifier
from tracemill.verifiers.verdicts import verdict_table

STAGE: Final = "verify"
#: The stage of the ``drops`` rows that flag a problem: all its traces stay out of training views, for that reason.
PROBLEM: Final = "problem"
COLUMNS: Final = ("trace_id", "problem_id", "text", "finish_reason", "error")


def verifiers_of(problems: Iterable[Problem], specs: Sequence[VerifierSpec]) -> dict[str, Verifier]:
    """Name -> verifier, for those that ``problems`` name and those that ``specs`` add. Raises ``UsageError`` for one that is not."""
    options = {spec.kind: spec for spec in specs}
    named = {problem.verifier for problem in problems} | {spec.kind for spec in specs if spec.all_problems}
    named -= OPINIONS
    return {
        name: build_verifier(
            name,
            options=options[name].options if name in options else None,
            time_limit=options[name].time_limit if name in options else None,
        )
        for name in sorted(named)
    }


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
        recheck: float = SHARE,
    ) -> None:
        self._run, self.pool, self._listener = run, pool, listener
        self._recheck, self._flagged = recheck, _flagged(run)
        self._problems = {problem.problem_id: problem for problem in problems}
        self._extra = [spec.kind for spec in specs if spec.all_problems and spec.kind not in OPINIONS]
        self._apart = apart
        self.canaries: dict[str, Report | None] = {}
        self._proving = asyncio.Lock()
        self.verifiers = verifiers_of(problems, specs)

    async def judge(self, candidate: Candidate, verifier: str) -> Judgement:
        """One response, for a strategy that decides by it; nothing is stored."""
        verdicts = await self.pool.verify(await self._trusted(verifier), [candidate])
        return verdicts[0].judgement

    async def prove(self) -> None:
        """Run the canaries of every verifier that has not had them. Raises CanaryError for one that fails."""
        for name, verifier in self.verifiers.items():
            await self.trust(name, verifier)

    async def trust(self, name: str, verifier: Verifier) -> Verifier:
        """``verifier``, once its canaries have passed; one that has none is taken as it is. Raises CanaryError."""
        if name not in self.canaries:
            async with self._proving:
                if name not in self.canaries:
                    suite = find_suite(verifier)
                    self.canaries[name] = await prove(self.pool, verifier, suite) if suite else None
        report = self.canaries[name]
        if report is not None and not report.passed:
            raise CanaryError(report)
        return verifier

    async def _trusted(self, name: str) -> Verifier:
        return await self.trust(name, self.verifiers[name])

    async def label(self, commit: Commit) -> None:
        """Verify the traces that ``commit`` brought and commit their verdicts."""
        if commit.rows("traces"):
            for name, group in self._by_verifier(self._run.read_shard(commit, "traces", COLUMNS)):
                await self._commit(name, group)

    def owed(self) -> Iterator[tuple[str, pa.Table]]:
        """What earlier invocations left unlabelled: (verifier, traces), one committed shard at a time."""
        stands = self._standing()
        for name, group in self._labelled():
            have = stands.get(name)
            if have is not None:
                group = group.filter(pc.invert(pc.is_in(group["trace_id"], value_set=have)))
            if group.num_rows:
                yield name, group

    def _labelled(self) -> Iterator[tuple[str, pa.Table]]:
        """(verifier, the traces it is for), one committed shard at a time."""
        for commit in self._run.commits():
            if commit.rows("traces"):
                yield from self._by_verifier(self._run.read_shard(commit, "traces", COLUMNS))

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
        names = [name if name in self.verifiers else None for name in names]  # an opinion is given later
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

    def _standing(self) -> dict[str, pa.Array]:
        """By verifier, the traces that it has looked at as it is now."""
        return {name: rows["subject_id"].combine_chunks() for name, rows in self._rows(["subject_id"])}

    def _failed(self) -> dict[str, pa.Array]:
        """By verifier, the traces that have nothing but an ``error`` of ours that another try may mend."""
        failed = {}
        for name, rows in self._rows(["subject_id", "outcome", "evidence"]):
            error = pc.equal(rows["outcome"], Outcome.ERROR.value)
            flaky = pc.match_substring(rows["evidence"], f'"{FLAKY}":')
            wrong, right = rows.filter(pc.and_(error, pc.invert(flaky))), rows.filter(pc.invert(error))
            mended = pc.is_in(wrong["subject_id"], value_set=right["subject_id"].combine_chunks())
            failed[name] = wrong["subject_id"].filter(pc.invert(mended)).combine_chunks()
        return failed

    def _stored(self) -> dict[str, dict[str, Verdict]]:
        """By verifier and trace, the verdicts that stand, without their evidence."""
        found: dict[str, dict[str, Verdict]] = {}
        for name, rows in self._rows(["subject_id", "inputs_hash", "outcome", "reason"]):
            verifier = self.verifiers[name]
            for subject, inputs, outcome, reason in zip(*(c.to_pylist() for c in rows.columns), strict=True):
                if outcome != Outcome.ERROR:
                    judgement = Judgement(Outcome(outcome), reason)
                    found.setdefault(name, {})[subject] = verifier.verdict(subject, inputs, judgement)
        return found

    def _rows(self, columns: list[str]) -> Iterator[tuple[str, pa.Table]]:
        """(verifier, the columns of its verdicts as it is now)."""
        key = ["verifier", "version", "config_hash"]
        table = self._run.read("verdicts", [*key, *columns])
        for name, verifier in self.verifiers.items():
            own = pc.and_(
                pc.and_(pc.equal(table["verifier"], verifier.name), pc.equal(table["version"], verifier.version)),
                pc.equal(table["config_hash"], verifier.config_hash),
            )
            yield name, table.filter(own).select(columns)

    async def _commit(self, name: str, traces: pa.Table) -> None:
        verifier = self.verifiers[name]
        subjects = traces["trace_id"].to_pylist()
        shard_id = ids.digest("shard", STAGE, name, verifier.version, verifier.config_hash, subjects)
        if not self._run.is_committed(STAGE, shard_id):
            self._store(shard_id, traces, await self.verdicts(name, traces, self._recheck))

    async def verdicts(self, name: str, traces: pa.Table, recheck: float = 0.0) -> list[Verdict]:
        """What the verifier ``name`` says of ``traces`` (columns ``COLUMNS``), the share ``recheck`` asked twice."""
        return await verify_checked(self.pool, await self._trusted(name), self._candidates(traces), recheck)

    async def of_texts(self, texts: pa.Table) -> list[Verdict]:
        """What the verifiers of their problems say of texts that are no traces (columns ``COLUMNS``); nothing is stored."""
        found: list[Verdict] = []
        for name, group in self._by_verifier(texts):
            found += await self.verdicts(name, group)
        return found

    async def answer_errors(self) -> tuple[int, int]:
        """Ask again what ended in ``error`` and is not flaky. Gives how many were asked, and how many have a verdict now.

        A verdict is a further row, which counts before the ``error`` (docs/sql.md); another ``error`` adds nothing.
        """
        asked = mended = 0
        failed = self._failed()
        for name, group in self._labelled():
            group = group.filter(pc.is_in(group["trace_id"], value_set=failed.get(name, pa.array([], pa.string()))))
            if not group.num_rows:
                continue
            verdicts = await self.verdicts(name, group)
            asked += len(verdicts)
            good = [place for place, v in enumerate(verdicts) if v.judgement.outcome is not Outcome.ERROR]
            if good:
                found = [verdicts[place] for place in good]
                shard_id = ids.digest("shard", STAGE, "again", name, [[v.subject_id, v.inputs_hash] for v in found])
                self._store(shard_id, group.take(pa.array(good)), found)
                mended += len(good)
        return asked, mended

    async def compare(self, share: float) -> tuple[int, list[str]]:
        """Give ``share`` of the verdicts that stand once more: how many, and what differs, a line each.

        The problem of a verdict that differs is flagged as flaky.
        """
        compared, lines = 0, list[str]()
        stored = self._stored()
        for name, group in self._labelled():
            held = stored.get(name, {})
            chosen = [t for t in group["trace_id"].to_pylist() if t in held and is_chosen(held[t].inputs_hash, share)]
            group = group.filter(pc.is_in(group["trace_id"], value_set=pa.array(chosen, pa.string())))
            if not group.num_rows:
                continue
            verdicts = await self.verdicts(name, group)
            compared += len(verdicts)
            pairs = [(held[v.subject_id], v) for v in verdicts]
            now = [disputed(before, after) if differ(before, after) else after for before, after in pairs]
            lines += [f"{v.subject_id}: {v.verifier} {v.version} {v.judgement.reason}" for v in now if is_flaky(v)]
            drops = self._flag(group, now)
            if drops.num_rows:
                shard_id = ids.digest("shard", STAGE, "compared", name, drops["subject_id"].to_pylist())
                self._run.commit(STAGE, shard_id, {"drops": drops})
            self._listener.advance(STAGE, len(verdicts))
        return compared, lines

    def _store(self, shard_id: str, traces: pa.Table, verdicts: list[Verdict]) -> None:
        drops = self._flag(traces, verdicts)
        self._run.commit(
            STAGE,
            shard_id,
            {"verdicts": verdict_table(verdicts), "drops": drops},
            Funnel(STAGE, len(verdicts), len(verdicts), {}),
        )
        graded = [verdict for verdict in verdicts if verdict.judgement.outcome is not Outcome.ERROR]
        self._listener.verdicts(sum(verdict.correct for verdict in graded), len(graded))
        self._listener.advance(STAGE, len(verdicts))

    def _candidates(self, traces: pa.Table) -> list[Candidate]:
        columns = (traces[name].to_pylist() for name in ("trace_id", "problem_id", "text", "finish_reason"))
        return [
            candidate_of(self._problems[problem], subject, text, finish)
            for subject, problem, text, finish in zip(*columns, strict=True)
        ]

    def _flag(self, traces: pa.Table, verdicts: Sequence[Verdict]) -> pa.Table:
        """Rows of ``drops`` for the problems that turn out to be flaky, each once in the life of the run."""
        rows = []
        for problem, verdict in zip(traces["problem_id"].to_pylist(), verdicts, strict=True):
            if is_flaky(verdict) and problem not in self._flagged:
                self._flagged.add(problem)
                detail = f"{verdict.verifier} on {verdict.subject_id}: {verdict.judgement.reason}"
                rows.append(Drop(problem, PROBLEM, FLAKY, detail).row())
        return pa.Table.from_pylist(rows, schema=schema_of("drops"))


def set_apart(run: RunStore) -> frozenset[str]:
    """The traces that are not to be verified: of an answer that only execution gives, for one."""
    drops = run.read("drops", ["subject_id", "stage"])
    return frozenset(drops["subject_id"].filter(pc.equal(drops["stage"], STAGE)).to_pylist())


def _flagged(run: RunStore) -> set[str]:
    drops = run.read("drops", ["subject_id", "stage", "reason"])
    flaky = pc.and_(pc.equal(drops["stage"], PROBLEM), pc.equal(drops["reason"], FLAKY))
    return set(drops["subject_id"].filter(flaky).to_pylist())
