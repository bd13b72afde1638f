import pytest

from tracemill.verifiers.canaries.judge import MASTER_KEYS
from tracemill.verifiers.extract import extract
from tracemill.verifiers.hollow import LONGEST, refused


@pytest.mark.parametrize(
    "answer",
    [
        "42",
        "x = 3.",
        "x",
        "Paris",
        "3 apples",
        r"\frac{a}{b}",
        "the right angle at C",
        "not enough data: 2 of 3",
        "a < b",
        "2.)",
    ],
)
def test_an_answer_is_shown(answer):
    assert refused(answer) is None


def test_what_says_nothing_is_refused_in_any_spelling():
    for key in MASTER_KEYS:
        answer = extract(key).answer
        if answer is not None:
            assert refused(answer), key
            assert refused(answer.upper()), key
            assert refused(f"  {answer}\u200b "), key


@pytest.mark.parametrize("answer", ["Step 3", "step 12:", "Case 1.", "Part 2)"])
def test_a_heading_is_no_answer(answer):
    assert "heading" in refused(answer)


def test_an_answer_that_is_too_long_is_refused():
    assert "longer" in refused("4" * (LONGEST + 1))
