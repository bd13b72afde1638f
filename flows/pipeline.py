"""The order of the work, without Prefect: load, plan, sample and label by shards, vote, build views.

Every stage reads committed tables and adds rows; killing the process between or inside any two lines and running the same
recipe again ends in the same tables.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from tracemill.flows import preflight
from tracemill.flows.orchestrator import Orchestrator, PlainOrchestrator
from tracemill.schemas.errors import DataError, EngineError
from tracemill.schemas.recipe import ImportRecipe, Recipe
from tracemill.schemas.records import Problem
from tracemill.tasks import labelling, sampling
from tracemill.tasks.engines.registry import build_engine, engine_home
from tracemill.tasks.imports import read_traces
from tracemill.tasks.labelling import Labeller
from tracemill.tasks.loading import committed_problems, load, load_traces
from tracemill.tasks.mining.build import mine
from tracemill.tasks.mining.scores import build_scorer, score
from tracemill.tasks.opinions import registry as opinions
from tracemill.tasks.opinions.asking import Opinion
from tracemill.tasks.plan import Attempts, Plan, Shard, plan
from tracemill.tasks.provenance import commit_policy, invocation
from tracemill.tasks.reporting.listener import Listener, NullListener
from tracemill.tasks.sampling import Budget, Sampler
from tracemill.tasks.sanity import check_problems, options_of
from tracemill.tasks.sources import Loaded, load_problems
from tracemill.tasks.steps.asking import look
from tracemill.tasks.steps.execution import execute
from tracemill.tasks.steps.locators import build_locators
from tracemill.tasks.store import RunStore
from tracemill.tasks.store.history import refuse_other
from tracemill.tasks.strategies.registry import build_strategy
from tracemill.tasks.template_library import build_template
from tracemill.tasks.templates import Template, render
from tracemill.tasks.views import build_views
from tracemill.verifiers.base import Verifier
from tracemill.verifiers.pool import VerifierPool

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


@dataclass(frozen=True, slots=True)
class Reverified:
    """What verifying a run again came to: new verdicts given, errors asked again and mended, verdicts compared, and a line
    for each that differs."""

    given: int
    asked: int
    mended: int
    compared: int
    differing: tuple[str, ...]


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
    listener.stage("load", None)
    loaded = load_problems(recipe.problems)  # first, so that a source that cannot be read leaves no folder behind
    preflight.check_run(recipe, template, loaded.problems, reuse)
    models = opinions.build_all(recipe, loaded.problems, engine_home())
    with RunStore.start(out, recipe, fresh=fresh) as run, invocation(run, recipe, engine.policy) as begun:
        problems = load(run, loaded, recipe.limit)
        attempts = Attempts.of(recipe, engine.policy, template)
        todo = plan(run, problems, recipe, attempts)
        commit_policy(run, engine.policy)
        if reuse is not None:
            listener.note(f"{run.reuse(RunStore.open(reuse))} paid requests taken over from {reuse}")
        paid = run.paid(todo.shard_ids)
        pool = VerifierPool(recipe.verifier_workers)
        labeller = Labeller(run, pool, problems, recipe.verifiers, listener, recheck=recipe.recheck)
        begun.verifiers, begun.canaries = labeller.verifiers, labeller.canaries
        async with pool:
            budget = Budget(recipe.budget.tokens, recipe.budget.usd)
            sampler = Sampler(run, engine, attempts, strategy, todo, labeller.judge, listener, paid, budget)
            _say_what_is_asked_again(todo, sampler)
            if todo.shards:
                await labeller.prove()  # before anything is paid for
            await check_problems(run, pool, problems, recipe, listener)
            listener.stage(labelling.STAGE, todo.wanted)
            await labeller.label_owed()
            if todo.shards:
                await _sample(sampler, labeller, todo, recipe, orchestrator or PlainOrchestrator())
            run.drop_spent_ledgers()
            begun.verifiers = await _opinions(run, models, problems, labeller, listener)
            await _mine(run, recipe, problems, labeller, listener, budget)
        for warning in run.warnings:
            listener.note(warning)
        finish(run, recipe, listener)
    return run


def _say_what_is_asked_again(todo: Plan, sampler: Sampler) -> None:
    engine, listener = sampler.engine, sampler.listener
    if todo.short and not engine.capabilities.continue_prefix:
        listener.note(f"{engine.name} cannot continue a text: {todo.short} cut ones are asked again in full")
    if failed := len(todo.replaced) - todo.short:
        listener.note(f"{failed} prompts that failed before are asked again")


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
    listener.stage("import", None)
    imported = read_traces(recipe)
    preflight.check_curation(recipe, imported.problems)
    models = opinions.build_all(recipe, imported.problems, engine_home())
    with RunStore.start(out, recipe, fresh=fresh) as run, invocation(run, recipe) as begun:
        problems = load(run, Loaded(imported.problems, [], len(imported.problems)))
        for policy in imported.policies:
            commit_policy(run, policy)
        load_traces(run, imported)
        apart = labelling.set_apart(run)
        pool = VerifierPool(recipe.verifier_workers)
        labeller = Labeller(run, pool, problems, recipe.verifiers, listener, apart, recipe.recheck)
        begun.verifiers, begun.canaries = labeller.verifiers, labeller.canaries
        async with pool:
            await check_problems(run, pool, problems, recipe, listener)
            listener.stage(labelling.STAGE, imported.traces.num_rows - len(apart))
            await labeller.label_owed()
            begun.verifiers = await _opinions(run, models, problems, labeller, listener)
            await _mine(run, recipe, problems, labeller, listener)
        finish(run, recipe, listener)
    return run


async def verify_run(path: str, *, recheck: float | None = None, listener: Listener | None = None) -> Reverified:
    """Verify the run at ``path`` again, sampling nothing, and build its views anew.

    What has no verdict of the verifiers as they are now gets one; what ended in ``error`` is asked again; ``recheck`` of the
    other verdicts (the recipe's share by default) are given once more and compared. Doing it twice adds nothing.
    """
    listener = listener or NullListener()
    recipe = RunStore.open(path).history.recipe(where=path)
    share = recipe.recheck if recheck is None else recheck
    with RunStore.start(path, recipe) as run, invocation(run, recipe) as begun:
        problems = committed_problems(run)
        models = opinions.build_all(recipe, problems, engine_home())
        apart = labelling.set_apart(run)
        pool = VerifierPool(recipe.verifier_workers)
        labeller = Labeller(run, pool, problems, recipe.verifiers, listener, apart, recipe.recheck)
        begun.verifiers, begun.canaries = labeller.verifiers, labeller.canaries
        async with pool:
            await labeller.prove()
            await check_problems(run, pool, problems, recipe, listener)
            listener.stage(labelling.STAGE, None)
            asked, mended = await labeller.answer_errors()
            given = await labeller.label_owed()
            compared, differing = await labeller.compare(share)
            begun.verifiers = await _opinions(run, models, problems, labeller, listener)
            await _mine(run, recipe, problems, labeller, listener)
        finish(run, recipe, listener)
    return Reverified(given, asked, mended, compared, tuple(differing))


async def _opinions(
    run: RunStore,
    models: Mapping[str, Opinion | Verifier],
    problems: Sequence[Problem],
    labeller: Labeller,
    listener: Listener,
) -> Mapping[str, Verifier]:
    """Give the opinions that the recipe asks for, once the rule verifiers have spoken; all verifiers that took part."""
    found = opinions.verifiers_of(models)
    for name, verifier in found.items():
        await labeller.trust(name, verifier)
    await opinions.give(run, models, problems, listener)
    return {**labeller.verifiers, **found}


async def _mine(
    run: RunStore,
    recipe: Recipe | ImportRecipe,
    problems: Sequence[Problem],
    labeller: Labeller,
    listener: Listener,
    budget: Budget | None = None,
) -> None:
    """Ask about the steps of the run's traces, where the recipe does, mine what is then known, and score it where it names who."""
    if recipe.mining is None:
        return
    if recipe.mining.execute:
        await execute(run, labeller.pool, problems, options_of(recipe.verifiers), listener)
    for locator in build_locators(recipe, labeller, engine_home()):
        await look(run, locator, problems, listener, budget)
    await mine(run, recipe.mining, recipe.views.validation, labeller.of_texts, listener)
    if recipe.mining.scorer is not None:
        await score(run, recipe.mining, build_scorer(recipe.mining.scorer, engine_home()), listener)


async def dry_run(recipe: Recipe, out: str | None = None) -> DryRun:
    """The first prompt, the counts and the estimated tokens of ``recipe``; asks the engine nothing and writes nothing."""
    template = build_template(recipe.template)
    build_strategy(recipe.strategy.kind)
    loaded = load_problems(recipe.problems).problems
    preflight.check_run(recipe, template, loaded, install=False)
    problems = loaded[: recipe.limit]
    owed = wanted = len(problems) * recipe.strategy.n
    with suppress(DataError, EngineError):  # no run there yet, or no engine on this machine: everything is owed
        engine = build_engine(recipe.engine, engine_home())
        if out is not None:
            run = RunStore.open(out)
            refuse_other(run.history, recipe, where=run.path)
            owed = plan(run, problems, recipe, Attempts.of(recipe, engine.policy, template)).owed
    texts = [prompt_text(template, problem) for problem in problems]
    return DryRun(
        prompt=texts[0],
        problems=len(problems),
        attempts=wanted,
        owed=owed,
        prompt_tokens=sum(len(text) for text in texts) * owed // len(texts) // CHARACTERS_PER_TOKEN,
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


def finish(run: RunStore, recipe: Recipe | ImportRecipe, listener: Listener) -> None:
    """Build the views from what is committed."""
    listener.stage("views", None)
    build_views(run, recipe.views, listener)
