"""DeepConf from a recipe (§2.30): unsure traces are stopped as they grow and never accepted, the sure ones vote."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest

from tracemill.flows import pipeline
from tracemill.flows.pipeline import synthesize
from tracemill.schemas.errors import EngineError, TracemillError, UsageError
from tracemill.schemas.recipe import Recipe
from tracemill.tasks.domains.text import read_thoughts
from tracemill.tasks.engines.base import Completion, Request
from tracemill.tasks.engines.simulated import SimulatedEngine
from tracemill.tasks.search.deepconf import threshold, weighted_vote
from tracemill.tasks.search.rows import tree_of
from tracemill.tasks.store import RunStore
from tracemill.tasks.strategies.deepconf import Settings
from tracemill.verifiers.equivalence import normal_form
from tracemill.verifiers.extract import extract

SIMULATION = {"steps": 8, "success": 0.5, "text_bytes": 800, "step_error": 0.15, "self_correction": 0.2}


class Watched(SimulatedEngine):
    """The simulated engine, which remembers what it is asked and dies after so many requests."""

    lives = 10**9
    asked: list[Request]
    change: Any = staticmethod(lambda completion, request: completion)

    async def complete(self, request: Request) -> Completion:
        if Watched.lives <= 0:
            raise EngineError("gone", where="test")
        Watched.lives -= 1
        Watched.asked.append(request)
        return Watched.change(await super().complete(request), request)


@pytest.fixture
def watched(monkeypatch):
    monkeypatch.setattr(pipeline, "build_engine", lambda spec, home, **more: Watched(spec))
    Watched.asked, Watched.lives = [], 10**9
    Watched.change = staticmethod(lambda completion, request: completion)


def recipe(engine: dict[str, Any] | None = None, template: dict[str, Any] | None = None, **parameters: Any) -> Recipe:
    given = {"budget": 24, "warm_up": 8, "keep": 50, "window": 24, "chunk": 32, "parallel": 8, "top": 5, "share": None}
    return Recipe.model_validate(
        {
            "name": "sure",
            "problems": [{"kind": "reasoning_gym", "family": "chain_sum", "size": 4}],
            "engine": engine or {"kind": "simulated", "simulation": SIMULATION},
            "template": template or {},
            "sampling": {"max_tokens": 400},
            "strategy": {"kind": "deepconf", "n": 1, "parameters": {**given, **parameters}},
            "orchestrator": "none",
            "baseline": False,
            "verifier_workers": 1,
            "shard_size": 2,
        }
    )


def made(path: Any, asked: Recipe) -> RunStore:
    return asyncio.run(synthesize(asked, str(path)))


def rows(run: RunStore, table: str) -> list[dict[str, Any]]:
    return sorted(run.read(table).to_pylist(), key=str)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return made(tmp_path_factory.mktemp("run") / "a", recipe())


def trees_of(run: RunStore) -> list[Any]:
    nodes, edges = rows(run, "nodes"), rows(run, "edges")

    def of(table: list[dict[str, Any]], key: str) -> list[dict[str, Any]]:
        return [row for row in table if row["tree_id"] == key]

    return [
        (row, tree_of(row, of(nodes, row["tree_id"]), of(edges, row["tree_id"]), read_thoughts))
        for row in rows(run, "trees")
    ]


def test_a_stopped_trace_stays_in_the_tree_with_its_text_and_is_never_an_attempt(run):
    texts = {(row["tree_id"], row["text"]) for row in rows(run, "traces")}
    stopped = 0
    for row, tree in trees_of(run):
        assert len(tree.root.children) == 24
        for node in tree.root.children:
            (text,) = node.state.steps
            if node.state.finish == "abort":
                stopped += 1
                assert (node.status, node.prune_reason, node.visits) == ("pruned", "low_confidence", 0)
                assert (row["tree_id"], text) not in texts
                assert node.tokens % 32 == 0  # it was stopped at the end of a chunk
            elif node.prune_reason is None:
                assert (row["tree_id"], text) in texts
    assert stopped > 10


def test_the_attempt_is_what_the_sure_traces_vote_for(run):
    traces = rows(run, "traces")
    attempts = {row["tree_id"]: row for row in traces if row["kind"] == "sample"}
    assert len(attempts) == 4
    assert sum(row["kind"] == "rollout" for row in traces) == len(traces) - 4
    for row, tree in trees_of(run):
        votes = []
        for node in tree.root.children:
            if node.status in ("goal", "dead"):
                answer = extract(node.state.text, node.state.finish).answer
                votes.append((None if answer is None else normal_form(answer), node.value))
        winner = next(iter(weighted_vote(votes)))
        attempt = attempts[row["tree_id"]]
        assert normal_form(attempt["answer"]) == winner
        assert attempt["start_node_id"] == row["best_leaf"]
        assert (row["status"] == "solved") == tree.nodes[row["best_leaf"]].goal


def test_the_threshold_is_that_of_the_warm_up_and_is_kept_with_the_tree(tmp_path, watched):
    run = made(tmp_path / "a", recipe(score="least"))
    for row, tree in trees_of(run):
        warm = [tree.nodes[f"0,{i}"].value for i in range(8)]
        least = json.loads(row["budgets"])["confidence"]
        assert least == threshold(warm, 50)
        for node in tree.root.children:
            assert (node.prune_reason == "low_confidence") == (node.value < least)
    assert {request.sampling.confidence for request in Watched.asked} == {5}
    whole = [r for r in Watched.asked if r.sampling.max_tokens == 400]
    assert len(whole) == 4 * 8
    assert all(r.sampling.max_tokens <= 32 for r in Watched.asked if r not in whole)


def test_a_run_killed_anywhere_resumes_to_the_same_tables_and_pays_once(run, tmp_path, watched):
    whole = run.read("requests").num_rows
    for lives in (5, whole // 3, whole // 2, 10**9):
        Watched.lives = lives
        with suppress(EngineError):
            made(tmp_path / "cut", recipe())
    paid = [request.key("p") for request in Watched.asked]
    assert len(paid) == len(set(paid)) == whole
    cut = RunStore.open(str(tmp_path / "cut"))
    for table in ("trees", "nodes", "edges", "traces"):
        assert rows(cut, table) == rows(run, table)


def test_offline_every_trace_is_whole_and_the_surest_of_them_vote(tmp_path, watched):
    run = made(tmp_path / "a", recipe(online=False, keep=25, budget=12))
    assert len(Watched.asked) == 4 * 12
    for row, tree in trees_of(run):
        assert json.loads(row["budgets"])["confidence"] is None
        ends = tree.root.children
        assert all(node.status in ("goal", "dead") for node in ends)
        votes = [(normal_form(extract(n.state.text, "stop").answer or "") or None, n.value) for n in ends]
        best = tree.nodes[row["best_leaf"]]
        assert normal_form(extract(best.state.text, "stop").answer) == next(iter(weighted_vote(votes, 25)))


def test_where_the_vote_is_settled_nothing_more_is_asked(tmp_path, watched):
    made(tmp_path / "a", recipe({"kind": "simulated", "simulation": {**SIMULATION, "success": 1.0}}, share=0.95))
    assert len(Watched.asked) == 4 * 8


def test_a_failed_request_costs_its_trace_alone(tmp_path, watched):
    def lost(completion: Completion, request: Request) -> Completion:
        return replace(completion, error="500: broken") if request.seed % 5 == 0 else completion

    Watched.change = staticmethod(lost)
    run = made(tmp_path / "a", recipe())
    found = [node for _, tree in trees_of(run) for node in tree.root.children]
    assert 0 < sum(node.prune_reason == "unanswered" for node in found) < len(found)
    assert {row["error"] for row in rows(run, "traces")} == {None}


def test_a_server_that_gives_no_candidates_is_one_clear_error(tmp_path, watched):
    Watched.change = staticmethod(lambda completion, request: replace(completion, confidence=None))
    with pytest.raises(EngineError, match="gives no log-probabilities of other tokens"):
        made(tmp_path / "a", recipe())


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"widow": 3}, "no parameter 'widow'"),
        ({"score": "median"}, "no score 'median'"),
        ({"budget": 0}, "not a whole number above 0"),
        ({"keep": 0}, "keep is a percentage"),
    ],
)
def test_a_wrong_parameter_is_one_clear_error(parameters, said):
    with pytest.raises(UsageError, match=said):
        Settings.of(parameters)


def test_over_the_wire_chunks_go_on_from_the_text_and_an_engine_that_cannot_is_refused(tmp_path, standin):
    log = tmp_path / "log"
    url = standin("--owner", "vllm", "--answers", "0.6", "--log", str(log))
    engine = {"kind": "openai", "model": "standin", "base_url": url}
    run = made(tmp_path / "a", recipe(engine, budget=6, warm_up=4, window=8, keep=90))
    asked = [json.loads(line) for line in log.read_text().splitlines()]
    assert sum(line["prefix"] > 0 for line in asked) > 6
    for _, tree in trees_of(run):
        for node in tree.root.children:
            if node.prune_reason is None:
                assert 0.5 < node.value < 1.6  # the stand-in's candidates: -mean of -(1..7)/8 - (0..4)/4
    other = {**engine, "base_url": standin("--owner", "somebody", "--answers", "0.6")}
    with pytest.raises(TracemillError, match="cannot go on from a text"):
        made(tmp_path / "b", recipe(other))
