"""What the documented SQL views say of a run whose numbers can be worked out on paper."""

from __future__ import annotations

import asyncio
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from tracemill.schemas.errors import StoreError
from tracemill.schemas.recipe import MiningSpec
from tracemill.schemas.records import Problem
from tracemill.schemas.tables import TABLES, schema_of
from tracemill.tasks.mining.build import mine
from tracemill.tasks.queries import connect
from tracemill.tasks.store import Funnel, RunStore

SUM = Problem("1 + 1?", "answer", "hand", gold="2", domain="sum")
OTHER = Problem("2 + 2?", "answer", "hand", gold="4", domain="sum")
THIRD = Problem("0 + 2?", "answer", "hand", gold="2.0", domain="sum")
DOCUMENT = Path(__file__).parents[3] / "docs" / "sql.md"


def rows(run: RunStore | list[RunStore], query: str) -> list[dict[str, Any]]:
    connection = connect(run if isinstance(run, list) else [run])
    try:
        return connection.sql(query).to_arrow_table().to_pylist()
    finally:
        connection.close()


def verdict_of(bench: Any, said: Any, *verdicts: tuple[str, str, str, str]) -> dict[str, Any]:
    [row] = rows(bench.run([(SUM, [said("2", verdicts)])]), "FROM final_verdict")
    return row


def test_a_newer_version_wins_by_number_not_by_text(bench: Any, said: Any, by_rule: Any) -> None:
    row = verdict_of(bench, said, by_rule("incorrect", version="1.9"), by_rule("correct", version="1.10"))
    assert (row["outcome"], row["version"]) == ("correct", "1.10")


def test_an_error_gives_way_even_to_an_older_version(bench: Any, said: Any, by_rule: Any) -> None:
    assert (
        verdict_of(bench, said, by_rule("incorrect", version="1"), by_rule("error", version="2"))["outcome"]
        == "incorrect"
    )


def test_an_error_alone_is_an_error(bench: Any, said: Any, by_rule: Any) -> None:
    assert verdict_of(bench, said, by_rule("error"))["outcome"] == "error"


@pytest.mark.parametrize("level", ["pseudo", "learned"])
def test_an_opinion_is_never_an_outcome(bench: Any, said: Any, level: str) -> None:
    row = verdict_of(bench, said, ("opinion", "correct", level, "1"))
    assert (row["outcome"], row["pseudo_outcome"]) == (None, "correct")


def test_an_opinion_does_not_replace_a_rule_verifiers_error(bench: Any, said: Any, by_rule: Any) -> None:
    row = verdict_of(bench, said, by_rule("error"), ("consensus", "correct", "pseudo", "1"))
    assert (row["outcome"], row["pseudo_outcome"], row["level"]) == ("error", "correct", "rule")


def test_two_rule_verifiers_in_conflict_give_disputed_with_both_views(bench: Any, said: Any, by_rule: Any) -> None:
    row = verdict_of(bench, said, by_rule("correct"), by_rule("timeout", "puzzle"))
    assert (row["outcome"], row["disputed"]) == ("disputed", True)
    assert row["reason"] == "answer 1.0: correct; puzzle 1.0: timeout"


def test_rule_verifiers_that_both_say_no_are_not_in_conflict(bench: Any, said: Any, by_rule: Any) -> None:
    row = verdict_of(bench, said, by_rule("incorrect"), by_rule("unparsed", "puzzle"))
    assert (row["outcome"], row["disputed"]) == ("incorrect", False)


def test_a_rule_verifiers_error_disputes_nothing(bench: Any, said: Any, by_rule: Any) -> None:
    row = verdict_of(bench, said, by_rule("error"), by_rule("correct", "puzzle"))
    assert (row["outcome"], row["disputed"], row["verifier"]) == ("correct", False, "puzzle")


def test_pass_rate_counts_graded_attempts_alone(bench: Any, said: Any, by_rule: Any) -> None:
    attempts = [
        said("2", [by_rule("correct")], repeats=3),
        said("3", [by_rule("incorrect")]),
        said(None, [by_rule("unparsed")]),
        said("2", [by_rule("error")]),
        said(None, error="timed out", text=""),
        said("2"),
        said("2", [by_rule("correct"), by_rule("incorrect", "puzzle")]),
        said("2", [by_rule("correct")], text="set apart"),
        said("2", [by_rule("correct")], kind="rationalised", text="hinted"),
        said("2", [by_rule("correct")], text="short"),
    ]
    drops = [(SUM.prompt, 7, "verify", "needs_execution"), (SUM.prompt, 9, "sample", "superseded")]
    run = bench.run([(SUM, attempts)], drops=drops)
    [row] = rows(run, "FROM pass_rate")
    assert (row["n"], row["c"], row["pass_rate"]) == (5, 3, 0.6)
    assert (row["errors"], row["disputed"], row["unverified"], row["apart"]) == (2, 1, 1, 1)
    assert rows(run, "SELECT count(*) AS n FROM current_traces") == [{"n": 9}]


def test_equal_answers_vote_together_however_they_are_written(bench: Any, said: Any, by_rule: Any) -> None:
    attempts = [
        said("5", [by_rule("incorrect")], repeats=2),
        said("2", [by_rule("correct")]),
        said("2.0", [by_rule("correct")]),
        said(r"\frac{4}{2}", [by_rule("correct")]),
        said(None, [by_rule("unparsed")]),
    ]
    [row] = rows(bench.run([(SUM, attempts)]), "FROM majority")
    assert (row["votes"], row["voters"], row["share"], row["tied"], row["correct"]) == (3, 5, 0.6, 1, 1.0)


def test_tied_classes_share_the_vote(bench: Any, said: Any, by_rule: Any) -> None:
    run = bench.run([(SUM, [said("2", [by_rule("correct")]), said("3", [by_rule("incorrect")])])])
    [row] = rows(run, "FROM majority")
    assert (row["tied"], row["correct"]) == (2, 0.5)
    assert rows(run, "FROM disagreements WHERE kind = 'majority'") == []


def test_disagreements_name_both_sides_and_a_wrong_majority(bench: Any, said: Any, by_rule: Any) -> None:
    recorded = ("recorded:label", "incorrect", "learned", "1")
    run = bench.run(
        [(SUM, [said("2", [by_rule("correct"), recorded]), said("7", [by_rule("incorrect"), recorded], repeats=5)])]
    )
    both, majority = rows(run, "FROM disagreements ORDER BY kind DESC")
    assert (both["first"], both["first_outcome"]) == ("answer", "correct")
    assert (both["second"], both["second_outcome"]) == ("recorded:label", "incorrect")
    assert (majority["kind"], majority["first_outcome"], majority["gold"]) == ("majority", "7", "2")


def test_answers_without_a_normal_form_vote_as_they_are_written(bench: Any, said: Any, by_rule: Any) -> None:
    attempts = [said(answer, [by_rule("incorrect")]) for answer in ("?", "?", "...", "nan", "9" * 5000, None)]
    run = bench.run([(SUM, attempts), (Problem("2 + 2?", "answer", "hand", gold="", domain="sum"), [])])
    [row] = rows(run, "FROM majority")
    assert (row["answer"], row["votes"], row["voters"]) == ("?", 2, 5)
    assert [row["gold"] for row in rows(run, "FROM disagreements")] == ["2"]
    assert len(rows(run, "FROM blind_baseline")) == 1


def test_one_wrong_answer_alone_is_no_wrong_majority(bench: Any, said: Any, by_rule: Any) -> None:
    alone = bench.run([(SUM, [said("7", [by_rule("incorrect")])])])
    assert rows(alone, "FROM disagreements") == []


@pytest.mark.parametrize(
    ("golds", "share"),
    [
        ("2", 0.0),  # no others to learn from
        ("23", 0.0),
        ("223", 1 / 3),  # the third's class leads by one: each 2 is guessed from a tie of two
        ("2223", 3 / 4),
        ("2233", 0.0),  # without it, a problem's own class is behind
        ("222334", 1.5 / 6),
    ],
)
def test_the_blind_baseline_guesses_each_problem_from_the_others(
    bench: Any, said: Any, golds: str, share: float
) -> None:
    problems = [replace(SUM, prompt=f"Problem {place}?", gold=gold, problem_id="") for place, gold in enumerate(golds)]
    [row] = rows(bench.run([(problem, [said("2")]) for problem in problems]), "FROM blind_baseline")
    assert row["problems"] == len(golds)
    assert row["share"] == pytest.approx(share)


def test_lucky_rates_are_told_apart_by_the_type_of_the_answer(bench: Any, said: Any, by_rule: Any) -> None:
    golds = ["2", "2", "3", "1/2", r"\frac12", "even", "B"]
    problems = [
        replace(SUM, prompt=f"Problem {place}?", gold=gold, choices=("x", "y") if gold == "B" else None, problem_id="")
        for place, gold in enumerate(golds)
    ]
    right, wrong = said("2", [by_rule("correct")]), said("9", [by_rule("incorrect")])
    run = bench.run([(problem, [right, wrong] if problem.gold == "2" else [wrong]) for problem in problems])
    found = {row["answer_type"]: row for row in rows(run, "FROM lucky_rate")}
    assert {name: row["problems"] for name, row in found.items()} == {
        "integer": 3,
        "fraction": 2,
        "text": 1,
        "choice": 1,
    }
    assert found["fraction"]["share"] == 1.0
    assert found["integer"]["share"] == pytest.approx(1 / 3)
    assert found["integer"]["pass_rate"] == pytest.approx((0.5 + 0.5 + 0) / 3)


def test_the_funnel_adds_up_and_keeps_the_order_of_stages(bench: Any, said: Any, by_rule: Any) -> None:
    found = rows(bench.run([(SUM, [said("2", [by_rule("correct")])])]), "FROM funnel")
    assert [(r["stage"], r["rows_in"], r["rows_out"], r["reason"], r["dropped"]) for r in found] == [
        ("load", 2, 1, "empty_gold", 1),
        ("sample", 1, 1, None, 0),
        ("verify", 1, 1, None, 0),
    ]


def test_cost_is_summed_per_stage_and_policy(bench: Any, said: Any) -> None:
    [row] = rows(bench.run([(SUM, [said("2"), said("3"), said(None, error="down", text="")])]), "FROM cost")
    assert (row["stage"], row["model"], row["requests"], row["errors"]) == ("sample", "tiny-model", 3, 1)
    assert (row["prompt_tokens"], row["completion_tokens"], round(row["usd"], 6)) == (30, 15, 0.003)


def test_every_table_is_a_view_with_the_run_before_its_columns(bench: Any, said: Any) -> None:
    run = bench.run([(SUM, [said("2")])])
    connection = connect([run])
    for name, table in TABLES.items():
        assert connection.sql(f"FROM {name}").columns == ["run", *table.schema.names]
    connection.close()


def test_runs_of_one_name_are_told_apart_by_folder(bench: Any, said: Any) -> None:
    runs = [bench.run([(SUM, [said("2")])], folder=folder) for folder in ("one", "two")]
    names = {row["run"] for row in rows(runs, "SELECT DISTINCT run FROM traces")}
    assert names == {f"hand@{run.path}" for run in runs}


def test_a_live_run_shows_its_committed_shards_and_nothing_else(bench: Any, said: Any) -> None:
    path = bench.run([(SUM, [said("2")])]).path
    writer = RunStore.start(path, RunStore.open(path).recipe())
    problem = pa.Table.from_pylist([OTHER.row()], schema=schema_of("problems"))
    Path(path, "problems", "uncommitted.parquet").write_bytes(b"half a fi")
    assert rows(RunStore.open(path), "SELECT count(*) AS n FROM problems") == [{"n": 1}]
    writer.commit("load", "two", {"problems": problem})
    assert rows(RunStore.open(path), "SELECT count(*) AS n FROM problems") == [{"n": 2}]
    writer.close()


def test_only_the_newest_build_of_the_views_counts(bench: Any, said: Any) -> None:
    path = bench.run([(SUM, [said("2")])]).path
    writer = RunStore.start(path, RunStore.open(path).recipe())
    for build, reason in (("000000-a", "over_cap"), ("000001-b", "incorrect")):
        drop = {"subject_id": "t_1", "stage": "view:sft", "reason": reason, "detail": None}
        writer.commit(
            "views",
            build,
            {"drops": pa.Table.from_pylist([drop], schema=schema_of("drops"))},
            Funnel("view:sft", 1, 0, {reason: 1}),
        )
    writer.close()
    assert rows(writer, "SELECT reason FROM drops") == [{"reason": "incorrect"}]
    assert rows(writer, "SELECT rows_in, reason FROM funnel WHERE stage = 'view:sft'") == [
        {"rows_in": 1, "reason": "incorrect"}
    ]


def test_a_run_of_before_a_table_was_there_has_no_rows_of_it(bench: Any, said: Any) -> None:
    run = bench.run([(SUM, [said("2")])])
    shutil.rmtree(f"{run.path}/scores")
    with connect([run]) as connection:
        assert connection.execute("SELECT count(*) FROM scores").fetchone() == (0,)
        assert connection.execute("SELECT count(*) FROM traces").fetchone() == (1,)


def test_a_table_of_an_unknown_version_is_refused_and_no_connection_left_open(
    bench: Any, said: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = duckdb.connect(":memory:")
    monkeypatch.setattr(duckdb, "connect", lambda *_, **__: opened)
    run = bench.run([(SUM, [said("2")])])
    schema = schema_of("traces")
    newer = schema.with_metadata({**schema.metadata, b"tracemill.version": b"99"})
    pa.parquet.write_table(newer.empty_table(), f"{run.path}/traces/_empty.parquet")
    with pytest.raises(StoreError, match="version 99"):
        connect([run])
    with pytest.raises(duckdb.ConnectionException, match="closed"):
        opened.execute("SELECT 1")


def test_a_quote_in_a_path_is_only_a_quote(bench: Any, said: Any) -> None:
    run = bench.run([(SUM, [said("2")])], folder="it's; DROP")
    assert rows(run, "SELECT count(*) AS n FROM traces") == [{"n": 1}]


def test_every_example_of_the_documentation_runs(bench: Any, said: Any, by_rule: Any) -> None:
    queries = re.findall(r"```sql\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
    assert len(queries) >= 6
    recorded = ("recorded:label", "incorrect", "learned", "1")
    attempts = [said("2", [by_rule("correct"), recorded]), said("3", [by_rule("incorrect")])]
    path = bench.run([(SUM, attempts), (OTHER, [said("5", [by_rule("incorrect")])])]).path
    with RunStore.start(path, RunStore.open(path).recipe()) as run:
        asyncio.run(mine(run, MiningSpec(make=[]), 0.0, None))
    for query in queries:
        assert rows(run, query), query


def test_every_documented_view_exists_and_its_columns_are_named(bench: Any, said: Any) -> None:
    text = DOCUMENT.read_text()
    connection = connect([bench.run([(SUM, [said("2")])])])
    for view in (
        "final_verdict",
        "attempts",
        "pass_rate",
        "majority",
        "blind_baseline",
        "lucky_rate",
        "disagreements",
        "funnel",
        "cost",
    ):
        assert f"**`{view}`**" in text
        for column in connection.sql(f"FROM {view}").columns:
            assert f"`{column}`" in text, (view, column)
    connection.close()
