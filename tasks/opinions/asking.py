"""Asking a model for its opinion of a run's traces: what is owed, in shards that are committed whole.

What must stay true: a shard has at most ``SHARD`` requests, so that a kill costs no more than the promise of the store
allows; equal requests are asked once; an engine that fails as a whole stops the stage with its error, and the same command
goes on; a failed request is an ``error`` verdict, and is asked again the next time: what comes then is a further row, which
counts before the ``error``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

import pyarrow as pa
import pyarrow.compute as pc

from tracemill.schemas import ids
from tracemill.schemas.enums import Outcome
from tracemill.schemas.records import Problem
from tracemill.schemas.tables import schema_of
from tracemill.tasks.engines.base import Completion, Engine, Request, Sampling
from tracemill.tasks.provenance import commit_policy, commit_sampling, commit_template
from tracemill.tasks.queries import connect
from tracemill.tasks.reporting.listener import Listener
from tracemill.tasks.sampling import candidate_of, request_row
from tracemill.tasks.search.drive import gather_all
from tracemill.tasks.store import Funnel, RunStore
from tracemill.tasks.templates import Template
from tracemill.verifiers.base import Candidate, Verdict, Verifier
from tracemill.verifiers.verdicts import verdict_table

#: Most requests of a shard, and shards that are asked for at once.
SHARD: Final = 256
IN_FLIGHT: Final = 4

#: What a rule verifier says of a trace on which it has decided.
DECIDED: Final = ("correct", "incorrect")

_OWED: Final = """
SELECT t.trace_id, t.problem_id, t.text, t.finish_reason, t.steps, t.segmenter, f.outcome
FROM current_traces t
LEFT JOIN final_verdict f ON f.run = t.run AND f.subject_id = t.trace_id
WHERE t.error IS NULL AND t.trace_id NOT IN (SELECT subject_id FROM drops WHERE stage = 'verify')
ORDER BY t.trace_id
"""


@dataclass(frozen=True, slots=True)
class Subject:
    """A trace to be judged. ``outcome`` is what the rule verifiers said, None where none did; ``steps`` its spans."""

    candidate: Candidate
    outcome: str | None = None
    steps: tuple[tuple[int, int], ...] = ()
    failed: bool = False  # the last time it was asked


@dataclass(frozen=True, slots=True)
class Opined:
    """An opinion and what it took: rows of ``requests`` and of ``critiques``."""

    verdict: Verdict
    requests: list[dict[str, Any]] = field(default_factory=list)
    critiques: list[dict[str, Any]] = field(default_factory=list)


class Opinion(Protocol):
    """Gives one opinion of one trace by asking a model. ``cost`` is the most requests that one takes."""

    @property
    def verifier(self) -> Verifier: ...

    @property
    def engine(self) -> Engine: ...

    @property
    def cost(self) -> int: ...

    @property
    def sampling(self) -> Sampling: ...

    @property
    def template(self) -> Template | None: ...

    def wants(self, subject: Subject) -> bool:
        """Whether this trace is to be judged at all; one that is not is counted as ``decided``."""

    async def opine(self, subject: Subject) -> Opined: ...


class Asker:
    """Asks an engine, each request once however many traces it serves."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._asked: dict[str, asyncio.Task[Completion]] = {}

    async def ask(self, request: Request, variables: Mapping[str, str] | None) -> tuple[Completion, dict[str, Any]]:
        """The completion, and its row of ``requests``. A request that failed is asked again the next time."""
        key = request.key(self._engine.policy.policy_id)
        task = self._asked.get(key)
        if task is None:
            task = self._asked[key] = asyncio.ensure_future(self._engine.complete(request))
            task.add_done_callback(_seen)
        try:
            completion = await asyncio.shield(task)
        finally:
            if task.done() and (task.cancelled() or task.exception() is not None or task.result().error is not None):
                self._asked.pop(key, None)
        return completion, request_row(key, request, completion, variables)


def _seen(task: asyncio.Task[Completion]) -> None:
    """Whoever waited was told; that nobody is left to hear of a failure is none of asyncio's business."""
    if not task.cancelled():
        task.exception()


async def give(run: RunStore, opinion: Opinion, problems: Sequence[Problem], listener: Listener) -> int:
    """Commit the opinions that are owed; how many. Starts the engine only where something is."""
    verifier = opinion.verifier
    subjects, decided = _owed(run, opinion, problems)
    size = max(1, SHARD // max(1, opinion.cost))
    shards = [subjects[start : start + size] for start in range(0, len(subjects), size)]
    if not shards:
        return 0
    listener.stage(verifier.name, len(subjects))
    listener.attach(opinion.engine.stats)
    commit_policy(run, opinion.engine.policy)
    commit_sampling(run, opinion.sampling)
    if opinion.template is not None:
        commit_template(run, opinion.template)
    turn = asyncio.Semaphore(IN_FLIGHT)

    async def work(place: int, shard: list[Subject]) -> None:
        async with turn:
            found = await gather_all([opinion.opine(subject) for subject in shard])
            listener.advance(verifier.name, len(found))
            pairs = zip(shard, found, strict=True)
            new = [
                one for subject, one in pairs if not (subject.failed and one.verdict.judgement.outcome is Outcome.ERROR)
            ]
            _commit(run, verifier, new, decided if place == 0 else 0)

    async with opinion.engine:
        await gather_all([work(place, shard) for place, shard in enumerate(shards)])
    return len(subjects)


def _owed(run: RunStore, opinion: Opinion, problems: Sequence[Problem]) -> tuple[list[Subject], int]:
    """The traces without a standing opinion, and how many a rule has decided."""
    verifier, of = opinion.verifier, {problem.problem_id: problem for problem in problems}
    stands = run.read("verdicts", ["subject_id", "verifier", "version", "config_hash", "outcome"])
    own = pc.and_(
        pc.and_(pc.equal(stands["verifier"], verifier.name), pc.equal(stands["version"], verifier.version)),
        pc.equal(stands["config_hash"], verifier.config_hash),
    )
    stands = stands.filter(own)
    error = pc.equal(stands["outcome"], Outcome.ERROR.value)
    have = set(stands["subject_id"].filter(pc.invert(error)).to_pylist())
    failed = set(stands["subject_id"].filter(error).to_pylist())
    with connect([run]) as connection:
        table = connection.sql(_OWED).to_arrow_table()
    subjects, decided = [], 0
    for batch in table.to_batches(max_chunksize=1024):
        for row in batch.to_pylist():
            problem = of.get(row["problem_id"])
            if problem is None or row["trace_id"] in have:
                continue
            candidate = candidate_of(problem, row["trace_id"], row["text"], row["finish_reason"])
            spans = tuple((span["start"], span["end"]) for span in row["steps"])
            subject = Subject(candidate, row["outcome"], spans, row["trace_id"] in failed)
            if opinion.wants(subject):
                subjects.append(subject)
            else:
                decided += 1
    return subjects, decided


def _commit(run: RunStore, verifier: Verifier, found: Sequence[Opined], decided: int) -> None:
    verdicts = [one.verdict for one in found]
    subjects = [verdict.subject_id for verdict in verdicts]
    shard_id = ids.digest("shard", verifier.name, verifier.version, verifier.config_hash, run.invocation, subjects)
    once: dict[tuple[Any, ...], dict[str, Any]] = {}
    for row in (row for one in found for row in one.requests):
        once[row["request_key"], row["attempt_id"], row["max_tokens"], row["finish_reason"]] = row
    critiques = [row for one in found for row in one.critiques]
    dropped = {"decided_by_rule": decided} if decided else {}
    run.commit(
        verifier.name,
        shard_id,
        {
            "verdicts": verdict_table(verdicts),
            "requests": pa.Table.from_pylist(list(once.values()), schema=schema_of("requests")),
            "critiques": pa.Table.from_pylist(critiques, schema=schema_of("critiques")),
        },
        Funnel(verifier.name, len(verdicts) + decided, len(verdicts), dropped),
    )
