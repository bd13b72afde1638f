from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracemill.verifiers.answer import Options, compare
from tracemill.verifiers.equivalence import normal_form
from tracemill.verifiers.normal import LONGEST


@pytest.mark.parametrize(
    "texts",
    [
        ["1000", "1,000", "1{,}000", "1 000", "1000.0", "1e3", r"1 \times 10^3", "$1000$", r"\$1000", "x = 1000", "= 1000", "**1000**", "1000.", r"1,\!000", "1 thousand"],
        ["1/2", r"\frac{1}{2}", r"\dfrac12", r"\tfrac{1}{2}", "0.5", ".5", "½", "50%", r"50\%", "50 percent", r"$\frac{1}{2}$"],
        ["7/3", "2 1/3", r"2\frac{1}{3}", r"\frac{7}{3}"],
        ["-5", "−5", "- 5", "–5", r"$-5$", "-5.0"],
        ["48", r"48\text{ clips}", "48 clips", "48{clips}", r"\$48", "48 dollars", r"\text{Total} = \$48"],
        ["180 cm", "1.8 m", r"1.8\text{ meters}", r"180 \, \mathrm{cm}"],
        ["yes", "Yes", "YES", r"\text{Yes}"],
        [r"\sqrt{2}", r"$\sqrt{2}$", r"\sqrt {2}", r"x = \sqrt{2}"],
        ["B", r"\text{B}", r"\mathrm{B}", "B."],
    ],
)  # fmt: skip
def test_ways_to_write_one_value_share_a_key(texts):
    assert len({normal_form(text) for text in texts}) == 1, {text: normal_form(text) for text in texts}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("18 cm", "18 m"),
        ("3:5", "5:3"),
        ("12:30", "12.5"),
        ("a_{10}", "a_1 0"),
        ("x1 2", "x12"),
        ("7", "not 7"),
        ("7", "7 or 8"),
        ("5", "5!"),
        ("5", "5 less than x"),
        ("5", "5x"),
        ("32349", "32, 349"),
        ("10", "10_2"),
        ("5 am", "5 pm"),
        ("1/2", "1/2 + x"),
        ("B", "8"),
        ("even", "odd"),
        ("Β", "B"),  # a Greek capital that looks like the Latin one
        ("15", "15 percent"),
        ("3", "3 halves"),
        ("1.5", "15"),
    ],
)
def test_different_values_have_different_keys(one, other):
    assert normal_form(one) != normal_form(other)


@pytest.mark.parametrize("text", ["", " ", "nan", "...", "$$", "1" * (LONGEST + 1), "?!"])
def test_what_says_nothing_has_no_key(text):
    assert normal_form(text) is None


integers = st.integers(-(10**15), 10**15)


def written(value: int) -> st.SearchStrategy[str]:
    return st.sampled_from(
        [str(value), f"{value:,}", f"{value:,}".replace(",", "{,}"), f"${value}$", f"{value}.0", f"{value}.", f" {value} ",
         f"\\text{{{value}}}", f"{value}\\text{{ apples}}", f"\\({value}\\)", f"\\left {value}\\right.", f"x={value}",
         f"\\frac{{{value * 3}}}{{3}}", f"{value}/1"]
    )  # fmt: skip


@given(st.data(), integers)
def test_formatting_does_not_change_a_number(data, value):
    one, other = data.draw(written(value)), data.draw(written(value))
    assert normal_form(one) == normal_form(other) == f"n:{value}"
    assert compare(one, other, Options(symbolic=False)).outcome == "correct"


@given(st.data(), integers, integers)
def test_different_integers_are_never_equal(data, one, other):
    if one == other:
        other += 1
    a, b = data.draw(written(one)), data.draw(written(other))
    assert normal_form(a) != normal_form(b)
    assert compare(a, b, Options(symbolic=False)).outcome == "incorrect"


@given(st.fractions(max_denominator=10**6), st.fractions(max_denominator=10**6))
def test_fractions_are_equal_exactly_when_their_values_are(one, other):
    def text(value: Fraction) -> str:
        sign = "-" if value < 0 else ""
        return f"{sign}\\frac{{{abs(value.numerator)}}}{{{value.denominator}}}"

    assert (normal_form(text(one)) == normal_form(text(other))) == (one == other)


@given(st.text(max_size=60))
def test_any_text_is_read_without_failing(text):
    key = normal_form(text)
    assert key is None or key == normal_form(f" {text} ")


@given(st.text(alphabet="0123456789,./%$\\{} xcm-+=", min_size=1, max_size=12), st.text(alphabet="0123456789,./%$\\{} xcm-+=", min_size=1, max_size=12))  # fmt: skip
def test_one_key_means_equal_for_the_fast_path(one, other):
    if normal_form(one) is not None and normal_form(one) == normal_form(other):
        assert compare(one, other, Options(symbolic=False)).outcome == "correct"
