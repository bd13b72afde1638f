"""A finished request is never paid for twice; a longer limit continues; a failure is data and is asked again later."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from tracemill.schemas.enums import Outcome
from tracemill.schemas.recipe import Recipe
from tracemill.schemas.records import Problem
from tracemill.schemas.tables import TABLES
from tracemill.tasks.engines.base import Capabilities, Request, Sampling
from tracemill.tasks.plan import Attempts, Plan, plan
from tracemill.tasks.reporting.listener import NullListener
from tracemill.tasks.sampling import Budget, Sampler
from tracemill.tasks.store import RunStore
from tracemill.tasks.strategies.samples import samples
from tracemill.tasks.strategies.star import star
from tracemill.tasks.template_library import build_template
from tracemill.tasks.templates import Template, render
from tracemill.verifiers.base import Candidate, Judgement

Recipes = Callable[..., Recipe]


async def always_wrong(candidate: Candidate, verifier: str) -> Judgement:
    return Judgement(Outcome.INCORRECT, "test")


def sampler_of(run: RunStore, recipe: Recipe, problems: list[Problem], engine: Any, **more: Any) -> Sampler:
    attempts = Attempts.of(recipe, engine.policy, build_template(recipe.template))
    todo = plan(run, problems, recipe, attempts)
    strategy = star if recipe.strategy.kind == "star" else samples
    return Sampler(
        run, engine, attempts, strategy, todo, always_wrong, NullListener(), run.paid(todo.shard_ids), **more
    )


async def sample(out: str, recipe: Recipe, problems: list[Problem], engine: Any, **more: Any) -> Plan:
    with RunStore.start(out, recipe) as run:
        sampler = sampler_of(run, recipe, problems, engine, **more)
        for shard in sampler.plan.shards:
            await sampler.sample(shard)
        return sampler.plan


def rows(out: str, table: str) -> list[dict[str, Any]]:
    return RunStore.open(out).read(table).to_pylist()


def current(out: str) -> list[dict[str, Any]]:
    superseded = {drop["subject_id"] for drop in rows(out, "drops") if drop["reason"] == "superseded"}
    return [trace for trace in rows(out, "traces") if trace["trace_id"] not in superseded]


async def test_every_wanted_attempt_becomes_one_trace_and_one_request(
    out: str, engine: Any, problems: list[Problem], recipe_of: Recipes
) -> None:
    await sample(out, recipe_of(n=3), problems, engine)
    assert len(rows(out, "traces")) == len(rows(out, "requests")) == len(engine.asked) == 15
    assert len({trace["seed"] for trace in rows(out, "traces")}) == 15


async def test_a_second_run_owes_nothing(out: str, engine: Any, problems: list[Problem], recipe_of: Recipes) -> None:
    await sample(out, recipe_of(), problems, engine)
    again = await sample(out, recipe_of(), problems, engine)
    assert (again.owed, len(engine.asked)) == (0, 10)


async def test_more_samples_ask_only_for_the_new_ones(
    out: str, engine: Any, problems: list[Problem], recipe_of: Recipes
) -> None:
    await sample(out, recipe_of(n=2), problems, engine)
    await sample(out, recipe_of(n=5), problems, engine)
    assert len(engine.asked) == 25
    assert len({trace["attempt_id"] for trace in rows(out, "traces")}) == 25


async def test_a_longer_limit_continues_what_was_cut_and_supersedes_it(
    out: str, engine: Any, problems: list[Problem], recipe_of: Recipes
) -> None:
    await sample(out, recipe_of(n=1, max_tokens=4), problems, engine)
    await sample(out, recipe_of(n=1, max_tokens=50), problems, engine)
    assert [request.sampling.max_tokens for request in engine.asked[5:]] == [46] * 5
    whole = current(out)
    assert {trace["finish_reason"] for trace in whole} == {"stop"}
    assert {len(trace["text"].split()) for trace in whole} == {6}
    assert {trace["completion_tokens"] for trace in whole} == {6}
    assert len(rows(out, "traces")) == 10


async def test_what_was_cut_at_its_very_end_is_asked_for_more_once(
    out: str, engine: Any, problems: list[Problem], recipe_of: Recipes, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = engine.complete

    async def cut_at_the_limit(request: Request) -> Any:
        said = await answer(request)
        return replace(said, finish_reason="length") if said.completion_tokens == request.sampling.max_tokens else said

    monkeypatch.setattr(engine, "complete", cut_at_the_limit)
    await sample(out, recipe_of(n=1, max_tokens=engine.words), problems, engine)
    assert (await sample(out, recipe_of(n=1, max_tokens=50), problems, engine)).owed == 5
    assert (await sample(out, recipe_of(n=1, max_tokens=50), problems, engine)).owed == 0
    assert (len(engine.asked), len(current(out))) == (10, 5)


def keys_are_unique(out: str) -> bool:
    return all(
        len(found) == len(set(found))
        for name in ("traces", "requests", "drops")
        for found in [[tuple(row[column] for column in TABLES[name].key) for row in rows(out, name)]]
    )


@pytest.mark.parametrize("continues", [True, False])
async def test_a_limit_raised_again_and_again_with_failures_between_keeps_every_key_unique(
    out: str, engine: Any, problems: list[Problem], recipe_of: Recipes, continues: bool
) -> None:
    engine.capabilities = Capabilities(continue_prefix=continues)
    for max_tokens, fails in ((2, False), (4, False), (5, True), (5, True), (5, False), (50, False), (50, False)):
        engine.fails = lambda request, fails=fails: fails
        await sample(out, recipe_of(n=1, max_tokens=max_tokens), problems, engine)
        assert keys_are_unique(out)
        assert len(current(out)) == 5
        assert all(trace["error"] is None for trace in current(out))  # a retry in vain replaces nothing
    assert {len(trace["text"].split()) for trace in current(out)} == {6}
    assert len(engine.asked) == 30
    assert sum(request["error"] is not None for request in rows(out, "requests")) == 5


async def test_a_rationalisation_that_is_paid_for_is_not_asked_again_when_its_sample_is(
    out: str, engine: Any, problems: list[Problem], recipe_of: Recipes
) -> None:
    star = {"kind": "star", "n": 1}
    complete = engine.complete

    async def hinted_ones_are_short(request: Request) -> Any:
        engine.words = 3 if "Hint" in str(request.messages) else 6
        return await complete(request)

    engine.complete = hinted_ones_are_short
    await sample(out, recipe_of(strategy=star, max_tokens=4), problems, engine)
    await sample(out, recipe_of(strategy=star, max_tokens=50), problems, engine)
    assert keys_are_unique(out)
    assert len(engine.asked) == 15  # the five samples again, no rationalisation
    assert len(rows(out, "traces")) == 15


async def test_an_engine_that_cannot_continue_is_asked_in_full(
    out: str, engine: Any, problems: list[Problem], recipe_of: Recipes
) -> None:
    engine.capabilities = Capabilities(continue_prefix=False)
    await sample(out, recipe_of(n=1, max_tokens=4), problems, engine)
    await sample(out, recipe_of(n=1, max_tokens=50), problems, engine)
    assert all(request.prefix == "" for request in engine.asked)
    assert {len(trace["text"].split()) for trace in current(out)} == {6}


async def test_a_failed_prompt_is_a_row_and_is_asked_again_by_the_next_run(
    out: str, engine: Any, problems: list[Problem], recipe_of: Recipes
) -> None:
    bad = problems[2].prompt
    engine.fails = lambda request: bad in str(request.messages)
    await sample(out, recipe_of(), problems, engine)
    assert sum(trace["error"] is not None for trace in rows(out, "traces")) == 2
    await sample(out, recipe_of(), problems, engine)  # fails again: nothing new to say
    assert len(rows(out, "traces")) == 10
    engine.fails = lambda request: False
    await sample(out, recipe_of(), problems, engine)
    assert len(current(out)) == 10
    assert all(trace["error"] is None for trace in current(out))


async def test_what_a_crash_left_in_the_ledger_is_not_asked_again(
    out: str, engine: Any, problems: list[Problem], recipe_of: Recipes, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = recipe_of(shard_size=2)
    with monkeypatch.context() as broken, RunStore.start(out, recipe) as run:
        sampler = sampler_of(run, recipe, problems, engine)
        broken.setattr(Sampler, "_commit", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            await sampler.sample(sampler.plan.shards[0])
    assert rows(out, "traces") == []
    await sample(out, recipe, problems, engine)
    assert len(engine.asked) == len(rows(out, "traces")) == 10


async def test_a_spent_budget_keeps_what_is_finished_and_leaves_the_rest_owed(
    out: str, engine: Any, problems: list[Problem], recipe_of: Recipes
) -> None:
    await sample(out, recipe_of(), problems, engine, budget=Budget(usd=1.4))
    assert len(rows(out, "traces")) == 3
    todo = await sample(out, recipe_of(), problems, engine)
    assert todo.owed == 7
    assert len(engine.asked) == len(rows(out, "traces")) == 10


async def test_another_run_serves_what_it_paid_for(
    out: str, engine: Any, problems: list[Problem], recipe_of: Recipes
) -> None:
    await sample(out, recipe_of(), problems, engine)
    other = recipe_of(name="other")
    with RunStore.start(out + "-other", other) as run:
        run.reuse(RunStore.open(out))
        sampler = sampler_of(run, other, problems, engine)
        for shard in sampler.plan.shards:
            await sampler.sample(shard)
    assert len(engine.asked) == 10
    ids = [{trace["trace_id"] for trace in rows(where, "traces")} for where in (out, out + "-other")]
    assert ids[0] == ids[1]


async def test_a_rationalised_attempt_is_stored_under_the_plain_prompt(
    out: str, engine: Any, problems: list[Problem], recipe_of: Recipes
) -> None:
    await sample(out, recipe_of(n=1, strategy={"kind": "star", "n": 1}), problems, engine)
    traces = {trace["path"]: trace for trace in rows(out, "traces") if trace["problem_id"] == problems[0].problem_id}
    assert traces["0/rationalised"]["parent_trace_id"] == traces["0"]["trace_id"]
    assert traces["0/rationalised"]["template_id"] == traces["0"]["template_id"]
    asked = {request["attempt_id"]: request["template_id"] for request in rows(out, "requests")}
    assert asked[traces["0/rationalised"]["attempt_id"]] != traces["0"]["template_id"]


async def test_every_request_can_be_rebuilt_from_the_tables_alone(
    out: str, engine: Any, problems: list[Problem], recipe_of: Recipes
) -> None:
    await sample(out, recipe_of(n=2, strategy={"kind": "star", "n": 2}), problems, engine)
    by_id = {problem.problem_id: problem for problem in problems}
    templates = {row["template_id"]: json.loads(row["template"]) for row in rows(out, "templates")}
    samplings = {row["sampling_id"]: json.loads(row["sampling"]) for row in rows(out, "samplings")}
    traces = {row["attempt_id"]: row for row in rows(out, "traces")}
    requests = rows(out, "requests")
    assert len(requests) == 20
    for row in requests:
        trace = traces[row["attempt_id"]]
        definition = dict(templates[row["template_id"]])
        shots = tuple((shown, answer) for shown, answer in definition.pop("shots"))
        template = Template(**definition, shots=shots)
        parameters = samplings[row["sampling_id"]]
        sampling = Sampling(**{**parameters, "stop": tuple(parameters["stop"])}, max_tokens=row["max_tokens"])
        prompt = render(template, by_id[trace["problem_id"]], json.loads(row["variables"] or "{}"))
        rebuilt = Request(row["attempt_id"], prompt.route, sampling, row["seed"], row["draw"], messages=prompt.messages)
        assert rebuilt.prompt_hash == row["prompt_hash"]
        assert rebuilt.key(trace["policy_id"]) == row["request_key"]


async def test_the_longest_text_is_continued_whatever_else_a_reused_run_left(
    out: str, engine: Any, problems: list[Problem], recipe_of: Recipes
) -> None:
    await sample(out, recipe_of(n=2, max_tokens=2), problems, engine)
    other = out + "-other"
    with RunStore.start(other, recipe_of(n=1, max_tokens=2)) as run:
        run.reuse(RunStore.open(out))  # its second samples are not wanted, so its ledger stays
    for max_tokens in (2, 4, 50):
        await sample(other, recipe_of(n=1, max_tokens=max_tokens), problems, engine)
    assert [len(request.prefix.split()) for request in engine.asked[10:]] == [2] * 5 + [4] * 5
