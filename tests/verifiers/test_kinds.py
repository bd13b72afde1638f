import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracemill.verifiers.kinds import KINDS, answer_kind


@pytest.mark.parametrize(
    ("kind", "answers"),
    [
        ("integer", ["18", "-5", "1,000", "18 cm", "twenty-one", "$5"]),
        ("decimal", ["0.5", "3.14"]),
        ("fraction", ["1/2", r"\frac{10}{9}", r"2\frac13"]),
        ("percent", ["10%", r"12.5\%"]),
        ("choice", ["B", "(C)"]),
        ("expression", [r"4\sqrt{2}", "x^2+1", "y = 2x+3", r"\int_0^1 x"]),
        ("equation", ["x+y=5"]),
        ("set", [r"\{1, 2\}"]),
        ("list", ["1, 2", "x = 1, y = 2"]),
        ("tuple", ["(1, 2)"]),
        ("interval", ["[0, 1)", "x < 3", r"(-\infty, 2]"]),
        ("matrix", [r"\begin{pmatrix}1&2\\3&4\end{pmatrix}"]),
        ("text", ["Evelyn", "even", "the red one, not the blue", "?"]),
    ],
)
def test_the_type_of_an_answer(kind, answers):
    assert {answer: answer_kind(answer) for answer in answers} == dict.fromkeys(answers, kind)


def test_a_problem_with_choices_has_a_choice_for_an_answer():
    assert answer_kind("22", choice=True) == "choice"


@given(st.text(max_size=60))
def test_every_text_has_a_type(text):
    assert answer_kind(text) in KINDS
