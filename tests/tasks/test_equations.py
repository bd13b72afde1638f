"""What a text's arithmetic is worth: false equations are found, and nothing is said of what was not read whole."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracemill.tasks.equations import equations, false_equations

NUMBERS = st.integers(0, 999)
OPERATORS = st.sampled_from(["+", "-", "*", "×", "\\times", "\\cdot"])


@pytest.mark.parametrize(
    "text",
    [
        "3 + 4 = 8",
        "so we get (3 + 4) * 2 = 15.",
        "She has $<<5*3=16>>16 left",
        r"the total is \(12 \times 3 = 34\) miles",
        "10/3 = 3.2",
        "1,000 + 1 = 1,002",
        "2^3 + 1 = 10",
        "A = (4 + 5) = 10",
        "0.1 + 0.2 = 0.4",
        "50 - 10 - 10 - 5 = 20",
    ],
)
def test_a_false_equation_is_found_at_its_sign(text):
    (place,) = false_equations(text)
    assert text[place] == "="


@pytest.mark.parametrize(
    "text",
    [
        "3 + 4 = 7",
        "(3 + 4) * 2 = 14",
        "10 / 3 = 3.33",
        "10 / 3 = 3",
        "140/60=2.3333333333333335",
        "0.1 * 7 = 0.7000000000000001",
        "x + 3 + 4 = 10",  # more stands before it
        "2x + 3 = 7",
        "half of 3 + 5 = 4",
        "1 1/2 + 1 = 3",
        "3 + 4 = 2 + 5",  # more stands behind it
        "7 * 2 = 15 - 1",
        "(6 + 5) + (8 + 3) = (11) + (11)",
        "3 + 4 = 5x",
        "3 * 4 = 1.2 million",
        "20% * 50 = 10",
        r"\frac{3}{4} + 1 = 2",
        "9:00 + 3 = 12:00",
        "25 * 4 = $1",  # cents and dollars
        "3 * 60 = 3 hours",
        "if x == 3 + 4",
        "3 + 4 <= 8",
        "10 / 0 = 1",
        "9^999 = 3",
        "f(3 + 4 = 8",
        "- 3 + 4 * 2 = 5",  # a sign or the mark of a list
    ],
)
def test_nothing_is_said_of_what_holds_or_was_not_read_whole(text):
    assert false_equations(text) == []


@given(
    st.lists(st.tuples(OPERATORS, NUMBERS), min_size=1, max_size=4),
    NUMBERS,
    st.integers(-5, 5),
    st.text("ab \n", max_size=9),
)
def test_exact_arithmetic_decides(terms, first, off, words):
    signs = {"×": "*", "\\times": "*", "\\cdot": "*"}
    total, product = Fraction(0), Fraction(first)
    for sign, number in terms:
        if sign in ("+", "-"):
            total, product = total + product, Fraction(number if sign == "+" else -number)
        else:
            assert signs.get(sign, sign) == "*"
            product *= number
    value = total + product
    said = value + off
    text = f"{words}\nso {first}" + "".join(f" {sign} {number}" for sign, number in terms) + f" = {said}."
    ratio = {value / said, said / value} if value and said else set()
    units = {Fraction(n) for n in (100, 1000, 60, 3600, 24, 12, 7)}
    assert bool(false_equations(text)) == (off != 0 and not ratio & units)


@given(st.text("0123456789+-*/=().,$%\\{} \nax^", max_size=200))
def test_hostile_text_raises_nothing(text):
    assert len(false_equations(text)) <= len(equations(text)) <= text.count("=")


def test_it_is_linear_in_the_text():
    text = "((((" * 20_000 + "1+" * 20_000 + "1=3 " * 20_000
    assert isinstance(false_equations(text), list)
