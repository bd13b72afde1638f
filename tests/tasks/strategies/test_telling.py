"""Rewrites from a recipe: (shortcut, draft, rewrite) triples, refusals counted, everything paid for once."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pyarrow.parquet as pq
import pytest

from tracemill.flows import pipeline
from tracemill.flows.pipeline import synthesize
from tracemill.schemas.errors import EngineError, UsageError
from tracemill.schemas.recipe import Recipe
from tracemill.tasks.engines.base import Completion, Request
from tracemill.tasks.engines.simulated import SimulatedEngine
from tracemill.tasks.reporting.summary import summarise
from tracemill.tasks.store import RunStore
from tracemill.tasks.strategies.telling import Telling

MARK = "Write the new text alone."


class Rewriter(SimulatedEngine):
    """Answers a rewrite by ``how`` of its draft, and dies after so many requests."""

    how: Any = staticmethod(lambda draft, number: draft)
    lives = 10**9
    asked: list[str]

    async def complete(self, request: Request) -> Completion:
        if Rewriter.lives <= 0:
            raise EngineError("gone", where="test")
        Rewriter.lives -= 1
        said = await super().complete(request)
        shown = "" if not request.messages else request.messages[-1]["content"]
        Rewriter.asked.append(request.key(self.policy.policy_id))
        if MARK not in shown:
            return said
        text = Rewriter.how(shown.partition(MARK)[2].strip(), request.draw)
        return replace(said, finish_reason="length") if text is None else replace(said, text=text, finish_reason="stop")


@pytest.fixture(autouse=True)
def engine(monkeypatch):
    monkeypatch.setattr(pipeline, "build_engine", lambda spec, home, **more: Rewriter(spec))
    Rewriter.asked, Rewriter.lives = [], 10**9
    Rewriter.how = staticmethod(lambda draft, number: draft)


def recipe(**parameters: Any) -> Recipe:
    given = {
        "width": 2,
        "k": 3,
        "value_k": 2,
        "streams": ["journey", "astro"],
        "rewrite": ["journey", "astro"],
        **parameters,
    }
    return Recipe.model_validate(
        {
            "name": "rewrites",
            "problems": [
                {"kind": "reasoning_gym", "family": "chain_sum", "size": 4, "options": {"min_terms": 2, "max_terms": 2}}
            ],
            "engine": {
                "kind": "simulated",
                "simulation": {"steps": 4, "success": 0.5, "text_bytes": 0, "step_error": 0.3},
            },
            "strategy": {"kind": "beam", "n": 1, "parameters": given},
            "views": {"names": ["streams"]},
            "orchestrator": "none",
            "baseline": False,
            "verifier_workers": 1,
            "shard_size": 3,
        }
    )


def made(path: Any, asked: Recipe) -> RunStore:
    return asyncio.run(synthesize(asked, str(path)))


def rows(run: RunStore, table: str) -> list[dict[str, Any]]:
    return sorted(run.read(table).to_pylist(), key=str)


def warmer(draft: str, number: int) -> str:
    return "<think>Let me see.</think>\n\n" + "\n\n".join(f"Well: {part}" for part in draft.split("\n\n"))


def test_triples_stand_together_in_the_run_and_in_the_view(tmp_path):
    Rewriter.how = staticmethod(warmer)
    run = made(tmp_path / "a", recipe())
    streams = {(row["tree_id"], row["linearizer"]): row for row in rows(run, "streams")}
    solved = {row["tree_id"] for row in rows(run, "trees") if row["status"] == "solved"}
    assert solved
    requests = {row["seed"]: row for row in rows(run, "requests") if "draft" in (row["variables"] or "")}
    for tree_id in solved:
        for name in ("journey", "astro"):
            draft, rewrite = streams[tree_id, name], streams[tree_id, f"{name}_rewrite"]
            assert rewrite["text"].startswith("Well: ")
            assert rewrite["verified"]
            how = json.loads(rewrite["parameters"])
            assert (how["draft_id"], how["recall"]) == (draft["stream_id"], 1.0)
            assert requests[how["seed"]]["response"].endswith(rewrite["text"])
            assert json.loads(requests[how["seed"]]["variables"]) == {"draft": draft["text"]}
    view = pq.read_table(f"{run.path}/views/streams").to_pylist()
    for row in view:
        own = row["tree_id"]
        if row["linearizer"].endswith("_rewrite"):
            assert row["draft_id"] == streams[own, row["linearizer"].removesuffix("_rewrite")]["stream_id"]
            assert row["twin_id"] == streams[own, "shortcut"]["stream_id"]
        else:
            assert row["draft_id"] is None
    assert sum(row["linearizer"].endswith("_rewrite") for row in view) == 2 * len(solved)


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        (lambda draft, number: draft.partition("\n\n")[2], "rewrite_paragraphs"),
        (lambda draft, number: draft.replace("Step 1", "Step one"), "rewrite_lost_steps"),
        (lambda draft, number: None, "rewrite_cut"),
    ],
)
def test_a_refused_rewrite_is_a_drop_with_its_reason_and_is_counted(tmp_path, how, reason):
    Rewriter.how = staticmethod(how)
    run = made(tmp_path / "a", recipe(rewrite=["journey"]))
    solved = {row["tree_id"] for row in rows(run, "trees") if row["status"] == "solved"}
    lost = {(d["subject_id"], d["reason"]) for d in rows(run, "drops") if d["detail"] == "journey_rewrite"}
    assert lost == {(tree_id, reason) for tree_id in solved}
    assert not [row for row in rows(run, "streams") if row["linearizer"] == "journey_rewrite"]
    (counted,) = [row for row in summarise(run).streams if row.linearizer == "journey_rewrite"]
    assert (counted.told, counted.dropped, counted.reasons) == (0, len(solved), f"{reason} {len(solved)}")


def test_another_try_has_another_draw(tmp_path):
    Rewriter.how = staticmethod(lambda draft, number: draft if number == 2 else "No.")
    run = made(tmp_path / "a", recipe(rewrite=["journey"], rewrite_tries=3))
    kept = [row for row in rows(run, "streams") if row["linearizer"] == "journey_rewrite"]
    asked = [row for row in rows(run, "requests") if "draft" in (row["variables"] or "")]
    assert len(asked) == 3 * len(kept) > 0
    assert {row["seed"] for row in asked if row["draw"] == 2} == {json.loads(s["parameters"])["seed"] for s in kept}


def test_a_run_that_was_killed_among_rewrites_ends_in_the_same_tables_and_pays_once(tmp_path):
    Rewriter.how = staticmethod(lambda draft, number: draft if len(draft) % 2 else "No.")
    whole = made(tmp_path / "whole", recipe(rewrite_tries=2))
    paid, Rewriter.asked = sorted(Rewriter.asked), []
    for lives in (len(paid) // 3, len(paid) // 2, 10**9):
        Rewriter.lives = lives
        with suppress(EngineError):
            made(tmp_path / "cut", recipe(rewrite_tries=2))
    assert sorted(Rewriter.asked) == paid
    cut = RunStore.open(str(tmp_path / "cut"))
    for table in ("trees", "nodes", "edges", "streams", "drops"):
        assert rows(cut, table) == rows(whole, table)


@pytest.mark.parametrize("name", ["stream_of_search", "shortcut", "direct", "mcts_visits"])
def test_only_streams_in_paragraphs_are_rewritten(name):
    with pytest.raises(UsageError, match="cannot be rewritten"):
        Telling.of({"rewrite": [name]})


def test_an_exact_search_has_its_streams_rewritten_too(tmp_path):
    asked = recipe()
    asked = Recipe.model_validate(
        asked.model_dump()
        | {"problems": [{"kind": "countdown", "size": 6, "seed": 3}]}
        | {"strategy": {"kind": "dfs", "n": 1, "parameters": {"streams": ["stream_of_search"], "rewrite": ["journey"]}}}
    )
    run = made(tmp_path / "a", asked)
    solved = {row["tree_id"] for row in rows(run, "trees") if row["status"] == "solved"}
    assert {
        r["tree_id"] for r in rows(run, "streams") if r["linearizer"] == "journey_rewrite" and r["verified"]
    } == solved
    assert len(Rewriter.asked) == len(solved) > 0
