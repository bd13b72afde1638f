from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracemill.verifiers.cardinals import read_cardinal

ONES = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
]
TENS = ["", "", *["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]]


def spell(n):
    if n < 20:
        return ONES[n]
    if n < 100:
        return TENS[n // 10] + (f"-{ONES[n % 10]}" if n % 10 else "")
    if n < 1000:
        return f"{ONES[n // 100]} hundred" + (f" and {spell(n % 100)}" if n % 100 else "")
    for name, size in (("million", 10**6), ("thousand", 1000)):
        if n >= size:
            return f"{spell(n // size)} {name}" + (f" {spell(n % size)}" if n % size else "")
    raise AssertionError


@given(st.integers(0, 999_999_999))
def test_a_spelled_number_is_read_back(n):
    assert read_cardinal(spell(n)) == n
    assert read_cardinal("minus " + spell(n)) == -n


@pytest.mark.parametrize(
    "text",
    [
        "seven eight",
        "hundred",
        "twenty eleven",
        "two thousand million",
        "one and",
        "and one",
        "seven cats",
        "thousand",
        "one hundred hundred",
        "third",
    ],
)
def test_words_that_are_no_number_are_not_read(text):
    assert read_cardinal(text) is None


def test_simple_fractions_are_read():
    assert read_cardinal("two-thirds") == Fraction(2, 3)
    assert read_cardinal("one half") == Fraction(1, 2)
