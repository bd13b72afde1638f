"""Where a wrong trace first goes wrong, by each locator, and when two agree."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from tracemill.tasks.segment import segment
from tracemill.tasks.steps.arithmetic import first_false_equation
from tracemill.tasks.steps.base import FirstError, Source, Steps, best, consensus
from tracemill.tasks.steps.divergence import common_ground, divergence, results
from tracemill.tasks.steps.evidence import lean_first_error
from tracemill.tasks.steps.judge import by_votes, judge, question, read

WRONG = "Tom has 3 + 4 = 7 apples.\n\nHe buys 5: 7 + 5 = 13.\n\nHe eats 2: 13 - 2 = 11.\n\nThe answer is 11."
RIGHT = [
    "3 + 4 = 7 in all.\n\n7 + 5 = 12.\n\n12 - 2 = 10, so 10.",
    "7 apples, then 12.\n\n12 - 2 = 10.",
    "At the end 3 + 4 + 5 - 2 = 10.",
]


def steps_of(text: str) -> Steps:
    spans, segmenter = segment(text)
    return Steps("t_1", text, tuple(spans), segmenter)


def test_arithmetic_names_the_first_false_equation():
    assert first_false_equation(steps_of(WRONG)) == FirstError(1, Source.ARITHMETIC)
    assert first_false_equation(steps_of(RIGHT[0])) is None


def test_divergence_names_the_first_result_that_no_right_sibling_has():
    assert divergence(steps_of(WRONG), RIGHT, "Tom has 3 and 4 apples, buys 5, eats 2.") == FirstError(
        1, Source.DIVERGENCE
    )
    assert divergence(steps_of(RIGHT[0]), RIGHT[1:] * 2) is None
    assert divergence(steps_of(WRONG), RIGHT[:2]) is None  # too few to rule out another way
    assert divergence(steps_of(WRONG), RIGHT[:1], least=1) == FirstError(1, Source.DIVERGENCE)


def test_another_order_of_a_siblings_sum_is_no_divergence():
    right = ["40 + 60 + 8 = 108.", "He has 100 + 8 = 108.", "So 108."]
    wrong = "He gets 60 + 8 = 68.\n\nThen 68 + 14 = 82.\n\nThe answer is 82."
    assert divergence(steps_of(wrong), right, "He has 40, gets 60 and 8.") == FirstError(1, Source.DIVERGENCE)
    spread = ["40 + 60 = 100.\n\n100 + 8 = 108.", *right[1:]]
    assert divergence(steps_of(wrong), spread, "He has 40, gets 60 and 8.") == FirstError(1, Source.DIVERGENCE)
    answer = "He gets 60 + 8 = 68.\n\nThe answer is 68."  # wrong as an answer, however it came about
    assert divergence(steps_of(answer), right, "He has 40, gets 60 and 8.") == FirstError(0, Source.DIVERGENCE)


def test_the_same_in_other_units_is_no_divergence():
    right = ["2 * 3 = 6 hours.", "6 hours.", "It takes 6."]
    wrong = "That is 3 * 120 = 360 minutes.\n\nSo 360 + 5 = 365.\n\nThe answer is 365."
    assert divergence(steps_of(wrong), right, "2 and 3") == FirstError(1, Source.DIVERGENCE)
    assert divergence(steps_of(wrong.replace("minutes", "apples")), right, "2 and 3") == FirstError(
        0, Source.DIVERGENCE
    )
    share = "percent = 50\n\n12 * 50 = 610.\n\nThe answer is 610."  # a sibling says 0.5
    assert divergence(steps_of(share), ["0.50 * 12 = 6."] * 3, "Half of 12.") == FirstError(1, Source.DIVERGENCE)
    long = f"That is {'9' * 5000} minutes.\n\nThe answer is 365."
    assert divergence(steps_of(long), right, "2 and 3") == FirstError(0, Source.DIVERGENCE)


def test_what_a_program_printed_is_the_programs_error():
    fenced = "Two ways.\n\n```python\nprint(3 * 5)\n```\n\n```output\n15\n```\n\nThe answer is 15."
    assert divergence(steps_of(fenced), RIGHT) == FirstError(1, Source.DIVERGENCE)
    assert common_ground(steps_of(fenced), RIGHT) == 1
    tagged = "Two ways.\n\n<|code|>\na = 3\n\na * 5\n<|execution|>\n15\n<|text|>\nThe answer is 15."
    assert divergence(steps_of(tagged), RIGHT) == FirstError(2, Source.DIVERGENCE)
    assert common_ground(steps_of(tagged), RIGHT) == 1


def test_a_step_comes_to_what_it_sets_equal_or_says_last():
    assert results("so x = 1,200.50 and y = -3") == {"1200.5", "3"}
    assert results("3 + 4 = 7 + 0 = 7") == {"7"}
    assert results("that leaves 12 of them") == {"12"}
    assert results("1. Find the cost of 3 pens.\n2) Add 4.") == set()


def test_lean_evidence_names_the_step_of_its_first_error():
    code = "theorem t : 1 = 1 := by\n  simp\n  foo\n"
    text = f"First we simplify.\n\n```lean\n{code}```\n\nDone."
    messages = [
        {"severity": "warning", "line": 2, "text": "w"},
        {"severity": "error", "line": 3, "column": 2, "text": "e"},
    ]
    steps = Steps(
        "t",
        text,
        (
            (0, 20),
            (20, text.index("  simp")),
            (text.index("  simp"), text.index("  foo")),
            (text.index("  foo"), len(text)),
        ),
        "given",
    )
    assert lean_first_error(steps, json.dumps({"answer": code, "messages": messages})) == FirstError(3, Source.LEAN)
    assert lean_first_error(steps, json.dumps({"answer": code, "first_error": {"line": 2, "column": 2}})) == FirstError(
        2, Source.LEAN
    )
    for evidence in (
        "{}",
        '{"answer": "elsewhere", "first_error": {"line": 1}}',
        json.dumps({"answer": code, "first_error": {"line": 0}}),
    ):
        assert lean_first_error(steps, evidence) is None


def test_a_judge_is_taken_at_its_last_line_only():
    assert read("Step 2 is odd.\nFirst wrong step: 2", 3).error == FirstError(1, Source.JUDGE)
    assert read("First wrong step: 1\nno, wait\n**First wrong step: none**", 3).error is None
    assert read("First wrong step: none", 3).decided
    for reply in ("", "step 2", "First wrong step: 4", "First wrong step: 0"):
        assert not read(reply, 3).decided


async def test_a_judge_is_shown_the_numbered_steps():
    asked = []

    async def ask(prompt: str) -> str | None:
        asked.append(prompt)
        return "First wrong step: 2"

    said = await judge(ask, "What is 3 + 4?", ["3 + 4", "= 8"])
    assert said.error == FirstError(1, Source.JUDGE)
    assert asked == [question("What is 3 + 4?", ["3 + 4", "= 8"])]
    assert "[step 2] = 8" in asked[0]


def test_votes_need_enough_alike_and_no_tie():
    """§2.32: a label where enough analyses say the same, else none."""
    one, two, none = (read(f"First wrong step: {n}", 9) for n in ("1", "2", "none"))
    assert by_votes([one, one, two], 2) == one
    assert by_votes([none, none, one], 2) == none
    assert by_votes([one, two, read("?", 9)], 1) is None
    assert by_votes([one, one, two], 3) is None


FOUND = st.lists(
    st.builds(FirstError, st.integers(0, 4), st.sampled_from([s for s in Source if s is not Source.CONSENSUS]))
)


@given(FOUND)
def test_a_consensus_is_two_sources_on_one_step(found):
    agreed = consensus(found)
    named = {step: {e.source for e in found if e.step == step} for step in range(5)}
    if agreed is None:
        assert all(len(sources) < 2 for sources in named.values())
    else:
        assert len(named[agreed.step]) >= 2
        assert agreed.agreed
        assert agreed.verified
    chosen = best(found)
    assert (chosen is None) == (not found)
    if chosen is not None and agreed is None and any(error.verified for error in found):
        assert chosen.verified
