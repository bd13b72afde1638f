"""Searches over text as a recipe asks for them: whole trees in the store, exact budgets, equal trees after any death."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from tracemill.schemas.errors import EngineError, UsageError
from tracemill.schemas.recipe import Recipe
from tracemill.schemas.records import Problem
from tracemill.tasks.domains.text import read_thoughts
from tracemill.tasks.engines.base import Completion, Request
from tracemill.tasks.engines.simulated import SimulatedEngine
from tracemill.tasks.linearize.registry import build_linearizer
from tracemill.tasks.plan import Attempts, plan
from tracemill.tasks.reporting.listener import NullListener
from tracemill.tasks.sampling import Budget, Sampler
from tracemill.tasks.search.rows import tree_of
from tracemill.tasks.store import RunStore
from tracemill.tasks.strategies.registry import PARAMETERS, build_strategy
from tracemill.tasks.template_library import build_template
from tracemill.verifiers import answer
from tracemill.verifiers.base import Candidate, Judgement

SEARCHES: dict[str, dict[str, Any]] = {
    "beam": {"width": 2, "k": 3, "value_k": 2},
    "dvts": {"n": 4, "m": 2, "value_k": 2},
    "best_of_n": {"n": 4},
    "mcts": {"iterations": 24, "k": 2, "parallel": 3},
    "tot": {"k": 3, "b": 2, "expansion": "sample", "value": "monte_carlo", "value_k": 2, "depth": 6},
    "got": {"plan": [["generate", 3], ["aggregate", 1], ["validate_and_improve", 2]], "value": "none"},
}
STREAMS = ["journey", "astro", "interleaved", "condensed"]
PROBLEMS = [Problem(f"What is {n} + 1?", "answer", "test", gold=str(n + 1)) for n in range(4)]


async def judge(candidate: Candidate, verifier: str) -> Judgement:
    return answer.check(candidate, {})


def recipe_for(recipe_of: Callable[..., Recipe], kind: str, **more: Any) -> Recipe:
    given = {"streams": STREAMS, **SEARCHES[kind], **more}
    return recipe_of(
        n=1,
        max_tokens=400,
        shard_size=2,
        engine={"kind": "simulated", "simulation": {"steps": 4, "success": 0.4, "text_bytes": 0, "step_error": 0.3}},
        strategy={"kind": kind, "n": 1, "parameters": given},
    )


class Mortal:
    """The simulated engine, which dies after so many requests."""

    def __init__(self, recipe: Recipe, lives: int = 10**6) -> None:
        self._engine = SimulatedEngine(recipe.engine)
        self.policy, self.capabilities, self.stats = (
            self._engine.policy,
            self._engine.capabilities,
            self._engine.stats,
        )
        self.name, self.lives = "simulated", lives
        self.asked: list[str] = []

    async def complete(self, request: Request) -> Completion:
        if self.lives <= 0:
            raise EngineError("gone", where="test", mend="none")
        self.lives -= 1
        self.asked.append(request.key(self.policy.policy_id))
        await asyncio.sleep(0)
        return await self._engine.complete(request)


async def start(out: str, recipe: Recipe, engine: Mortal) -> None:
    with RunStore.start(out, recipe) as run:
        attempts = Attempts.of(recipe, engine.policy, build_template(recipe.template))
        todo = plan(run, PROBLEMS, recipe, attempts)
        strategy = build_strategy(recipe.strategy.kind)
        paid = run.paid(todo.shard_ids)
        engine_: Any = engine
        sampler = Sampler(run, engine_, attempts, strategy, todo, judge, NullListener(), paid, Budget())
        for shard in todo.shards:
            await sampler.sample(shard)


def tables(out: str) -> dict[str, list[dict[str, Any]]]:
    run = RunStore.open(out)
    found = {}
    for name in ("trees", "nodes", "edges", "streams", "traces", "drops"):
        rows = run.read(name).to_pylist()
        found[name] = sorted(rows, key=str)
    return found


@pytest.mark.parametrize("kind", list(SEARCHES))
def test_a_search_killed_anywhere_resumes_to_the_same_trees_and_pays_once(tmp_path, recipe_of, kind):
    recipe = recipe_for(recipe_of, kind)
    whole = Mortal(recipe)
    asyncio.run(start(str(tmp_path / "whole"), recipe, whole))
    wanted = tables(str(tmp_path / "whole"))
    assert len(wanted["trees"]) == len(PROBLEMS)
    out = str(tmp_path / "killed")
    paid: list[str] = []
    for lives in (1, 7, len(whole.asked) // 2, 10**6):
        engine = Mortal(recipe, lives)
        with suppress(EngineError):
            asyncio.run(start(out, recipe, engine))
        paid += engine.asked
    assert len(paid) == len(set(paid))
    assert sorted(paid) == sorted(whole.asked)
    assert tables(out) == wanted


@pytest.mark.parametrize("kind", list(SEARCHES))
def test_the_stored_rows_are_the_tree_and_its_ends_are_traces(tmp_path, recipe_of, kind):
    recipe = recipe_for(recipe_of, kind)
    out = str(tmp_path / "run")
    asyncio.run(start(out, recipe, Mortal(recipe)))
    found = tables(out)
    goals = 0
    for row in found["trees"]:
        nodes = [n for n in found["nodes"] if n["tree_id"] == row["tree_id"]]
        edges = [e for e in found["edges"] if e["tree_id"] == row["tree_id"]]
        tree = tree_of(row, nodes, edges, read_thoughts)
        traces = [t for t in found["traces"] if t["tree_id"] == row["tree_id"]]
        ends = [n for n in tree.leaves() if n.status.value in ("goal", "dead")]
        if not ends:
            assert [(t["finish_reason"], t["path"]) for t in traces] == [("abort", "0")]
            continue
        assert {t["text"] for t in traces} == {n.state.text for n in ends}
        assert sum(t["kind"] == "sample" for t in traces) == (len(traces) if kind == "best_of_n" else 1)
        assert row["tokens"] == sum(n["tokens"] for n in nodes)
        best = next(t for t in traces if t["path"] == str(t["sample_index"]))
        assert bool(tree.goals()) == (
            answer.check(Candidate("s", best["text"], gold=gold_of(row)), {}).outcome == "correct"
        )
        streams = [s for s in found["streams"] if s["tree_id"] == row["tree_id"]]
        drops = {(d["detail"], d["reason"]) for d in found["drops"] if d["subject_id"] == row["tree_id"]}
        if tree.goals():
            goals += 1
            assert {s["linearizer"] for s in streams} == {*STREAMS, "shortcut"}
            assert all(s["verified"] for s in streams)
            for stream in streams:
                places = build_linearizer(stream["linearizer"]).parse(stream["text"])
                assert places[-1] == tree.nodes[stream["segments"][-1]["node_id"]].actions()
        else:
            assert streams == []
            assert drops == {(name, "no_goal") for name in [*STREAMS, "shortcut"]}
    assert goals > 0


def gold_of(row: dict[str, Any]) -> str | None:
    return next(p.gold for p in PROBLEMS if p.problem_id == row["problem_id"])


@pytest.mark.parametrize("kind", list(SEARCHES))
@pytest.mark.parametrize("most", [10, 150])
def test_a_budget_of_tokens_is_never_passed(tmp_path, recipe_of, kind, most):
    recipe = recipe_for(recipe_of, kind, max_tokens=most)
    out = str(tmp_path / "run")
    asyncio.run(start(out, recipe, Mortal(recipe)))
    found = tables(out)
    assert all(row["tokens"] <= most for row in found["trees"])
    requests = RunStore.open(out).read("requests").to_pylist()
    trees = len(found["trees"])
    assert sum(r["completion_tokens"] for r in requests) == sum(row["tokens"] for row in found["trees"])
    assert trees == len(PROBLEMS)


def test_a_finished_search_is_not_owed_again(tmp_path, recipe_of):
    recipe = recipe_for(recipe_of, "beam", max_steps=2)
    out = str(tmp_path / "run")
    asyncio.run(start(out, recipe, Mortal(recipe)))
    again = Mortal(recipe)
    asyncio.run(start(out, recipe, again))
    assert again.asked == []


def test_a_search_that_nobody_answered_is_an_error_and_owed_again(tmp_path, recipe_of):
    recipe = recipe_for(recipe_of, "beam")
    out = str(tmp_path / "run")
    engine = Mortal(recipe)

    async def refuses(request: Request) -> Completion:
        return Completion("", "error", error="400: refused")

    engine.complete = refuses  # type: ignore[method-assign]
    asyncio.run(start(out, recipe, engine))
    assert all(trace["error"] for trace in tables(out)["traces"])
    asyncio.run(start(out, recipe, Mortal(recipe)))
    found = tables(out)
    assert sum(trace["error"] is None and trace["kind"] == "sample" for trace in found["traces"]) == len(PROBLEMS)
    for name in ("trees", "traces"):
        keys = [row[f"{name[:-1]}_id"] for row in found[name]]
        assert len(keys) == len(set(keys))


@pytest.mark.parametrize("kind", list(SEARCHES))
def test_every_parameter_is_known_before_anything_is_asked(recipe_of, kind):
    assert set(recipe_for(recipe_of, kind).strategy.parameters) <= PARAMETERS[kind]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"value": "guess"}, "no value 'guess'"),
        ({"plan": [["sort", 1]]}, "no operation"),
        ({"widht": 3}, "no parameter 'widht'"),
    ],
)
def test_a_wrong_parameter_is_one_clear_error(given, said):
    from tracemill.tasks.strategies.text_search import Settings

    name = "got" if "plan" in given else "beam"
    with pytest.raises(UsageError, match=said):
        Settings.of(name, given)
