"""What a run still owes: wanted attempts minus committed ones, cut into shards.

Every wanted attempt is owed until a trace of it is committed. A trace that ended at a smaller token limit, and one whose
request failed, is owed again; the old trace is then *superseded*, not removed. A shard's id is a function of its attempts
alone, so an interrupted shard finds its own ledger again.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from tracemill.schemas import ids
from tracemill.schemas.enums import FinishReason
from tracemill.schemas.recipe import Recipe
from tracemill.schemas.records import Policy, Problem
from tracemill.schemas.tables import TABLES
from tracemill.tasks.engines.base import Completion, Sampling
from tracemill.tasks.store import RunStore
from tracemill.tasks.store.paid import paid_rows
from tracemill.tasks.templates import Template

#: Attempts in one shard at the most: bounds memory where n is large and traces are long.
SHARD_ATTEMPTS: Final = 4096

#: A run is cut into so many shards at least, unless they would have fewer problems than ``SMALLEST_SHARD``.
SHARDS: Final = 8
SMALLEST_SHARD: Final = 8


@dataclass(frozen=True, slots=True)
class Attempts:
    """How attempt ids are made in this run: everything that identifies an attempt but its problem and path."""

    policy: Policy
    template: Template
    sampling: Sampling
    strategy: Mapping[str, Any]
    round: int
    policy_id: str
    template_id: str
    sampling_id: str

    @classmethod
    def of(cls, recipe: Recipe, policy: Policy, template: Template) -> Attempts:
        spec = recipe.sampling
        sampling = Sampling(
            temperature=spec.temperature,
            top_p=spec.top_p,
            top_k=spec.top_k,
            min_p=spec.min_p,
            presence_penalty=spec.presence_penalty,
            frequency_penalty=spec.frequency_penalty,
            stop=tuple(spec.stop),
            logprobs=spec.logprobs,
            seed=spec.seed,
            max_tokens=spec.max_tokens,
        )
        strategy = {"name": recipe.strategy.kind, "parameters": recipe.strategy.parameters}
        return cls(
            policy,
            template,
            sampling,
            strategy,
            recipe.round,
            policy.policy_id,
            template.template_id,
            sampling.sampling_id,
        )

    def attempt_id(self, problem: Problem, path: str) -> str:
        return ids.attempt_id(
            problem.problem_id, self.policy_id, self.template_id, self.sampling_id, self.strategy, self.round, path
        )


@dataclass(frozen=True, slots=True)
class Owed:
    """One attempt to make: run number ``index`` of the strategy on ``problem``."""

    problem: Problem
    index: int
    attempt_id: str


@dataclass(frozen=True, slots=True)
class Shard:
    """The unit of commitment: hundreds of problems' owed attempts."""

    shard_id: str
    owed: tuple[Owed, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """Shards to do; ``wanted`` and ``committed`` attempts; the traces to supersede and the texts to continue.

    ``paid`` maps a request key of a problem with attempts to be made again to the longest text that is committed for it, and
    ``short`` counts the attempts that a smaller token limit cut; ``replaced`` maps an attempt to be made again to its standing
    traces, which a new one makes obsolete. ``held`` and ``asked`` are the keys of the committed rows of those problems.
    """

    shards: tuple[Shard, ...]
    wanted: int
    committed: int
    short: int
    paid: Mapping[str, Completion]
    replaced: Mapping[str, tuple[str, ...]]
    held: frozenset[str]
    asked: frozenset[tuple[str, ...]]
    grown: frozenset[str] = frozenset()

    @property
    def shard_ids(self) -> frozenset[str]:
        return frozenset(shard.shard_id for shard in self.shards)

    @property
    def owed(self) -> int:
        return self.wanted - self.committed


def plan(run: RunStore, problems: Sequence[Problem], recipe: Recipe, attempts: Attempts) -> Plan:
    """What ``recipe`` still owes on ``problems``, given what ``run`` has committed."""
    done, again, short = _committed(run, recipe.sampling.max_tokens)
    owed: list[Owed] = []
    wanted = 0
    for problem in problems:
        for index in range(recipe.strategy.n):
            wanted += 1
            attempt = attempts.attempt_id(problem, str(index))
            if attempt not in done:
                owed.append(Owed(problem, index, attempt))
    paid, held, asked = _made_before(run, again)
    return Plan(
        tuple(cut(owed, shard_problems(len(problems), recipe.shard_size), again, run.invocation)),
        wanted,
        wanted - len(owed),
        short,
        paid,
        again,
        held,
        asked,
        frozenset(run.read("trees", ["tree_id"])["tree_id"].to_pylist()) if again else frozenset(),
    )


def shard_problems(problems: int, limit: int) -> int:
    """Problems in a shard: ``limit``, and fewer in a small run, so that its verification overlaps its generation too.

    Depends on what is wanted, not on what is owed, so that a resume cuts the same shards.
    """
    return min(limit, max(SMALLEST_SHARD, -(-problems // SHARDS)))


def cut(
    owed: Sequence[Owed], problems_per_shard: int, again: Collection[str] = (), invocation: int = 0
) -> Iterator[Shard]:
    """``owed`` in order, in shards of so many problems and at most ``SHARD_ATTEMPTS`` attempts, never splitting a problem's
    attempts unless one problem alone exceeds the limit. A shard with attempts made ``again`` is another one in each invocation.
    """

    def shard(items: Sequence[Owed]) -> Shard:
        attempts = [item.attempt_id for item in items]
        made_again = [invocation] if any(attempt in again for attempt in attempts) else []
        return Shard(ids.digest("shard", "sample", attempts, *made_again), tuple(items))

    current: list[Owed] = []
    seen: set[str] = set()
    for item in owed:
        new = item.problem.problem_id not in seen
        if current and ((new and len(seen) >= problems_per_shard) or len(current) >= SHARD_ATTEMPTS):
            yield shard(current)
            current, seen = [], set()
        seen.add(item.problem.problem_id)
        current.append(item)
    if current:
        yield shard(current)


def _committed(run: RunStore, max_tokens: int) -> tuple[set[str], dict[str, tuple[str, ...]], int]:
    """Attempts that are finished; for those to be made again the traces that stand now; and how many of them were cut short."""
    drops = run.read("drops", ["subject_id", "reason"])
    superseded = set(drops.filter(pc.equal(drops["reason"], "superseded"))["subject_id"].to_pylist())
    table = run.read("traces", ["attempt_id", "trace_id", "finish_reason", "completion_tokens", "error"])
    done: set[str] = set()
    unfinished: dict[str, tuple[str, ...]] = {}
    short: set[str] = set()
    for attempt, trace, finish, tokens, error in zip(*(c.to_pylist() for c in table.columns), strict=True):
        cut_short = finish == FinishReason.LENGTH.value and tokens is not None and tokens < max_tokens
        if error is None and not cut_short:
            done.add(attempt)
        elif trace not in superseded:
            unfinished[attempt] = (*unfinished.get(attempt, ()), trace)
            if error is None:
                short.add(attempt)
    done |= _nothing_more(run, short - done, max_tokens)
    return done, {attempt: traces for attempt, traces in unfinished.items() if attempt not in done}, len(short - done)


def _nothing_more(run: RunStore, short: Collection[str], max_tokens: int) -> set[str]:
    """Of the attempts that were cut ``short``, those that have been asked with ``max_tokens`` and had nothing more to say."""
    if not short:
        return set()
    requests = run.read("requests", ["attempt_id", "max_tokens", "error"])
    asked = pc.and_(pc.is_null(requests["error"]), pc.greater_equal(requests["max_tokens"], max_tokens))
    return set(requests.filter(asked)["attempt_id"].to_pylist()) & set(short)


def _made_before(
    run: RunStore, again: Collection[str]
) -> tuple[dict[str, Completion], frozenset[str], frozenset[tuple[str, ...]]]:
    """Of the problems with attempts to be made ``again``: paid texts by request key, trace ids, and keys of ``requests``.

    A strategy that is run again asks for everything again, so what its other attempts were given belongs here too.
    """
    if not again:
        return {}, frozenset(), frozenset()
    traces = run.read("traces", ["attempt_id", "trace_id", "problem_id"])
    redone = traces.filter(pc.is_in(traces["attempt_id"], value_set=pa.array(sorted(again), pa.string())))
    traces = traces.filter(pc.is_in(traces["problem_id"], value_set=pc.unique(redone["problem_id"])))
    requests = run.read("requests", TABLES["requests"].key)
    requests = requests.filter(pc.is_in(requests["attempt_id"], value_set=pc.unique(traces["attempt_id"])))
    keys = set(requests["request_key"].to_pylist())
    longest: dict[str, tuple[int, Completion]] = {}
    for key, max_tokens, completion in paid_rows(run):
        if key in keys and (key not in longest or max_tokens > longest[key][0]):
            longest[key] = (max_tokens, completion)
    return (
        {key: completion for key, (_, completion) in longest.items()},
        frozenset(traces["trace_id"].to_pylist()),
        frozenset(zip(*(requests[name].to_pylist() for name in TABLES["requests"].key), strict=True)),
    )
