import pytest

from tracemill.verifiers.normal import tidy
from tracemill.verifiers.relation import region, same_equation, same_inequality, same_region, sides

ONE_REGION = [
    (r"(-\infty,3)", "x<3", r"\{x \mid x < 3\}", "3 > x"),
    ("-1<x<1", r"x \in (-1,1)", "|x|<1", "x > -1 and x < 1", "{x|-1<x<1}"),
    (r"x>3 or x<1", r"(-\infty,1)\cup(3,\infty)", "|x-2|>1"),
    (r"x\ne 3", r"\mathbb{R}\setminus\{3\}", r"(-\infty,3)\cup(3,\infty)"),
    (r"\frac12 < x \le \sqrt 2", r"(0.5,\sqrt2]"),
    ("all real numbers", r"(-\infty,\infty)", "ℝ"),
]


@pytest.mark.parametrize("texts", ONE_REGION)
def test_one_region_in_many_notations(texts):
    first, *others = (region(tidy(text)) for text in texts)
    assert first is not None
    assert [same_region(first, other) for other in others] == [True] * len(others)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("x<3", r"x\le3"),
        ("x<3", "y<3"),
        ("x<3", "x>3"),
        (r"[2,\infty)", "x>2"),
        ("1<x<2", "1<x<3"),
        (r"x\ne3", r"x\ne4"),
    ],
)
def test_another_bound_direction_or_name_is_another_region(one, other):
    assert same_region(region(tidy(one)), region(tidy(other))) is False


def test_a_pair_in_round_brackets_may_be_a_point():
    assert not region("(1, 2)").certain
    assert region("(1, 2]").certain


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ("y=2x+3", "2x-y+3=0", True),
        ("xy=1", "y=1/x", True),
        ("34x+45y-20z+100=0", "-34x-45y+20z-100=0", True),
        (r"y=\sqrt{2}x", r"\sqrt2 y=2x", True),
        ("3x-y+13=0", "3x+4y+14=0", False),
        ("y=x+1", "y=x+2", False),
        ("y=2x", "y=2z", False),
        ("x^2+y^2=4", "x^2+y^2=5", None),
    ],
)
def test_equations_are_the_same_if_the_same_values_satisfy_them(one, other, expected):
    assert same_equation(sides(one), sides(other)) is expected


def test_an_inequality_may_be_scaled_but_not_by_a_negative_number():
    assert same_inequality("2x+3y<6", "12>6y+4x") is True
    assert same_inequality("2x+3y<6", "6<3y+2x") is False
    assert same_inequality("2x+3y<6", r"2x+3y\le 6") is False
