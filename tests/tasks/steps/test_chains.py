"""Chains of equalities: what is worked out, and what is left alone."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracemill.tasks.steps.arithmetic import first_false_equation
from tracemill.tasks.steps.base import FirstError, Source, Steps
from tracemill.tasks.steps.chains import false_chain


def steps_of(*texts: str) -> Steps:
    spans, at = [], 0
    for text in texts:
        spans.append((at, at + len(text)))
        at += len(text)
    return Steps("t", "".join(texts), tuple(spans), "given")


def first(*texts: str) -> int | None:
    steps = steps_of(*texts)
    place = false_chain(steps.text)
    return None if place is None else steps.at(place)


@pytest.mark.parametrize(
    "text",
    [
        "P = ((2 + -5) * (4 - -1)) = (-3 * 5) = -16.",
        "So 12 * 3 + 4 = 36 + 4 = 41 pens.",
        r"Thus $\frac{3}{4} + \frac{1}{4} = \frac{5}{4} = \frac{10}{8}$.",
        r"We get $2 \cdot (3 + 4) = 2 \cdot 7 = \boxed{15}$.",
        "The sum is 5 + 5 = 3 * 3 = 9.",
    ],
)
def test_unequal_neighbours_are_found(text):
    assert first("Let us see.\n", text) == 1


@pytest.mark.parametrize(
    "text",
    [
        "P = ((2 + -5) * (4 - -1)) = (-3 * 5) = -15.",
        "- 4 + 3 = 7 = 14 / 2.",  # the mark of a list, not a sign
        "Step 1 - 3 + 4 = 7 = 7.",
        "x - 3 = 4 and so x = 7, if x = 7 = 8.",
        "10 / 3 = 3.33 = 3.3.",
        "2 * 30 = 60 minutes = 1 hour = 1.",
        "It is not true that 3 + 4 = 2 * 4 = 8.",
        "Is 3 + 4 = 2 * 4 = 8?",
        "4 x 3 / 2 = 6 = 6.",
        "17 = 2 = 2 (mod 5)",
        "100 / 60 = 1 = 1 with a remainder of 40.",
        "f(3) = 4 = 4, g(2) = 5 = 5.",
        "5 + x = 7 = y.",
        "-3^2 = 9 = 9.",
        "3 + 4 = 8 million = 8.",
    ],
)
def test_what_is_equal_or_not_read_whole_is_left_alone(text):
    assert first(text) is None


def test_names_are_worth_what_their_chain_came_to():
    told = ["A = 3 + 4 = 7 and B = 2 * 5 = 10.\n", "Then A * B = 7 * 10 = 70.\n"]
    assert first(*told) is None
    assert first(*told, "A * B - A = 70 - 10 = 60.\n") == 2
    assert first(told[0], "Now A = 8.\n", "A * B = 8 * 10 = 80.\n") is None
    assert first(told[0], "A + 1 = 9.\n") is None  # a condition, not a chain


def test_the_earliest_of_equations_and_chains_is_named():
    steps = steps_of("So 3 + 4 = 7 = 2 * 4 = 8.\n", "Then 3 + 4 = 8.\n")
    assert first_false_equation(steps) == FirstError(0, Source.ARITHMETIC)
    assert first_false_equation(steps_of("Fine.\n", "Then 3 + 4 = 8.\n")) == FirstError(1, Source.ARITHMETIC)


@given(st.lists(st.integers(-99, 99), min_size=2, max_size=5), st.integers(1, 5))
def test_a_sum_worked_out_step_by_step_holds_until_a_slip(numbers, slip):
    """However many numbers are added, the chain of its partial sums holds, and does not once a result is off."""
    sides, left = [], list(numbers)
    while len(left) > 1:
        sides.append("(" + " + ".join(f"({n})" for n in left) + ")")
        left = [left[0] + left[1], *left[2:]]
    assert first("S = " + " = ".join([*sides, str(left[0])])) is None
    if left[0] and left[0] + slip:
        wrong = left[0] + slip
        ratio = max(abs(wrong / left[0]), abs(left[0] / wrong))
        assert first("S = " + " = ".join([*sides, str(wrong)])) == (None if ratio in (7, 12, 24, 60, 100) else 0)


@pytest.mark.parametrize(
    "piece", ["1", "1 = ", "(1 + ", "a b ", "\\frac{", "12,", "3 + 4 = 7 = 7 ", "= ", "A = 3 = "], ids=repr
)
def test_reading_takes_time_in_proportion(piece):
    text = piece * 20_000
    started = time.process_time()
    false_chain(text + "= 3 = 4")
    assert time.process_time() - started < 2
