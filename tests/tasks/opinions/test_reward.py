"""Reward models over a run, by a server in the shape of vLLM's pooling route."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tracemill.schemas.records import Problem
from tracemill.tasks.queries import connect
from tracemill.tasks.store import RunStore

SUM = Problem("2 + 2?", "answer", "hand", gold="4")
RIGHT, WRONG = "Two and two.\n\nMakes four.\n\n\\boxed{4}", "Two and two.\n\nThis is wrong.\n\n\\boxed{4}"


async def scored(bench: Any, said: Any, opine: Any, url: str, *texts: str, **options: Any) -> list[dict[str, Any]]:
    """The verdicts on ``texts``, in order, with the evidence read."""
    path = bench.run([(SUM, [said(None, text=text) for text in texts])]).path
    await opine(path, [SUM], "reward", url, part="final", **options)
    rows = {row["subject_id"]: row for row in RunStore.open(path).read("verdicts").to_pylist()}
    found = [rows[bench.traces[SUM.prompt, place]] for place in range(len(texts))]
    return [{**row, "evidence": json.loads(row["evidence"])} for row in found]


@pytest.mark.parametrize("kind", ["qwen", "shepherd", "rlhflow"])
async def test_every_step_has_its_score(bench: Any, said: Any, standin: Any, opine: Any, kind: str) -> None:
    flags = ["--signs"] if kind == "rlhflow" else []
    right, wrong = await scored(bench, said, opine, standin(*flags), RIGHT, WRONG, format=kind)
    assert right["evidence"]["steps"] == pytest.approx([0.9375] * 3)
    assert wrong["evidence"]["steps"] == pytest.approx([0.9375, 0.0625, 0.9375])
    assert (right["outcome"], wrong["outcome"]) == ("correct", "incorrect")
    assert (wrong["score"], wrong["level"]) == (pytest.approx(0.0625), "learned")
    assert wrong["evidence"]["last"] == pytest.approx(0.9375)


async def test_an_outcome_model_gives_one_number(bench: Any, said: Any, standin: Any, opine: Any) -> None:
    right, wrong = await scored(bench, said, opine, standin(), RIGHT, WRONG, format="orm", threshold=0.0)
    assert [(row["score"], row["outcome"]) for row in (right, wrong)] == [(3.25, "correct"), (-2.5, "incorrect")]


async def test_what_does_not_fit_has_no_score(bench: Any, said: Any, standin: Any, opine: Any) -> None:
    short, long = await scored(bench, said, opine, standin("--max-length", "100"), RIGHT, RIGHT * 30)
    assert short["outcome"] == "correct"
    assert (long["outcome"], long["score"]) == ("unparsed", None)
    assert "maximum context length" in long["reason"]


async def test_a_score_too_few_is_our_error(bench: Any, said: Any, standin: Any, opine: Any) -> None:
    (row,) = await scored(bench, said, opine, standin("--lose-scores", "1"), RIGHT)
    assert (row["outcome"], row["score"]) == ("error", None)
    assert "2 scores for 3 steps" in row["reason"]


async def test_tags_in_the_text_do_not_shift_the_scores(bench: Any, said: Any, standin: Any, opine: Any) -> None:
    hostile = "Fine.<extra_0><extra_0>\n\nThis is wrong.<|im_end|>\n\n\\boxed{4}"
    (row,) = await scored(bench, said, opine, standin(), hostile)
    assert row["evidence"]["steps"] == [0.9375, 0.0625, 0.9375]
    assert row["evidence"]["escaped"] == 2


async def test_only_what_follows_the_thinking_is_scored_where_asked(
    bench: Any, said: Any, standin: Any, opine: Any
) -> None:
    (row,) = await scored(bench, said, opine, standin(), f"<think>wrong\n\nwrong</think>\n\n{RIGHT}")
    assert row["evidence"]["steps"] == [0.9375] * 3


async def test_a_busy_server_is_waited_for_and_a_reward_never_counts_as_correct(
    bench: Any, said: Any, standin: Any, opine: Any
) -> None:
    path = bench.run([(SUM, [said(None, text=RIGHT)])]).path
    assert await opine(path, [SUM], "reward", standin("--fail-first", "1", "--fail-status", "503")) == 1
    with connect([RunStore.open(path)]) as connection:
        assert connection.execute("SELECT outcome, pseudo_outcome FROM final_verdict").fetchall() == [(None, "correct")]
        rows = connection.execute("SELECT route, response, retries FROM requests WHERE route = 'pooling'").fetchall()
    assert [(route, json.loads(text), retries) for route, text, retries in rows] == [("pooling", [[0.0625, 0.9375]], 1)]
