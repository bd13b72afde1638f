"""Sibling preferences of search trees: by verified ends alone, behind one prefix, and in the trainers' columns."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from hypothesis import given
from hypothesis import strategies as st

from tracemill.flows.pipeline import synthesize
from tracemill.schemas.recipe import Recipe
from tracemill.tasks.mining.trees import node_of, sibling_rows
from tracemill.tasks.store import RunStore
from tracemill.tasks.views.write import view_files


def node(name: str, step: str = "", status: str = "expanded", **more: Any) -> dict[str, Any]:
    row = {"tree_id": "tree_1", "problem_id": "p_1", "node_id": name, "step": step, "status": status, "is_text": False}
    return {**row, "terminal": status in ("goal", "dead"), "mc_k": None, "mc_correct": None, **more}


TREE = [
    node("0"),
    node("0,0", "a"),
    node("0,1", "b"),
    node("0,2", "c", "dead"),
    node("0,0,0", "d", "goal"),
    node("0,0,1", "e", "dead"),
    node("0,1,0", "f", "dead"),
    node("0,1,1", "g", "open"),
]


def test_a_step_with_a_right_end_beyond_it_is_set_against_siblings_with_none():
    """§2.14: q of 0,0 is 1/2, of 0,1 and 0,2 it is 0."""
    rows = {(row["chosen_id"], row["rejected_id"]): row for row in sibling_rows(TREE, "train")}
    named = {(a.partition(":")[2], b.partition(":")[2]) for a, b in rows}
    assert named == {("0,0", "0,1"), ("0,0", "0,2"), ("0,0,0", "0,0,1")}
    assert rows[node_of("tree_1", "0,0"), node_of("tree_1", "0,1")]["weight"] == 0.5
    inner = rows[node_of("tree_1", "0,0,0"), node_of("tree_1", "0,0,1")]
    assert (inner["weight"], inner["prefix"], inner["kind"]) == (1.0, "a\n", "sibling")


def test_rollouts_count_as_ends_and_texts_are_joined_as_they_were_said():
    rows = sibling_rows(
        [
            node("0", is_text=True),
            node("0,0", "We add.\n\n", is_text=True),
            node("0,0,0", "3 + 4 = 7", "open", is_text=True, mc_k=4, mc_correct=3),
            node("0,0,1", "3 + 4 = 8", "open", is_text=True, mc_k=4, mc_correct=0),
        ],
        "train",
    )
    assert [(row["weight"], row["prefix"]) for row in rows] == [(0.75, "We add.\n\n")]


def test_an_open_end_says_nothing():
    assert sibling_rows([node("0"), node("0,0", "a", "goal"), node("0,1", "b", "open")], "train") == []


@given(st.lists(st.tuples(st.integers(0, 20), st.sampled_from(["goal", "dead", "open"])), max_size=25))
def test_both_sides_have_one_parent_and_the_better_one_is_chosen(grown):
    nodes = {"0": node("0")}
    for at, status in grown:
        parent = list(nodes)[at % len(nodes)]
        if not nodes[parent]["terminal"]:
            name = f"{parent},{sum(n.rpartition(',')[0] == parent for n in nodes)}"
            nodes[name] = node(name, name, status)
    rows = sibling_rows(nodes.values(), "train")
    assert len({row["preference_id"] for row in rows}) == len(rows)
    for row in rows:
        one, other = (row[side].partition(":")[2] for side in ("chosen_id", "rejected_id"))
        assert one.rpartition(",")[0] == other.rpartition(",")[0]
        assert row["weight"] > 0
        beyond = [n["status"] for name, n in nodes.items() if name == one or name.startswith(f"{one},")]
        assert "goal" in beyond
        lost = [n["status"] for name, n in nodes.items() if name == other or name.startswith(f"{other},")]
        assert "dead" in lost
        assert "goal" not in lost


async def test_a_recipe_writes_them_from_its_searches(tmp_path: Path) -> None:
    recipe = Recipe.model_validate(
        {
            "name": "trees",
            "problems": [{"kind": "countdown", "size": 6, "seed": 3}],
            "engine": {"kind": "none"},
            "strategy": {"kind": "best_first", "n": 1},
            "mining": {},
            "orchestrator": "none",
            "verifier_workers": 1,
        }
    )
    run = await synthesize(recipe, str(tmp_path / "run"))
    rows = [row for row in run.read("preferences").to_pylist() if row["kind"] == "sibling"]
    assert rows
    steps = {node_of(n["tree_id"], n["node_id"]): n["step"] for n in run.read("nodes").to_pylist()}
    paths = view_files(run.path)["step_preference"]
    view = {row["preference_id"]: row for path in paths for row in pq.read_table(f"{run.path}/{path}").to_pylist()}
    for row in rows:
        shown = view[row["preference_id"]]
        assert shown["chosen"][0]["content"] == row["prefix"] + steps[row["chosen_id"]]
        assert shown["rejected"][0]["content"] == row["prefix"] + steps[row["rejected_id"]]
    before = len(run.commits("mine"))
    again = await synthesize(recipe, run.path)
    assert len(again.commits("mine")) == before
    assert isinstance(again, RunStore)
