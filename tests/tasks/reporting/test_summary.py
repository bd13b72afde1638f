"""The summary and the report of a run whose numbers can be worked out on paper."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from tracemill.schemas.records import Problem
from tracemill.tasks.reporting.report import write_report
from tracemill.tasks.reporting.summary import summarise, to_markdown, to_text

PROBLEMS = [Problem(f"{n} + 0?", "answer", "hand", gold=str(n % 2), domain="sum") for n in range(4)]
ATTACK = "<script>alert(1)</script>\x1b[2J ``` # heading"


@pytest.fixture
def right_and_wrong(bench: Any, said: Any, by_rule: Any) -> Any:
    """Four problems of four attempts with 0, 1, 2 and 4 correct ones, right answers first."""

    def attempts(problem: Problem, correct: int) -> list[Any]:
        good = [said(problem.gold, [by_rule("correct")])] * correct
        return good + [said("9", [by_rule("incorrect")])] * (4 - correct)

    return bench.run([(p, attempts(p, c)) for p, c in zip(PROBLEMS, (0, 1, 2, 4), strict=True)])


def test_pass_at_k_is_averaged_over_problems(right_and_wrong: Any) -> None:
    [row] = summarise(right_and_wrong).rows
    assert (row.problems, row.traces, row.graded, row.tokens) == (4, 16, 16, 80)
    assert row.pass_at[1] == pytest.approx((0 + 1 / 4 + 2 / 4 + 1) / 4)
    assert row.pass_at[2] == pytest.approx((0 + 1 / 2 + 5 / 6 + 1) / 4)  # 1 - C(n-c, 2) / C(4, 2)
    assert row.pass_at[4] == pytest.approx(3 / 4)
    assert sorted(row.pass_at) == [1, 2, 4]


def test_the_majority_and_the_blind_baseline_stand_beside_it(right_and_wrong: Any) -> None:
    [row] = summarise(right_and_wrong).rows
    assert row.majority == pytest.approx((0 + 0 + 0.5 + 1) / 4)  # the third is a tie, which is shared
    assert row.blind == 0.0  # two answers, twice each: without a problem of its own, the other one leads
    [lucky] = summarise(right_and_wrong).lucky
    assert (lucky.answer_type, lucky.problems, lucky.share) == ("integer", 4, 0.0)
    assert lucky.pass_rate == pytest.approx(7 / 16)
    text = to_text(summarise(right_and_wrong))
    assert "blind" in text
    assert "Lucky rates" in text


def test_k_is_left_out_where_too_few_problems_have_so_many_attempts(bench: Any, said: Any, by_rule: Any) -> None:
    good = said("0", [by_rule("correct")])
    run = bench.run([(PROBLEMS[0], [good] * 4), *((p, [good]) for p in PROBLEMS[1:])])
    [row] = summarise(run).rows
    assert sorted(row.pass_at) == [1]


def test_errors_leave_the_rate_and_are_shown(bench: Any, said: Any, by_rule: Any) -> None:
    run = bench.run([(PROBLEMS[0], [said("0", [by_rule("correct")]), said("0", [by_rule("error")])])])
    [row] = summarise(run).rows
    assert (row.graded, row.errors, row.pass_at[1]) == (1, 1, 1.0)
    assert "errors" in to_text(summarise(run))


def test_recorded_labels_are_compared_on_the_attempts_that_have_both(bench: Any, said: Any, by_rule: Any) -> None:
    def recorded(outcome: str) -> tuple[str, str, str, str]:
        return ("recorded:dump", outcome, "learned", "1")

    run = bench.run(
        [
            (
                PROBLEMS[0],
                [
                    said("0", [by_rule("correct"), recorded("incorrect")], repeats=3),
                    said("0", [by_rule("correct"), recorded("correct")]),
                    said("9", [by_rule("error"), recorded("correct")]),
                ],
            )
        ]
    )
    [row] = summarise(run).labels
    assert (row.label, row.attempts, row.verified, row.recorded, row.disagree) == ("dump", 4, 1.0, 0.25, 3)


def test_a_run_without_traces_still_has_a_summary(bench: Any) -> None:
    run = bench.run([(PROBLEMS[0], [])])
    assert summarise(run).rows == ()
    assert "Funnel" in to_markdown(summarise(run))


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_report_shows_what_a_model_said_as_text_only(bench: Any, said: Any, by_rule: Any) -> None:
    recorded = ("recorded:dump", "incorrect", "learned", "1")
    hostile = Problem(ATTACK, "answer", "hand", gold="0", domain=ATTACK)
    run = bench.run([(hostile, [said(ATTACK, [by_rule("correct"), recorded], text=ATTACK)])])
    path = Path(write_report(run))
    page = path.read_text()
    tags = Tags()
    tags.feed(page)
    assert "script" not in tags.seen
    assert "alert(1)" in tags.text
    assert "\x1b" not in page
    markdown = path.with_suffix(".md").read_text()
    assert "\x1b" not in markdown
    inside = False
    for line in markdown.splitlines():
        if line.startswith("````"):
            inside = not inside
        elif not inside:
            assert "<script>" not in line.replace("\\<", "")
    assert pq.read_table(path.with_name("disagreements.parquet")).num_rows == 1


def test_the_report_has_every_part(right_and_wrong: Any) -> None:
    page = Path(write_report(right_and_wrong)).read_text()
    for part in ("Funnel", "Pass rates", "Each disagreement", "Example traces"):
        assert part in page
    assert page.count("<h3>") == 3
