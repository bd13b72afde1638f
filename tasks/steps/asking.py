"""Asking a model about the steps of a run's traces: what is owed, problem by problem, in shards that are committed whole.

What must stay true: a finished request is in its shard's ledger before anything else happens with it, so that a run that is
killed pays for nothing twice; a trace has one label of a source for each step, and is looked at once; one of which nothing
can be said has a row of ``drops`` that says why; where a budget is spent, what is finished is committed and the rest owed.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

import pyarrow as pa

from tracemill.schemas import ids
from tracemill.schemas.records import Problem
from tracemill.schemas.tables import TABLES, schema_of
from tracemill.tasks.engines.base import Capabilities, Completion, Engine, Request, Sampling
from tracemill.tasks.provenance import commit_policy, commit_sampling, commit_template
from tracemill.tasks.queries import connect
from tracemill.tasks.reporting.listener import Listener
from tracemill.tasks.sampling import Budget, BudgetSpent, Lookup, request_row
from tracemill.tasks.search.drive import gather_all
from tracemill.tasks.steps.base import Source, Steps
from tracemill.tasks.store import Funnel, RunStore
from tracemill.tasks.store.ledger import Ledger
from tracemill.tasks.store.paid import shard_rows
from tracemill.tasks.templates import Template

#: Problems of a shard, and shards that are asked for at once.
SHARD: Final = 16
IN_FLIGHT: Final = 4

_LOOKED_AT: Final = """
SELECT t.trace_id, t.problem_id, t.text, t.steps, t.segmenter, f.outcome = 'correct' AS good
FROM current_traces t
JOIN final_verdict f ON f.run = t.run AND f.subject_id = t.trace_id AND f.outcome IN ('correct', 'incorrect')
WHERE t.error IS NULL AND t.finish_reason <> 'length' AND t.kind IN ('sample', 'imported') AND len(t.steps) BETWEEN 2 AND $steps
    AND t.trace_id NOT IN (SELECT subject_id FROM drops WHERE stage = 'verify')
    AND t.problem_id NOT IN (SELECT subject_id FROM drops WHERE stage = 'problem')
    AND (f.outcome = 'incorrect' OR $right)
QUALIFY row_number() OVER (PARTITION BY t.problem_id ORDER BY t.trace_id) <= $traces
ORDER BY t.problem_id, t.trace_id
"""

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Subject:
    """A trace to be looked at, and whether its outcome is right."""

    steps: Steps
    right: bool


@dataclass(frozen=True, slots=True)
class Group:
    """The traces of one problem that are owed."""

    problem: Problem
    subjects: tuple[Subject, ...]


@dataclass(slots=True)
class Found:
    """Rows of ``step_labels`` and ``critiques``; and, by trace, why nothing could be said."""

    labels: list[Row] = field(default_factory=list)
    critiques: list[Row] = field(default_factory=list)
    silent: dict[str, str] = field(default_factory=dict)


class Locator(Protocol):
    """Looks at the traces of one problem by asking an engine. ``right`` tells whether right traces are looked at too,
    ``traces`` and ``steps`` how many of a problem, and of how many steps, at the most."""

    @property
    def stage(self) -> str: ...

    @property
    def source(self) -> Source: ...

    @property
    def engine(self) -> Engine: ...

    @property
    def sampling(self) -> Sampling: ...

    @property
    def template(self) -> Template: ...

    @property
    def budget(self) -> Budget: ...

    @property
    def right(self) -> bool: ...

    @property
    def traces(self) -> int: ...

    @property
    def steps(self) -> int: ...

    async def locate(self, group: Group, asking: Asking) -> Found: ...


class Asking:
    """The engine as a locator sees it: what was paid for is not asked again, and every request is a row."""

    def __init__(self, engine: Engine, ledger: Ledger, known: Sequence[Lookup], budgets: list[Budget]) -> None:
        self._engine, self._ledger, self._known, self._budgets = engine, ledger, known, budgets
        self.requests: dict[tuple[Any, ...], Row] = {}

    @property
    def name(self) -> str:
        return self._engine.name

    @property
    def capabilities(self) -> Capabilities:
        return self._engine.capabilities

    async def complete(self, request: Request, variables: Mapping[str, str] | None = None) -> Completion:
        """The completion of ``request``. Raises ``BudgetSpent`` where it would have to be paid for and may not be."""
        key = request.key(self._engine.policy.policy_id)
        found = (look(key) for look in (self._ledger.get, *self._known))
        completion = next((c for c in found if c is not None), None)
        if completion is None:
            for budget in self._budgets:
                budget.check()
            completion = await self._engine.complete(request)
            for budget in self._budgets:
                budget.spend(completion)
            if completion.error is None:
                self._ledger.put(key, request.sampling.max_tokens, completion)
        row = request_row(key, request, completion, variables)
        self.requests[tuple(row[name] for name in TABLES["requests"].key)] = row
        return completion


async def look(
    run: RunStore,
    locator: Locator,
    problems: Iterable[Problem],
    listener: Listener,
    budget: Budget | None = None,
) -> int:
    """Commit what ``locator`` finds in the traces of ``run`` that are owed; how many traces it looked at.

    ``budget`` is the run's, beside the locator's own. The engine is started only where something is owed.
    """
    groups = owed(
        run,
        locator.stage,
        locator.source,
        {problem.problem_id: problem for problem in problems},
        steps=locator.steps,
        traces=locator.traces,
        right=locator.right,
    )
    if not groups:
        return 0
    shards = [groups[start : start + SHARD] for start in range(0, len(groups), SHARD)]
    names = [_shard_id(locator, shard) for shard in shards]
    listener.stage(locator.stage, sum(len(group.subjects) for group in groups))
    listener.attach(locator.engine.stats)
    commit_policy(run, locator.engine.policy)
    commit_sampling(run, locator.sampling)
    commit_template(run, locator.template)
    committed = _committed(run, locator.stage)
    paid = run.paid(names)
    turn = asyncio.Semaphore(IN_FLIGHT)

    async def work(name: str, shard: list[Group]) -> int:
        async with turn:
            ledger = run.ledger(name)
            known: list[Lookup] = [committed.get, paid]
            asked = [
                Asking(locator.engine, ledger, known, [locator.budget, *([budget] if budget else [])]) for _ in shard
            ]
            try:
                found = await gather_all([_one(locator, group, own) for group, own in zip(shard, asked, strict=True)])
            finally:
                ledger.close()
            done = [(g, own, f) for g, own, f in zip(shard, asked, found, strict=True) if f is not None]
            looked = sum(len(group.subjects) for group, _, _ in done)
            if done:
                _commit(run, locator, done, committed)
            if len(done) == len(shard):
                ledger.discard()
            listener.advance(locator.stage, looked)
            return looked

    try:
        async with locator.engine:
            looked = await gather_all([work(name, shard) for name, shard in zip(names, shards, strict=True)])
    finally:
        paid.close()
    left = sum(len(group.subjects) for group in groups) - sum(looked)
    if left:
        listener.note(f"{locator.stage}: the budget is spent, {left} traces are still owed")
    return sum(looked)


async def _one(locator: Locator, group: Group, asking: Asking) -> Found | None:
    try:
        return await locator.locate(group, asking)
    except BudgetSpent:
        return None


def owed(
    run: RunStore,
    stage: str,
    source: Source,
    problems: Mapping[str, Problem],
    *,
    steps: int,
    traces: int,
    right: bool,
) -> list[Group]:
    """By problem, the traces that ``source`` has neither labelled nor, at ``stage``, given up."""
    labels, drops = run.read("step_labels", ["trace_id", "source"]), run.read("drops", ["subject_id", "stage"])
    columns = (labels["trace_id"].to_pylist(), labels["source"].to_pylist())
    done = {trace for trace, by in zip(*columns, strict=True) if by == source.value}
    columns = (drops["subject_id"].to_pylist(), drops["stage"].to_pylist())
    done |= {subject for subject, at in zip(*columns, strict=True) if at == stage}
    settings = {"steps": steps, "traces": traces, "right": right}
    groups: dict[str, list[Subject]] = {}
    with connect([run]) as connection:
        for batch in connection.sql(_LOOKED_AT, params=settings).to_arrow_reader(1024):
            for row in batch.to_pylist():
                if row["trace_id"] not in done and row["problem_id"] in problems:
                    cut = Steps.of(row["trace_id"], row["text"], row["steps"], row["segmenter"])
                    groups.setdefault(row["problem_id"], []).append(Subject(cut, row["good"]))
    return [Group(problems[problem], tuple(subjects)) for problem, subjects in groups.items()]


def _committed(run: RunStore, stage: str) -> dict[str, Completion]:
    """What this stage has paid for and committed, by request key."""
    orphans: list[Row] = []
    rows = (row for commit in run.commits(stage) for row in shard_rows(run, commit, orphans))
    return {key: completion for key, _, completion in rows}


def _shard_id(locator: Locator, groups: Sequence[Group]) -> str:
    traces = [subject.steps.trace_id for group in groups for subject in group.subjects]
    return ids.digest("shard", locator.stage, locator.engine.policy.policy_id, traces)


def _commit(
    run: RunStore, locator: Locator, done: list[tuple[Group, Asking, Found]], committed: Mapping[str, Completion]
) -> None:
    silent = {trace: reason for _, _, found in done for trace, reason in found.silent.items()}
    looked = sum(len(group.subjects) for group, _, _ in done)
    rows: dict[str, list[Row]] = {
        "step_labels": [row for _, _, found in done for row in found.labels],
        "critiques": [row for _, _, found in done for row in found.critiques],
        "requests": [row for _, own, _ in done for row in own.requests.values() if row["request_key"] not in committed],
        "drops": [{"subject_id": t, "stage": locator.stage, "reason": reason} for t, reason in silent.items()],
    }
    run.commit(
        locator.stage,
        _shard_id(locator, [group for group, _, _ in done]),
        {name: pa.Table.from_pylist(table, schema=schema_of(name)) for name, table in rows.items()},
        Funnel(locator.stage, looked, looked - len(silent), dict(sorted(Counter(silent.values()).items()))),
    )
