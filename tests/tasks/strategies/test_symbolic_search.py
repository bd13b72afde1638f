"""Searches over symbolic domains from a recipe: trees, their streams and their ends in the run, the same after every resume."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from tracemill.flows.pipeline import synthesize
from tracemill.schemas.errors import EngineError, TracemillError, UsageError
from tracemill.schemas.recipe import Recipe
from tracemill.schemas.records import Problem
from tracemill.tasks.domains.countdown import Countdown, expression
from tracemill.tasks.inspect import show_id
from tracemill.tasks.linearize.fit import tell
from tracemill.tasks.linearize.metrics import gap, rating
from tracemill.tasks.linearize.registry import build_linearizer
from tracemill.tasks.queries import connect
from tracemill.tasks.reporting.summary import summarise
from tracemill.tasks.search.rng import SplitMix
from tracemill.tasks.search.rows import edge_rows, node_rows, tree_of
from tracemill.tasks.store import RunStore
from tracemill.tasks.strategies import compiled_search, symbolic_search
from tracemill.tasks.strategies.telling import Telling
from tracemill.verifiers.stream_of_search import replay


def recipe(
    source: dict[str, Any] | None = None, attempts: int = 1, kind: str = "stream_of_search", **parameters: Any
) -> Recipe:
    return Recipe.model_validate(
        {
            "name": "games",
            "problems": [source or {"kind": "countdown", "size": 12, "seed": 3}],
            "engine": {"kind": "none"},
            "strategy": {"kind": kind, "n": attempts, "parameters": parameters},
            "views": {"names": ["streams", "sft"]},
            "orchestrator": "none",
            "baseline": False,
            "verifier_workers": 1,
            "shard_size": 4,
        }
    )


def made(path, asked: Recipe) -> RunStore:
    return asyncio.run(synthesize(asked, str(path)))


def rows(run: RunStore, table: str) -> list[dict[str, Any]]:
    return sorted(run.read(table).to_pylist(), key=str)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return made(tmp_path_factory.mktemp("run") / "a", recipe(attempts=2))


def test_each_attempt_is_a_tree_with_its_streams_and_its_end(run):
    trees = {row["tree_id"]: row for row in rows(run, "trees")}
    traces = {row["tree_id"]: row for row in rows(run, "traces")}
    verdicts = {row["subject_id"]: row for row in rows(run, "verdicts")}
    streams = rows(run, "streams")
    assert len(trees) == len(traces) == 24
    assert 4 < sum(tree["status"] == "solved" for tree in trees.values()) < 24
    for tree_id, tree in trees.items():
        outcome = verdicts[traces[tree_id]["trace_id"]]["outcome"]
        assert (outcome == "correct") == (tree["status"] == "solved")
        told = {s["linearizer"]: s for s in streams if s["tree_id"] == tree_id}
        assert set(told) == ({"stream_of_search", "direct"} if tree["status"] == "solved" else {"stream_of_search"})
        for stream in told.values():
            assert stream["verified"] == (tree["status"] == "solved")
            found = replay(stream["text"])
            assert found.mistakes == ()
            assert found.solved == stream["verified"]


def test_the_tree_is_read_back_from_the_run_and_told_in_the_same_words(run):
    nodes, edges, domain = rows(run, "nodes"), rows(run, "edges"), Countdown()
    for tree in rows(run, "trees")[:6]:
        own = tree["tree_id"]
        again = tree_of(
            tree, [n for n in nodes if n["tree_id"] == own], [e for e in edges if e["tree_id"] == own], domain.read
        )
        assert again.tree_id == own
        text = build_linearizer("stream_of_search").write(again, domain).text
        assert text in [s["text"] for s in rows(run, "streams") if s["tree_id"] == own]


@pytest.mark.parametrize("nodes", [True, False])
def test_a_run_that_was_stopped_ends_in_the_same_tables(request, tmp_path, monkeypatch, nodes):
    run = request.getfixturevalue("run" if nodes else "bare")
    lives = iter([True] * 7)
    search = symbolic_search._search

    async def mortal(name, context):
        if next(lives, None) is None:
            raise EngineError("gone", where="test")
        return await search(name, context)

    asked = recipe(attempts=2) if nodes else recipe(attempts=2, nodes=False)
    with monkeypatch.context() as patch:
        from functools import partial

        from tracemill.tasks.strategies import registry

        patch.setitem(registry.STRATEGIES, "stream_of_search", partial(mortal, "stream_of_search"))
        with pytest.raises(TracemillError, match="gone"):
            made(tmp_path / "b", asked)
    cut = RunStore.open(str(tmp_path / "b"))
    assert cut.read("trees").num_rows < 24
    resumed = made(tmp_path / "b", asked)
    for table in ("trees", "nodes", "edges", "streams"):
        assert rows(resumed, table) == rows(run, table)


def test_the_view_has_each_verified_stream_beside_its_twin(run):
    import pyarrow.parquet as pq

    view = pq.read_table(f"{run.path}/views/streams").to_pylist()
    verified = [s for s in rows(run, "streams") if s["verified"]]
    assert sorted(row["stream_id"] for row in view) == sorted(s["stream_id"] for s in verified)
    for row in view:
        text = row["messages"][-1]["content"]
        assert row["messages"][0]["role"] in ("system", "user")
        assert row["twin"].endswith("Goal Reached\n")
        assert row["token_ratio"] == pytest.approx(len(text) / len(row["twin"]))
        assert row["loss_spans"] == [{"start": text.index("\n") + 1, "end": len(text)}]
    drops = [d for d in rows(run, "drops") if d["stage"] == "view:streams"]
    assert {d["reason"] for d in drops} == {"unsolved"}
    assert len(drops) + len(view) == len(rows(run, "streams"))


def test_a_tree_is_drawn_with_the_way_to_its_goal(run):
    tree = next(t for t in rows(run, "trees") if t["status"] == "solved" and t["strategy"] == "bfs")
    with connect([run]) as connection:
        shown = show_id(connection, tree["tree_id"])
    lines = shown.splitlines()
    assert sum(": not looked at)" in line for line in lines) > 0
    assert sum("* " in line and "goal]" in line for line in lines) == 1
    assert [line for line in lines if line.startswith("* 0  ")]
    assert "stream_of_search" in shown


@pytest.mark.parametrize(
    ("source", "kind", "parameters"),
    [
        ({"kind": "game24", "size": 3}, "beam", {"domain": "game24", "value": "oracle", "width": 2, "k": None}),
        ({"kind": "countdown", "size": 3}, "mcts", {"domain": "countdown", "value": "monte_carlo", "value_k": 4, "k": 6,
          "iterations": 200, "stop_at_goal": True, "streams": ["mcts_visits"]}),
        ({"kind": "sudoku", "size": 3, "options": {"side": 4, "clues": 5}}, "dfs", {"floor": None, "cell": "first"}),
        ({"kind": "sudoku", "size": 2, "options": {"side": 6}}, "stream_of_search", {"search": "bfs"}),
        ({"kind": "countdown", "size": 3}, "best_first", {"value": "sum", "max_nodes": 400}),
        ({"kind": "countdown", "size": 3}, "best_of_n", {"domain": "countdown", "n": 3}),
    ],
)  # fmt: skip
def test_every_search_runs_on_every_symbolic_domain_from_a_recipe(tmp_path, source, kind, parameters):
    run = made(tmp_path / "r", recipe(source, kind=kind, **parameters))
    solved = {row["tree_id"] for row in rows(run, "trees") if row["status"] == "solved"}
    correct = {v["subject_id"] for v in rows(run, "verdicts") if v["outcome"] == "correct"}
    assert {t["tree_id"] for t in rows(run, "traces") if t["trace_id"] in correct} == solved
    if kind in ("beam", "dfs"):
        assert len(solved) == 3
    for stream in rows(run, "streams"):
        assert build_linearizer(stream["linearizer"]).parse(stream["text"])
        assert stream["verified"] == (stream["tree_id"] in solved)


@pytest.fixture(scope="module")
def bare(tmp_path_factory):
    return made(tmp_path_factory.mktemp("run") / "bare", recipe(attempts=2, nodes=False))


def same_but_for_the_recipe(run: RunStore, table: str) -> list[dict[str, Any]]:
    return sorted(
        ({k: v for k, v in row.items() if k not in ("strategy", "attempt_id", "trace_id")} for row in rows(run, table)),
        key=str,
    )


def test_without_nodes_the_trees_streams_and_ends_are_the_same_row_for_row(run, bare):
    for table in ("trees", "streams"):
        assert rows(bare, table) == rows(run, table)
    assert same_but_for_the_recipe(bare, "traces") == same_but_for_the_recipe(run, "traces")
    assert [d for d in rows(bare, "drops") if d["stage"] == "linearize"] == [
        d for d in rows(run, "drops") if d["stage"] == "linearize"
    ]
    assert rows(bare, "nodes") == rows(bare, "edges") == []
    assert rows(run, "nodes") != []


def test_the_nodes_and_edges_that_were_left_out_are_rebuilt_from_trees_and_problems(run, bare):
    problems = {row["problem_id"]: Problem.of(row) for row in rows(bare, "problems")}
    nodes: list[dict[str, Any]] = []
    edges: list[dict[str, Any]] = []
    for row in rows(bare, "trees"):
        domain, tree = symbolic_search.regrown(row, problems[row["problem_id"]])
        nodes += node_rows(tree, domain.show)
        edges += edge_rows(tree)
    assert sorted(nodes, key=str) == rows(run, "nodes")
    assert sorted(edges, key=str) == rows(run, "edges")
    tree_id = rows(bare, "trees")[0]["tree_id"]
    with connect([run]) as kept, connect([bare]) as left_out:
        assert show_id(left_out, tree_id) == show_id(kept, tree_id).replace("run a", "run bare")


def test_compiled_code_searches_whatever_it_covers_as_the_searches_do(monkeypatch):
    monkeypatch.setattr(symbolic_search, "COMPARED", 1)
    rng = SplitMix(5)
    covered = 0
    for number in range(300):
        most = (12, 99, 10_000)[number % 3]
        numbers = tuple(rng.below(most) for _ in range(4))
        target = 2 + rng.below((30, 120, 9_999)[number % 3])
        problem = Problem(
            "p", "countdown", "t", spec={"numbers": list(numbers), "target": target}, domain="puzzle/countdown"
        )
        settings = {
            "search": "bfs" if number % 5 else "dfs",
            "width": number % 5,
            "value": ("sum", "mult")[number // 5 % 2],
        }
        plan = symbolic_search._Plan.of(problem, "m", "countdown", settings, number)
        found = symbolic_search._compiled(plan, Telling.of({"streams": ["stream_of_search"]}))
        assert found is not None
        tree, told = found
        whole = tell(plan.grow(), plan.domain, [build_linearizer("stream_of_search")])
        assert [replace(stream, told=()) for stream in whole.streams] == [replace(s, told=()) for s in told.streams]
        assert whole.drops == told.drops
        covered += bool(tree.goals())
    assert covered > 20


@pytest.mark.parametrize(
    ("kind", "source", "parameters"),
    [
        ("stream_of_search", {"kind": "countdown", "size": 3, "options": {"inputs": 3}}, {}),
        ("dfs", {"kind": "countdown", "size": 3}, {"floor": None}),
        ("stream_of_search", {"kind": "countdown", "size": 6}, {"stream_tokens": 300}),
        ("mcts", {"kind": "game24", "size": 2}, {"domain": "game24", "value": "monte_carlo", "value_k": 2, "k": 4,
         "iterations": 40, "streams": ["mcts_visits"]}),
        ("best_of_n", {"kind": "countdown", "size": 2}, {"domain": "countdown", "n": 3}),
        ("guess_and_check", {"kind": "countdown", "size": 2}, {"n": 3}),
        ("beam", {"kind": "sudoku", "size": 1, "options": {"side": 4}}, {"domain": "sudoku", "width": 2, "k": None,
         "merge": "states", "max_nodes": 60}),
    ],
)  # fmt: skip
def test_what_compiled_code_does_not_cover_is_searched_and_regrown_all_the_same(tmp_path, kind, source, parameters):
    kept = made(tmp_path / "kept", recipe(source, 2, kind, **parameters))
    bare = made(tmp_path / "bare", recipe(source, 2, kind, nodes=False, **parameters))
    problems = {row["problem_id"]: Problem.of(row) for row in rows(bare, "problems")}
    assert rows(bare, "streams") == rows(kept, "streams")
    assert rows(bare, "nodes") == []
    grown = [symbolic_search.regrown(row, problems[row["problem_id"]]) for row in rows(bare, "trees")]
    assert sorted([r for domain, tree in grown for r in node_rows(tree, domain.show)], key=str) == rows(kept, "nodes")


def test_compiled_code_that_went_wrong_ends_the_run(tmp_path, monkeypatch):
    found = compiled_search.found

    def wrong(*arguments):
        made = found(*arguments)
        return replace(made, stream=replace(made.stream, text=made.stream.text.replace("Exploring", "exploring", 1)))

    monkeypatch.setattr(symbolic_search, "COMPARED", 1)
    monkeypatch.setattr(compiled_search, "found", wrong)
    with pytest.raises(EngineError, match="do not agree"):
        made(tmp_path / "r", recipe(nodes=False))


def test_nodes_of_a_search_by_the_clock_cannot_be_left_out(tmp_path):
    with pytest.raises(UsageError, match="cannot be left out"):
        made(tmp_path / "r", recipe(nodes=False, max_seconds=60))


@pytest.mark.parametrize(
    ("source", "kind", "parameters"),
    [
        ({"kind": "countdown", "size": 20, "seed": 3}, "stream_of_search", {}),
        ({"kind": "countdown", "size": 6, "seed": 3}, "stream_of_search", {"merge": "states"}),
        ({"kind": "game24", "size": 6}, "bfs", {"width": 1}),
        ({"kind": "sudoku", "size": 3, "options": {"side": 6}}, "bfs", {"width": 1}),
    ],
)
def test_a_failed_search_is_led_to_the_goal_by_landmarks_and_keeps_its_own_work(tmp_path, source, kind, parameters):
    own = made(tmp_path / "own", recipe(source, kind=kind, **parameters))
    led = made(tmp_path / "led", recipe(source, kind=kind, guided=True, **parameters))
    before = {row["problem_id"]: row for row in rows(own, "trees")}
    texts = {row["tree_id"]: row["text"] for row in rows(own, "streams") if row["linearizer"] == "stream_of_search"}
    told = {row["tree_id"]: row for row in rows(led, "streams") if row["linearizer"] == "stream_of_search"}
    guided = 0
    for tree in rows(led, "trees"):
        assert tree["status"] == "solved"
        stream, alone = told[tree["tree_id"]], texts[before[tree["problem_id"]]["tree_id"]]
        assert stream["verified"]
        if before[tree["problem_id"]]["status"] == "solved":
            assert stream["text"] == alone
        else:
            guided += 1
            assert stream["text"].startswith(alone.removesuffix("No solution found.\n"))
            assert stream["text"].count("equal: Goal Reached") == 1
            if source["kind"] == "countdown":
                assert replay(stream["text"]).mistakes == ()
    assert guided > 0


def test_a_guided_tree_is_regrown_too(tmp_path):
    led = made(tmp_path / "led", recipe(guided=True))
    bare = made(tmp_path / "bare", recipe(guided=True, nodes=False))
    assert rows(led, "streams") == rows(bare, "streams")
    problems = {row["problem_id"]: Problem.of(row) for row in rows(bare, "problems")}
    grown = [symbolic_search.regrown(row, problems[row["problem_id"]]) for row in rows(bare, "trees")]
    assert sorted([r for domain, tree in grown for r in node_rows(tree, domain.show)], key=str) == rows(led, "nodes")


def test_the_summary_has_the_measures_of_each_search(tmp_path):
    run = made(tmp_path / "r", recipe(attempts=2, stream_tokens=600))
    trees = {row["tree_id"]: row for row in rows(run, "trees")}
    told = {s["tree_id"]: s for s in rows(run, "streams") if s["linearizer"] == "stream_of_search"}
    found = summarise(run).searches
    assert sum(row.trees for row in found) == len(trees)
    (dfs,) = [row for row in found if (row.search, row.value) == ("dfs", "sum")]
    own = [t for t in trees.values() if t["strategy"] == "dfs" and '"value":"sum"' in t["parameters"]]
    explored = {t["tree_id"]: replay(told[t["tree_id"]]["text"]).explored for t in own if t["tree_id"] in told}
    solved = {t["tree_id"] for t in own if t["status"] == "solved"}
    assert dfs.trees == len(own)
    assert dfs.solved == len(solved) / len(own)
    assert dfs.overflow == 1 - len(explored) / len(own)
    assert dfs.explored == pytest.approx(sum(explored.values()) / len(explored))
    assert dfs.rating == pytest.approx(sum(rating(n, 4, i in solved) for i, n in explored.items()) / len(explored))
    assert dfs.gap == pytest.approx(sum(gap(explored[i], 4) for i in solved) / len(solved))


def test_a_stream_that_is_too_long_is_shortened_or_a_drop(tmp_path):
    run = made(tmp_path / "r", recipe(attempts=2, stream_tokens=300))
    streams, drops = rows(run, "streams"), rows(run, "drops")
    assert all(len(s["text"]) <= 300 * 4 for s in streams)
    assert all(replay(s["text"]).mistakes == () for s in streams)
    solved = {t["tree_id"] for t in rows(run, "trees") if t["status"] == "solved"}
    assert {s["tree_id"] for s in streams} >= solved
    long = {d["subject_id"] for d in drops if d["reason"] == "too_long"}
    assert long
    assert not long & solved


@pytest.mark.parametrize(
    ("kind", "parameters", "said"),
    [
        ("stream_of_search", {"serach": "dfs"}, "no parameter 'serach'"),
        ("stream_of_search", {"search": "beam"}, "does not search with 'beam'"),
        ("dfs", {"value": "freedom"}, "no value 'freedom'"),
        ("beam", {"domain": "chess"}, "no symbolic domain"),
        ("beam", {"domain": "countdown", "width": 2, "segmentation": "lines"}, "no parameter 'segmentation'"),
    ],
)
def test_what_a_recipe_cannot_ask_for_is_said(tmp_path, kind, parameters, said):
    with pytest.raises(TracemillError, match=said):
        made(tmp_path / "r", recipe(kind=kind, **parameters))


def test_a_strategy_that_asks_a_model_says_that_there_is_none(tmp_path):
    with pytest.raises(EngineError, match="names none"):
        made(tmp_path / "r", recipe(kind="samples"))


@pytest.mark.parametrize(
    "source",
    [
        {"kind": "countdown", "options": {"inputs": 9}},
        {"kind": "countdown", "options": {"target": "train"}},
        {"kind": "countdown", "options": {"targets": "all"}},
        {"kind": "sudoku", "options": {"side": 5}},
    ],
)
def test_an_option_that_a_source_does_not_have_is_said(tmp_path, source):
    with pytest.raises(UsageError):
        made(tmp_path / "r", recipe(source))


def test_held_out_targets_are_a_test_split_that_no_view_takes(tmp_path):
    run = made(tmp_path / "r", recipe({"kind": "countdown", "size": 4, "options": {"targets": "held_out"}}))
    assert {p["split"] for p in rows(run, "problems")} == {"test"}
    assert {d["reason"] for d in rows(run, "drops") if d["stage"] == "view:streams"} == {"test_split"}


def test_steps_become_one_expression():
    assert expression((40, 83, 11, 50), ("83-40=43", "50+43=93", "93-11=82")) == "(50+(83-40))-11"
    assert expression((3, 3, 8, 8), ("8/3=(8/3)", "3-(8/3)=(1/3)", "8/(1/3)=24")) == "8/(3-(8/3))"
    with pytest.raises(ValueError, match="not there"):
        expression((1, 2), ("1+3=4",))
