"""Countdown and the Game of 24: exactly the given numbers, exactly the target, and nothing is ever evaluated."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracemill.verifiers.base import Candidate
from tracemill.verifiers.countdown import Unreadable, check, judge, valued
from tracemill.verifiers.registry import build_verifier

DATASETS = Path(__file__).resolve().parents[3] / "shared" / "datasets"


def outcome(response: str, numbers: list[int], target: int, **more: str) -> str:
    return check(Candidate("x", response, spec={"numbers": numbers, "target": target}, **more), {}).outcome.value


@pytest.mark.parametrize(
    "response",
    [
        r"So it is \boxed{(40-11)+83-50}.",
        "<answer>83 - 50 + 40 - 11</answer>",
        r"\boxed{40-11+83-50=62}",
        r"\boxed{62 = 40-11+83-50}",
        r"\boxed{40 − 11 + 83 − 50}",
        r"\boxed{\left(40-11\right)+83-50}",
        "83-50+40-11",
        "83-50+40-11 = 62",
        "<think>40*83?</think>\nThe final answer is $83-50+40-11$.",
    ],
)
def test_an_expression_is_read_as_people_write_it(response):
    assert outcome(response, [40, 83, 11, 50], 62) == "correct"


@pytest.mark.parametrize(
    ("answer", "verdict"),
    [
        ("8/(3-8/3)", "correct"),
        (r"\frac{8}{3-\frac{8}{3}}", "unparsed"),  # nested fractions of LaTeX are not read
        ("8/(3-8/4)", "incorrect"),
        ("8*3", "incorrect"),  # the others are left over
        ("8*3*(8/8)", "incorrect"),  # 8 three times
        ("88-3-3-8", "incorrect"),  # joined digits
        ("8+8+3+3=24", "incorrect"),  # a claim that is false
        ("8/(3-3)+8", "incorrect"),
        ("8**3-8-3", "unparsed"),
        ("24", "incorrect"),
        ("__import__('os').system('true')", "unparsed"),
        ("8!-3-3-8", "unparsed"),
        ("(8-3", "unparsed"),
        ("8 3 8 3", "unparsed"),
        ("٨/(3-8/3)", "unparsed"),
        ("+".join(["1"] * 3000), "unparsed"),
        ("(" * 500 + "8" + ")" * 500, "unparsed"),
        ("-" * 500 + "8", "unparsed"),
        ("1" * 40, "unparsed"),
        ("", "unparsed"),
    ],
)
def test_what_is_no_solution_is_not_correct(answer, verdict):
    assert judge(answer, [3, 3, 8, 8], 24).outcome.value == verdict


def test_a_problem_that_cannot_be_read_is_our_error():
    for spec in ({}, {"numbers": [1, 2]}, {"numbers": "12", "target": 3}, {"numbers": [1.5], "target": 2}):
        assert check(Candidate("x", r"\boxed{1+2}", spec=spec), {}).outcome == "error"


def test_a_response_that_was_cut_has_no_answer():
    assert outcome("so 83-50+40-11", [40, 83, 11, 50], 62, finish_reason="length") == "unparsed"


expressions = st.recursive(
    st.integers(0, 99).map(str),
    lambda inner: st.builds("({}{}{})".format, inner, st.sampled_from("+-*/"), inner),
    max_leaves=8,
)


@given(expressions)
def test_the_value_is_pythons_own_in_rationals(text):
    import re
    from fractions import Fraction

    value, used, claimed = valued(text)
    assert sorted(used) == sorted(map(int, re.findall(r"\d+", text)))
    assert claimed is None
    try:
        expected = eval(re.sub(r"(\d+)", r"Fraction(\1)", text), {"Fraction": Fraction})  # noqa: S307
    except ZeroDivisionError:
        expected = None
    assert value == expected


@given(st.text(max_size=60))
def test_no_text_is_an_exception(text):
    with suppress(Unreadable):
        valued(text)
    assert judge(text, [1, 2], 3).outcome.value in ("correct", "incorrect", "unparsed")


def rows(*parts: str):
    path = DATASETS.joinpath(*parts)
    if not path.exists():
        pytest.skip(f"no {parts[-1]} beside the repository")
    with gzip.open(path) as file:
        return [json.loads(line) for line in file]


def test_two_thousand_recorded_solutions_are_correct():
    found = Counter(
        outcome(r["response"], r["numbers"], r["target"]) for r in rows("countdown", "teacher_traces_2k.jsonl.gz")
    )
    assert found == {"correct": 2000}


def test_recorded_answers_to_the_game_of_24_are_judged_as_their_exact_labels():
    """One of 20,000 differs: its expression is 24, and it claims "= 48"."""
    samples = rows("game24", "gpt4_samples.jsonl.gz")
    differ = [r for r in samples if (outcome(r["output"], r["numbers"], 24) == "correct") != r["correct"]]
    assert [r["output"].rpartition("\n")[2] for r in differ] == ["Answer: (13 - 9) * (12 - 6) = 48"]


def test_the_verifier_is_reached_by_name():
    verifier = build_verifier("countdown")
    assert (verifier.name, verifier.version) == ("countdown", "1")
