"""Sampling: a shard's owed attempts in, committed traces and requests out.

A finished request goes to the shard's ledger before anything else happens with it, and the ledger is dropped only when the
shard's commit is durable; so a request is never paid for twice, whenever the process dies.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import pyarrow as pa

from tracemill.schemas import ids
from tracemill.schemas.enums import FinishReason
from tracemill.schemas.records import Problem
from tracemill.schemas.tables import TABLES, schema_of
from tracemill.tasks.engines.base import Completion, Engine, Request, Sampling
from tracemill.tasks.plan import Attempts, Owed, Plan, Shard
from tracemill.tasks.provenance import commit_sampling, commit_template
from tracemill.tasks.reporting.listener import Listener
from tracemill.tasks.search.drive import gather_all
from tracemill.tasks.segment import segment, split_reasoning
from tracemill.tasks.store import Commit, Funnel, RunStore
from tracemill.tasks.strategies.base import Context, Draft, Made, Strategy
from tracemill.tasks.templates import Prompt, Template, render
from tracemill.verifiers.base import Candidate, Judgement
from tracemill.verifiers.extract import extract

STAGE = "sample"

Lookup = Callable[[str], Completion | None]
N = TypeVar("N", int, float, tuple[float, ...])


class BudgetSpent(Exception):
    """The run's token or dollar budget is spent: nothing new is asked."""


@dataclass(slots=True)
class Budget:
    """What may still be asked. Counts what this invocation spent; None is no limit."""

    tokens: int | None = None
    usd: float | None = None
    spent_tokens: int = 0
    spent_usd: float = 0.0

    def check(self) -> None:
        """Raise ``BudgetSpent`` where nothing new may be asked."""
        if (self.tokens is not None and self.spent_tokens >= self.tokens) or (
            self.usd is not None and self.spent_usd >= self.usd
        ):
            raise BudgetSpent

    def spend(self, completion: Completion) -> None:
        self.spent_tokens += (completion.prompt_tokens or 0) + (completion.completion_tokens or 0)
        self.spent_usd += completion.cost_usd or 0.0


@dataclass(frozen=True, slots=True)
class Sampler:
    """Everything that the shards of one stage share."""

    run: RunStore
    engine: Engine
    attempts: Attempts
    strategy: Strategy
    plan: Plan
    judge: Callable[[Candidate, str], Any]  # awaitable Judgement; (candidate, the problem's verifier)
    listener: Listener
    paid: Lookup = field(default=lambda key: None)
    budget: Budget = field(default_factory=Budget)
    noted: set[str] = field(default_factory=set)

    def note_provenance(self, template: Template, sampling: Sampling) -> None:
        """Commit what the hashes in ``requests`` stand for, once each."""
        if template.template_id not in self.noted:
            commit_template(self.run, template)
            self.noted.add(template.template_id)
        if sampling.sampling_id not in self.noted:
            commit_sampling(self.run, sampling)
            self.noted.add(sampling.sampling_id)

    async def sample(self, shard: Shard) -> Commit | None:
        """Make every attempt of ``shard`` and commit it.

        Where the budget runs out, what is finished is committed as a smaller shard and the rest stays owed; None where
        nothing is finished.
        """
        ledger = self.run.ledger(shard.shard_id)
        try:
            results = await gather_all([self._attempt(owed, ledger.get, ledger.put) for owed in shard.owed])
        finally:
            ledger.close()
        finished = [(owed, result) for owed, result in zip(shard.owed, results, strict=True) if result is not None]
        if not finished:
            return None
        shard_id = shard.shard_id
        if len(finished) < len(shard.owed):
            shard_id = ids.digest("shard", STAGE, [owed.attempt_id for owed, _ in finished])
        commit = self._commit(shard_id, finished)
        if len(finished) == len(shard.owed):
            ledger.discard()
        return commit

    async def _attempt(
        self, owed: Owed, get: Lookup, put: Callable[..., None]
    ) -> tuple[Made, list[dict[str, Any]]] | None:
        asked = Asking(self, owed, get, put)
        context = Context(
            owed.problem,
            owed.index,
            self.attempts.template,
            self.attempts.sampling,
            asked.generate,
            asked.verify,
            self.attempts.strategy["parameters"],
            self.engine.capabilities,
            self.attempts.policy_id,
        )
        try:
            made = await self.strategy(context)
        except BudgetSpent:
            return None
        self.listener.advance(STAGE)
        return made if isinstance(made, Made) else Made(made), asked.requests

    def _commit(self, shard_id: str, finished: list[tuple[Owed, tuple[Made, list[dict[str, Any]]]]]) -> Commit:
        traces: list[dict[str, Any]] = []
        requests: list[dict[str, Any]] = []
        drops: list[dict[str, Any]] = []
        more: dict[str, list[Mapping[str, Any]]] = {}
        for owed, (made, asked) in finished:
            for table, rows in made.rows.items():
                of = "subject_id" if table == "drops" else "tree_id"
                more.setdefault(table, []).extend(row for row in rows if row.get(of) not in self.plan.grown)
            by_path: dict[str, str] = {}
            texts: dict[str, str] = {}
            for draft in made.drafts:
                row = self._trace(owed, draft, by_path)
                old = self.plan.replaced.get(row["attempt_id"], ())
                if row["error"] is not None and old:
                    by_path[draft.path] = old[-1]  # made again in vain: what stands keeps standing
                    continue
                by_path[draft.path] = row["trace_id"]
                texts[row["attempt_id"]] = row["text"]
                drops += [_superseded(trace, row["trace_id"]) for trace in old if trace != row["trace_id"]]
                if row["trace_id"] not in self.plan.held:
                    traces.append(row)
            for request in asked:
                if tuple(request[name] for name in TABLES["requests"].key) in self.plan.asked:
                    continue
                if texts.get(request["attempt_id"]) == request["response"]:
                    request["response"] = None
                requests.append(request)
        drops += [dict(row) for row in more.pop("drops", [])]
        tables: dict[str, Any] = {"traces": traces, "requests": requests, "drops": drops, **more}
        return self.run.commit(
            STAGE,
            shard_id,
            {name: pa.Table.from_pylist(rows, schema=schema_of(name)) for name, rows in tables.items()},
            Funnel(STAGE, len(finished), len(finished), {}),
        )

    def _trace(self, owed: Owed, draft: Draft, by_path: Mapping[str, str]) -> dict[str, Any]:
        completion, attempts = draft.completion, self.attempts
        attempt = attempt_at(attempts, owed, draft.path)
        return trace_row(
            attempt,
            owed.problem,
            completion,
            kind=draft.kind.value,
            path=draft.path,
            sample_index=owed.index,
            policy_id=attempts.policy_id,
            template_id=draft.template.template_id,
            sampling_id=attempts.sampling_id,
            strategy=ids.canonical_json(attempts.strategy),
            seed=draft.seed,
            round_=attempts.round,
            parent=by_path.get(draft.parent) if draft.parent is not None else None,
            tree_id=draft.tree_id,
            node_id=draft.node_id,
        )


class Asking:
    """One attempt's ``generate`` and ``verify``: ledger first, then the engine; every request is a row."""

    def __init__(self, sampler: Sampler, owed: Owed, get: Lookup, put: Callable[..., None]) -> None:
        self._sampler = sampler
        self._owed = owed
        self._get = get
        self._put = put
        self.requests: list[dict[str, Any]] = []

    async def generate(
        self,
        template: Template,
        path: str,
        *,
        variables: Mapping[str, str] | None = None,
        draw: int = 0,
        sampling: Sampling | None = None,
    ) -> tuple[Completion, int]:
        """The completion of this prompt, and the seed it was drawn with."""
        sampler, problem = self._sampler, self._owed.problem
        sampling = sampling or sampler.attempts.sampling
        attempt = attempt_at(sampler.attempts, self._owed, path)
        seed = ids.derive_seed(sampling.seed, attempt, draw)
        request = _request(attempt, render(template, problem, variables), template, sampling, seed, draw, problem)
        key = request.key(sampler.attempts.policy_id)
        found = filter(None, (self._get(key), sampler.paid(key), sampler.plan.paid.get(key)))
        found = filter(lambda c: not sampling.confidence or c.confidence is not None, found)
        completion = max(found, key=_length, default=None)
        if completion is None or _is_short(completion, sampling.max_tokens):
            sampler.budget.check()
            completion = await self._ask(request, completion)
            if completion.error is None:
                self._put(key, sampling.max_tokens, completion)
        self.requests.append(request_row(key, request, completion, variables))
        sampler.note_provenance(template, sampling)
        return completion, seed

    async def _ask(self, request: Request, paid: Completion | None) -> Completion:
        engine, budget = self._sampler.engine, self._sampler.budget
        if paid is None or not engine.capabilities.continue_prefix:
            completion = await engine.complete(request)
            budget.spend(completion)
            return completion
        left = request.sampling.max_tokens - (paid.completion_tokens or 0)
        rest = await engine.complete(
            replace(
                request,
                prefix=request.prefix + paid.text,
                sampling=replace(request.sampling, max_tokens=left),
            )
        )
        budget.spend(rest)
        return joined(paid, rest)

    async def verify(self, response: str, finish_reason: str) -> Judgement:
        """What the problem's own verifier says of ``response``."""
        problem = self._owed.problem
        judged: Judgement = await self._sampler.judge(
            candidate_of(problem, self._owed.attempt_id, response, finish_reason), problem.verifier
        )
        return judged


def attempt_at(attempts: Attempts, owed: Owed, path: str) -> str:
    """The id of the attempt at ``path`` below the owed one, whose own path is its index."""
    return owed.attempt_id if path == str(owed.index) else attempts.attempt_id(owed.problem, path)


def joined(first: Completion, rest: Completion) -> Completion:
    """A continued completion as one; an error in the continuation keeps what was there and stays an error."""
    if rest.error is not None:
        return replace(rest, text=first.text)
    return replace(
        rest,
        text=first.text + rest.text,
        prompt_tokens=first.prompt_tokens,
        completion_tokens=_sum(first.completion_tokens, rest.completion_tokens),
        logprob_sum=_sum(first.logprob_sum, rest.logprob_sum),
        logprob_min=None
        if first.logprob_min is None or rest.logprob_min is None
        else min(first.logprob_min, rest.logprob_min),
        cost_usd=_sum(first.cost_usd, rest.cost_usd),
        confidence=_sum(first.confidence, rest.confidence),
    )


def _sum(a: N | None, b: N | None) -> N | None:
    return None if a is None or b is None else a + b


def _length(completion: Completion) -> tuple[bool, int]:
    """Orders texts of one request: a finished one is the longest."""
    return completion.finish_reason != FinishReason.LENGTH.value, completion.completion_tokens or 0


def _is_short(completion: Completion, max_tokens: int) -> bool:
    return (
        completion.finish_reason == FinishReason.LENGTH.value
        and completion.completion_tokens is not None
        and completion.completion_tokens < max_tokens
    )


def _request(
    attempt: str, prompt: Prompt, template: Template, sampling: Sampling, seed: int, draw: int, problem: Problem
) -> Request:
    return Request(
        attempt,
        prompt.route,
        sampling,
        seed,
        draw,
        messages=prompt.messages,
        prompt=prompt.text,
        prefix=prompt.prefill if prompt.route == "chat" else "",
        template_id=template.template_id,
        problem=problem,
    )


def candidate_of(problem: Problem, subject: str, response: str, finish_reason: str) -> Candidate:
    """What a verifier is shown of ``response``."""
    return Candidate(subject, response, problem.gold, problem.spec, problem.prompt, problem.choices, finish_reason)


def trace_row(
    attempt: str,
    problem: Problem,
    completion: Completion,
    *,
    kind: str,
    path: str,
    sample_index: int,
    policy_id: str,
    template_id: str | None,
    sampling_id: str | None,
    strategy: str,
    seed: int | None,
    round_: int,
    parent: str | None,
    tree_id: str | None = None,
    node_id: str | None = None,
) -> dict[str, Any]:
    """One row of ``traces`` for a completion."""
    text = completion.text
    steps, segmenter = segment(text)
    reasoning, _, _ = split_reasoning(text)
    extracted = extract(text, completion.finish_reason, choices=problem.choices)
    return {
        "trace_id": ids.trace_id(attempt, text),
        "attempt_id": attempt,
        "problem_id": problem.problem_id,
        "kind": kind,
        "tree_id": tree_id,
        "start_node_id": node_id,
        "sample_index": sample_index,
        "path": path,
        "text": text,
        "reasoning": reasoning,
        "answer": extracted.answer,
        "steps": [{"start": start, "end": end} for start, end in steps],
        "segmenter": segmenter,
        "finish_reason": completion.finish_reason,
        "prompt_tokens": completion.prompt_tokens,
        "completion_tokens": completion.completion_tokens,
        "reasoning_tokens": completion.reasoning_tokens,
        "logprob_sum": completion.logprob_sum,
        "logprob_min": completion.logprob_min,
        "policy_id": policy_id,
        "template_id": template_id,
        "sampling_id": sampling_id,
        "strategy": strategy,
        "seed": seed,
        "round": round_,
        "parent_trace_id": parent,
        "repeats": 1,
        "error": completion.error,
        "text_hash": ids.text_hash(text),
    }


def request_row(
    key: str, request: Request, completion: Completion, variables: Mapping[str, str] | None
) -> dict[str, Any]:
    """One row of ``requests``; ``response`` is dropped later where the attempt's trace carries it."""
    return {
        "request_key": key,
        "attempt_id": request.attempt_id,
        "route": request.route,
        "prompt_hash": request.prompt_hash,
        "template_id": request.template_id,
        "variables": None if variables is None else ids.canonical_json(variables),
        "sampling_id": request.sampling.sampling_id,
        "max_tokens": request.sampling.max_tokens,
        "seed": request.seed,
        "draw": request.draw,
        "prompt_tokens": completion.prompt_tokens,
        "completion_tokens": completion.completion_tokens,
        "cached_tokens": completion.cached_tokens,
        "finish_reason": completion.finish_reason,
        "response": completion.text,
        "cost_usd": completion.cost_usd,
        "latency_ms": completion.latency_ms,
        "replica": completion.replica,
        "retries": completion.retries,
        "error": completion.error,
    }


def _superseded(old: str, new: str) -> dict[str, Any]:
    return {"subject_id": old, "stage": STAGE, "reason": "superseded", "detail": f"by {new}"}
