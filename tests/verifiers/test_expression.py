import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracemill.verifiers.expression import names, read
from tracemill.verifiers.normal import tidy
from tracemill.verifiers.value import fingerprint, same

EQUAL = [
    (r"\sqrt{32}", r"4\sqrt2"),
    ("(x+1)^2", "x^2+2x+1"),
    (r"\sin^2 x", r"1-\cos^2 x"),
    ("e^{16}-1", "-1+exp(16)"),
    (r"\log_2 8", "3"),
    ("14-i", "14.0 + -1.0i"),
    (r"90^\circ", r"\frac{\pi}{2}"),
    ("√2", r"\sqrt{2}"),
    ("x²", "x^2"),
    (r"\sqrt{x^2}", "|x|"),
    (r"\frac{x^2-1}{x-1}", "x+1"),
    (r"\sqrt[3]{-8}", "-2"),
    (r"\cos 20^\circ\cos 40^\circ\cos 80^\circ", r"\frac18"),
    (r"\sqrt{2+\sqrt3}", r"\frac{\sqrt6+\sqrt2}{2}"),
    ("0.1+0.2", "0.3"),
    (r"\binom{5}{2}", "10"),
    ("9/2 * π", r"\frac{9\pi}{2}"),
    (r"\arctan 1", r"\pi/4"),
    (r"2\frac13", r"\frac73"),
]
DIFFERENT = [
    ("(x+1)^2", "x^2+1"),
    (r"10^{300}", r"10^{300}+\sqrt2"),
    (r"\sqrt2+10^{-100}", r"\sqrt2"),
    (r"\frac{1}{2004!}", r"\frac{1}{2006!}"),
    (r"1-\frac1e", r"1+\frac1e"),
    (r"\sqrt{x^2}", "x"),
    ("x_1", "x_2"),
    ("3x", "3y"),
    ("n!", "n"),
]
UNREAD = [
    "1/2x",
    "x 2",
    "1 0",
    "f(x)",
    "7 or 8",
    "a_1 0",
    "x^",
    "(1",
    "2,3",
    "even",
    r"\int x",
    r"\frac{1}",
    "",
    "x = 1",
    "1..2",
    "2^3^4",
]


@pytest.mark.parametrize(("one", "other"), EQUAL)
def test_equal_expressions_have_one_value(one, other):
    assert same(read(tidy(one)), read(tidy(other))) is True


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
def test_a_difference_is_found_however_small(one, other):
    assert same(read(tidy(one)), read(tidy(other))) in (False, None)
    assert same(read(tidy(one)), read(tidy(other))) is not True


@pytest.mark.parametrize("text", UNREAD)
def test_what_is_not_understood_as_a_whole_is_not_read(text):
    assert read(tidy(text)) is None


@pytest.mark.parametrize(
    "text",
    [
        "9^{9^{9}}",
        "(9^9)^{(9^9)}",
        "99999!",
        r"\binom{10^9}{10^8}",
        "10^{10^{10}}",
        "e^{e^{100}}",
        "1/0",
        "0^0",
        r"\ln 0",
    ],
)
def test_what_cannot_be_computed_is_undecided(text):
    tree = read(tidy(text))
    assert tree is None or same(tree, read("1")) is None


def test_nesting_has_an_end():
    assert read("(" * 500 + "1" + ")" * 500) is None
    assert read("a " * 499) is None
    assert read(r"\sqrt{" * 200 + "2" + "}" * 200) is None


def test_variables_are_named_with_their_index():
    assert names(read(r"x_{12} + \alpha y + \pi e")) == {"x_12", r"\alpha", "y"}


@given(st.lists(st.integers(-9, 9), min_size=1, max_size=5), st.lists(st.integers(-9, 9), min_size=1, max_size=5))
def test_two_polynomials_are_equal_exactly_if_their_coefficients_are(one, other):
    def text(coefficients):
        return "+".join(f"({c})x^{{{power}}}" for power, c in enumerate(coefficients))

    def plain(coefficients):
        return tuple(coefficients[: max((i + 1 for i, c in enumerate(coefficients) if c), default=0)])

    assert same(read(text(one)), read(text(other))) is (plain(one) == plain(other))


@given(st.integers(2, 400), st.integers(2, 60), st.integers(2, 400), st.integers(2, 60))
def test_two_radicals_are_equal_exactly_if_their_squares_are(a, m, b, n):
    assert same(read(rf"{a}\sqrt{{{m}}}"), read(rf"{b}\sqrt{{{n}}}")) is (a * a * m == b * b * n)


@given(st.integers(1, 50), st.integers(2, 50), st.integers(40, 300))
def test_a_tiny_term_is_never_lost(a, n, power):
    one, other = read(rf"{a}+\sqrt{{{n}}}"), read(rf"{a}+\sqrt{{{n}}}+10^{{-{power}}}")
    assert same(one, other) is False
    assert fingerprint(one, {}) != fingerprint(other, {}) or fingerprint(other, {}) is None
