"""The vote as a stage: who votes, what is recorded, and that twice is as good as once."""

from __future__ import annotations

import json
from typing import Any

from tracemill.schemas.recipe import Recipe
from tracemill.schemas.records import Problem
from tracemill.tasks.opinions.consensus import vote
from tracemill.tasks.opinions.registry import asked_for
from tracemill.tasks.queries import connect
from tracemill.tasks.store import RunStore
from tracemill.verifiers.consensus import consensus

OPEN = Problem("What is the third one?", "consensus", "hand")
SOLVED = Problem("1 + 1?", "answer", "hand", gold="2")


def resumed(path: str) -> RunStore:
    document = {"name": "hand", "problems": [{"kind": "file", "path": "p.jsonl"}]}
    return RunStore.start(path, Recipe.model_validate(document))


def test_a_problem_without_gold_gets_a_label_with_its_share_margin_and_source(bench: Any, said: Any) -> None:
    attempts = [said(a) for a in ["5"] * 11 + ["5.0"] + ["6"] * 4 + [None]]
    path = bench.run([(OPEN, attempts), (SOLVED, [said("2")] * 20)]).path
    with resumed(path) as run:
        assert vote(run, consensus(), [OPEN, SOLVED]) == 17
        assert vote(run, consensus(), [OPEN, SOLVED]) == 0
    run = RunStore.open(path)
    with connect([run]) as connection:
        label = connection.execute(
            "SELECT problem_id, label, source, share, margin, voters FROM pseudo_labels"
        ).fetchall()
        assert label == [(OPEN.problem_id, "5", "consensus", 0.75, 0.5, 16)]
        final = connection.execute(
            "SELECT outcome, pseudo_outcome, count(*) FROM final_verdict GROUP BY ALL ORDER BY ALL"
        ).fetchall()
    assert final == [(None, "correct", 12), (None, "incorrect", 4), (None, "unparsed", 1)]


def test_what_failed_was_replaced_or_saw_the_answer_has_no_vote(bench: Any, said: Any) -> None:
    attempts = (
        [said("5")] * 16 + [said("6")] * 2 + [said("6", kind="rationalised")] * 30 + [said("6", error="500")] * 30
    )
    path = bench.run([(OPEN, attempts)], drops=[(OPEN.prompt, 16, "sample", "superseded")]).path
    with resumed(path) as run:
        vote(run, consensus(), [OPEN])
        rows = run.read("verdicts").to_pylist()
    assert {json.loads(row["evidence"])["voters"] for row in rows} == {17}


def test_more_attempts_are_a_new_vote_and_the_newest_counts(bench: Any, said: Any) -> None:
    path = bench.run([(OPEN, [said("5")] * 15 + [said("6")])]).path
    with resumed(path) as run:
        assert vote(run, consensus({"voters": 20}), [OPEN]) == 16
        assert vote(run, consensus({"voters": 16}), [OPEN]) == 16
        assert {row["outcome"] for row in run.read("verdicts").to_pylist()} == {"unparsed", "correct", "incorrect"}


def test_a_recipe_asks_by_verifier_by_problem_or_by_strategy() -> None:
    base: dict[str, Any] = {"name": "hand", "problems": [{"kind": "file", "path": "p.jsonl"}]}

    def asked(problems: list[Problem], **changes: Any) -> list[tuple[str, dict[str, Any]]]:
        recipe = Recipe.model_validate({**base, **changes})
        return [(spec.kind, spec.options) for spec in asked_for(recipe, problems)]

    assert asked([SOLVED]) == []
    assert asked([SOLVED, OPEN]) == [("consensus", {})]
    assert asked([SOLVED], strategy={"kind": "self_consistency"}) == [("consensus", {"all": True})]
    own = [{"kind": "consensus", "options": {"voters": 4}}]
    assert asked([OPEN], strategy={"kind": "self_consistency"}, verifiers=own) == [("consensus", {"voters": 4})]
