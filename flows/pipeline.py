"""The order of the work, without Prefect: load, plan, sample and label by shards, vote, build views, report.

Every stage reads committed tables and adds rows; killing the process between or inside any two lines and running the same
recipe again ends in the same tables.
"""

from __future__ import annotations

import asyncio
import os
import platform
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.compute as pc

import tracemill
from tracemill.flows.orchestrator import Orchestrator, PlainOrchestrator
from tracemill.schemas import ids
from tracemill.schemas.enums import Level, Outcome
from tracemill.schemas.errors import DataError, TracemillError, UsageError
from tracemill.schemas.recipe import ImportRecipe, Recipe
from tracemill.schemas.records import Drop, Policy, Problem
from tracemill.schemas.tables import schema_of
from tracemill.tasks import labelling, sampling
from tracemill.tasks.engines.registry import build_engine
from tracemill.tasks.imports import Imported, Label, read_traces
from tracemill.tasks.labelling import Labeller
from tracemill.tasks.plan import Attempts, Plan, Shard, plan
from tracemill.tasks.reporting.listener import Listener, NullListener
from tracemill.tasks.sampling import Budget, Sampler
from tracemill.tasks.sources import Loaded, load_problems
from tracemill.tasks.store import Funnel, RunStore
from tracemill.tasks.strategies.registry import build_strategy
from tracemill.tasks.template_library import build_template
from tracemill.tasks.templates import Template, render
from tracemill.tasks.views import build_views
from tracemill.verifiers.base import Judgement, Verdict, Verifier
from tracemill.verifiers.pool import VerifierPool
from tracemill.verifiers.verdicts import verdict_table

#: Characters to a token, for estimates before any tokenizer is known.
CHARACTERS_PER_TOKEN = 4


@dataclass(frozen=True, slots=True)
class DryRun:
    """What a run would do, found without asking the engine anything. Token counts are estimates."""

    prompt: str
    problems: int
    attempts: int
    owed: int
    prompt_tokens: int
    max_completion_tokens: int
    identity_hash: str


def engine_home() -> str:
    """The folder for servers' logs, pid files and caches: ``$TRACEMILL_HOME``, else ``~/.cache/tracemill``."""
    return os.environ.get("TRACEMILL_HOME") or os.path.expanduser("~/.cache/tracemill")


async def synthesize(
    recipe: Recipe,
    out: str,
    *,
    fresh: bool = False,
    reuse: str | None = None,
    listener: Listener | None = None,
    orchestrator: Orchestrator | None = None,
) -> RunStore:
    """Run ``recipe`` into the folder ``out``, or resume it there; returns the finished run."""
    listener = listener or NullListener()
    template, strategy = build_template(recipe.template), build_strategy(recipe.strategy.kind)
    engine = build_engine(recipe.engine, engine_home())
    run = RunStore.start(out, recipe, fresh=fresh)
    started = datetime.now(UTC)
    status = "failed"
    verifiers: Mapping[str, Verifier] = {}
    try:
        problems = load(run, load_problems(recipe.problems), recipe.limit, listener)
        attempts = Attempts.of(recipe, engine.policy, template)
        todo = plan(run, problems, recipe, attempts)
        _commit_provenance(run, [engine.policy], [template], attempts)
        if reuse is not None:
            listener.note(f"{run.reuse(RunStore.open(reuse))} paid requests taken over from {reuse}")
        paid = run.paid(todo.shard_ids)
        pool = VerifierPool(recipe.verifier_workers)
        labeller = Labeller(
            run, pool, {problem.problem_id: problem for problem in problems}, recipe.verifiers, listener
        )
        verifiers = labeller.verifiers
        async with pool:
            budget = Budget(recipe.budget.tokens, recipe.budget.usd)
            sampler = Sampler(run, engine, attempts, strategy, todo, labeller.judge, listener, paid, budget)
            if todo.short and not engine.capabilities.continue_prefix:
                listener.note(
                    f"{engine.name} cannot continue a text: {len(todo.short)} cut ones are asked again in full"
                )
            listener.stage(labelling.STAGE, todo.wanted)
            await labeller.label_owed()
            if todo.shards:
                await _sample(sampler, labeller, todo, recipe, orchestrator or PlainOrchestrator())
            run.drop_spent_ledgers()
            if recipe.strategy.kind == "self_consistency":
                labelling.vote(run)
        for warning in run.warnings:
            listener.note(warning)
        finish(run, recipe, listener)
        status = "finished"
    except (KeyboardInterrupt, asyncio.CancelledError):
        status = "interrupted"
        raise
    finally:
        record_invocation(run, recipe, status, started, engine.policy, verifiers)
        run.close()
    return run


async def _sample(sampler: Sampler, labeller: Labeller, todo: Plan, recipe: Recipe, orchestrator: Orchestrator) -> None:
    listener = sampler.listener
    shards: dict[str, Shard] = {shard.shard_id: shard for shard in todo.shards}

    async def work(shard_id: str) -> None:
        commit = await sampler.sample(shards[shard_id])
        if commit is not None:
            await labeller.label(commit)

    listener.stage(sampling.STAGE, todo.owed)
    listener.attach(sampler.engine.stats)
    async with sampler.engine:
        await orchestrator.run_shards(sampling.STAGE, list(shards), work, in_flight=recipe.shards_in_flight)


async def import_traces(
    recipe: ImportRecipe, out: str, *, fresh: bool = False, listener: Listener | None = None
) -> RunStore:
    """Import existing traces into the folder ``out``, verify and curate them as any run's."""
    listener = listener or NullListener()
    run = RunStore.start(out, recipe, fresh=fresh)
    started = datetime.now(UTC)
    status = "failed"
    verifiers: Mapping[str, Verifier] = {}
    try:
        listener.stage("import", None)
        imported = read_traces(recipe)
        known = Loaded(imported.problems, [], len(imported.problems))
        problems = load(run, known, None, listener)
        _commit_policies(run, imported.policies)
        _commit_imported(run, imported)
        apart = frozenset(drop.subject_id for drop in imported.drops if drop.stage == labelling.STAGE)
        pool = VerifierPool(recipe.verifier_workers)
        labeller = Labeller(
            run, pool, {problem.problem_id: problem for problem in problems}, recipe.verifiers, listener, apart
        )
        verifiers = labeller.verifiers
        async with pool:
            listener.stage(labelling.STAGE, imported.traces.num_rows - len(apart))
            await labeller.label_owed()
        finish(run, recipe, listener)
        status = "finished"
    finally:
        record_invocation(run, recipe, status, started, None, verifiers)
        run.close()
    return run


async def dry_run(recipe: Recipe, out: str | None = None) -> DryRun:
    """The first prompt, the counts and the estimated tokens of ``recipe``; asks the engine nothing and writes nothing."""
    template = build_template(recipe.template)
    build_strategy(recipe.strategy.kind)
    problems = load_problems(recipe.problems).problems[: recipe.limit]
    owed = wanted = len(problems) * recipe.strategy.n
    if out is not None:
        with suppress(DataError):  # no run there yet: everything is owed
            run = RunStore.open(out)
            engine = build_engine(recipe.engine, engine_home())
            owed = plan(run, problems, recipe, Attempts.of(recipe, engine.policy, template)).owed
    texts = [prompt_text(template, problem) for problem in problems]
    return DryRun(
        prompt=texts[0] if texts else "",
        problems=len(problems),
        attempts=wanted,
        owed=owed,
        prompt_tokens=sum(len(text) for text in texts) * recipe.strategy.n // CHARACTERS_PER_TOKEN,
        max_completion_tokens=owed * recipe.sampling.max_tokens,
        identity_hash=recipe.identity_hash,
    )


def prompt_text(template: Template, problem: Problem) -> str:
    """The rendered prompt, readable: the text itself, or the messages with their roles."""
    prompt = render(template, problem)
    if prompt.route == "completion":
        return prompt.text
    lines = [f"[{message['role']}]\n{message['content']}" for message in prompt.messages]
    return "\n\n".join([*lines, f"[assistant]\n{prompt.prefill}"] if prompt.prefill else lines)


def load(run: RunStore, loaded: Loaded, limit: int | None, listener: Listener) -> list[Problem]:
    """Commit the problems that the run does not hold yet; returns those that this invocation works on.

    A problem that came back with another gold keeps the committed one and is a ``gold_conflict`` drop.
    """
    listener.stage("load", None)
    chosen = loaded.problems[:limit]
    if not chosen:
        raise UsageError("no problems to work on", where="problems", mend="see the drops, or name another source")
    table = run.read("problems", ["problem_id", "gold", "cluster_id"])
    held = {row["problem_id"]: row for row in table.to_pylist()}
    drops = list(loaded.drops)
    new: list[Problem] = []
    working: list[Problem] = []
    for problem in chosen:
        row = held.get(problem.problem_id)
        if row is None:
            new.append(problem)
            working.append(problem)
            continue
        if row["gold"] != problem.gold:
            detail = f"{problem.source} {problem.source_row}: gold {problem.gold!r}, committed {row['gold']!r}"
            drops.append(Drop(problem.problem_id, "load", "gold_conflict", detail))
        working.append(replace(problem, gold=row["gold"], cluster_id=row["cluster_id"]))
    drops = new_drops(run, drops)
    if new or drops:
        lost = Counter(drop.reason for drop in drops)
        run.commit(
            "load",
            ids.digest("shard", "load", [p.problem_id for p in new], [[d.subject_id, d.reason] for d in drops]),
            {
                "problems": pa.Table.from_pylist([p.row() for p in new], schema=schema_of("problems")),
                "drops": pa.Table.from_pylist([d.row() for d in drops], schema=schema_of("drops")),
            },
            Funnel("load", len(new) + lost.total(), len(new), lost),
        )
    return working


def finish(run: RunStore, recipe: Recipe | ImportRecipe, listener: Listener) -> None:
    """Build the views from what is committed."""
    listener.stage("views", None)
    build_views(run, recipe.views, listener)


def record_invocation(
    run: RunStore,
    recipe: Recipe | ImportRecipe,
    status: str,
    started: datetime,
    policy: Policy | None,
    verifiers: Mapping[str, Verifier],
) -> None:
    """The row of ``runs`` for this invocation. A run that was killed has none for it; its history is in ``recipe.json``."""
    row = {
        "run_id": run.run_id,
        "invocation": run.invocation,
        "recipe": ids.canonical_json(recipe.model_dump(mode="json")),
        "recipe_hash": recipe.recipe_hash,
        "status": status,
        "code_version": tracemill.__version__,
        "host": platform.node(),
        "engine": policy.engine if policy else "import",
        "engine_version": policy.engine_version if policy else None,
        "verifier_versions": ids.canonical_json({name: verifier.version for name, verifier in verifiers.items()}),
        "started_at": started,
        "finished_at": datetime.now(UTC),
    }
    try:
        run.commit(
            "run", f"invocation-{run.invocation:06d}", {"runs": pa.Table.from_pylist([row], schema=schema_of("runs"))}
        )
    except TracemillError:
        if status == "finished":
            raise


def _commit_provenance(
    run: RunStore, policies: Sequence[Policy], templates: Sequence[Template], attempts: Attempts
) -> None:
    _commit_policies(run, policies)
    held = set(run.read("templates", ["template_id"])["template_id"].to_pylist())
    rows = [template.row() for template in templates if template.template_id not in held]
    samplings = set(run.read("samplings", ["sampling_id"])["sampling_id"].to_pylist())
    new = [] if attempts.sampling_id in samplings else [attempts.sampling.identity()]
    if rows or new:
        run.commit(
            "plan",
            ids.digest("shard", "plan", [row["template_id"] for row in rows], new),
            {
                "templates": pa.Table.from_pylist(rows, schema=schema_of("templates")),
                "samplings": pa.Table.from_pylist(
                    [
                        {"sampling_id": attempts.sampling_id, "sampling": ids.canonical_json(sampling)}
                        for sampling in new
                    ],
                    schema=schema_of("samplings"),
                ),
            },
        )


def _commit_policies(run: RunStore, policies: Sequence[Policy]) -> None:
    held = set(run.read("policies", ["policy_id"])["policy_id"].to_pylist())
    rows = [policy.row() for policy in policies if policy.policy_id not in held]
    if rows:
        shard = ids.digest("shard", "policies", [row["policy_id"] for row in rows])
        run.commit("policies", shard, {"policies": pa.Table.from_pylist(rows, schema=schema_of("policies"))})


def _commit_imported(run: RunStore, imported: Imported) -> None:
    """Traces that the run does not hold yet, with the labels that came with them (never above level ``learned``)."""
    held = pa.array(run.read("traces", ["trace_id"])["trace_id"].to_pylist(), pa.string())
    traces = imported.traces.filter(pc.invert(pc.is_in(imported.traces["trace_id"], value_set=held)))
    drops = new_drops(run, imported.drops)
    if not traces.num_rows and not drops:
        return
    fresh = set(traces["trace_id"].to_pylist())
    labels = [label for label in imported.labels if label.trace_id in fresh]
    lost = Counter(drop.reason for drop in drops if drop.stage != labelling.STAGE)
    run.commit(
        "import",
        ids.digest("shard", "import", sorted(fresh), [[drop.subject_id, drop.reason] for drop in drops]),
        {
            "traces": traces,
            "verdicts": verdict_table(_recorded(label) for label in labels),
            "drops": pa.Table.from_pylist([drop.row() for drop in drops], schema=schema_of("drops")),
        },
        Funnel("import", traces.num_rows + lost.total(), traces.num_rows, lost),
    )


def new_drops(run: RunStore, drops: Sequence[Drop]) -> list[Drop]:
    """Those of ``drops`` that the run does not hold yet, each once."""
    table = run.read("drops", ["subject_id", "stage", "reason"])
    held = set(zip(*(column.to_pylist() for column in table.columns), strict=True))
    once = {(drop.subject_id, drop.stage, drop.reason): drop for drop in drops}
    return [drop for key, drop in once.items() if key not in held]


def _recorded(label: Label) -> Verdict:
    return Verdict(
        label.trace_id,
        f"recorded:{label.source}",
        "1",
        "",
        "",
        Judgement(Outcome(label.outcome), label.detail or "came with the trace"),
        Level.LEARNED,
        "import",
        "none",
    )
