import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracemill.verifiers.extract import extract


@pytest.mark.parametrize(
    ("response", "answer"),
    [
        (r"so \boxed{42}", "42"),
        (r"so \boxed{\frac{1}{2}} indeed", r"\frac{1}{2}"),
        (r"\fbox{7}", "7"),
        (r"\boxed 9", "9"),
        (r"\boxed{\boxed{42}}", "42"),
        (r"\boxed{\{1, 2\}}", r"\{1, 2\}"),
        ("Put it in \\boxed{}.\n\\boxed{15}", "15"),
        (r"\boxed{0.5} which is \boxed{\frac12}", r"\frac12"),
        (r"First \boxed{41}. Wait, recheck: \boxed{42}", "42"),
        (r"<think>\boxed{1}</think>\boxed{2}", "2"),
        ("reasoning without an opening tag \\boxed{1}</think>The answer is 3.", "3"),
        ("a\n#### 18", "18"),
        ("a\n#### 1,800", "1,800"),
        ("first line\nThe answer is 12.", "12"),
        ("first line\nThe answer is 12.5.", "12.5"),
        ("first line\n**Final Answer:** $\\frac{3}{4}$", r"$\frac{3}{4}$"),
        ("first line\nFinal Answer: The final answer is $7$. I hope it is correct.", "$7$"),
        ("first line\nFinal Answer: The volume of $ABC$ is 120.", "120"),
        ("work\nA: 18", "18"),
        ("work\nThe final answer is:\n\\[\n 9 \\]", "9"),
        ("<answer> 12 </answer>", "12"),
        ("so\n<answer>1 2\n3 4</answer>\n", "1 2\n3 4"),
        ("42", "42"),
        ("9 - 3 = 6", "6"),
        (" (2 + 3) * 4 = 1,020. ", "1,020"),
        ("48 - 81 = ?", "48 - 81 = ?"),
        ("x = 5", "x = 5"),
        ("The identity is $x$.", "$x$"),
        ("It is not $7$", "It is not $7$"),
    ],
)
def test_an_answer_is_found_where_the_response_commits_to_it(response, answer):
    assert extract(response).answer == answer


@pytest.mark.parametrize(
    ("response", "reason"),
    [
        (r"\boxed{7} or \boxed{8}", "several different boxes"),
        (r"The answer is \boxed{7}, that is \boxed{8}.", "several different boxes"),
        (r"\boxed{12", "cut off"),
        (r"\boxed{1} and then \boxed{12", "cut off"),
        (r"\boxed{}7", "empty"),
        (r"<think>so it is \boxed{42}", "does not end"),
        (r"<think>a</think> b <think>\boxed{42}", "does not end"),
        ("line\nThe answer is 7, or the answer is 8.", "several different"),
        ("<answer>1</answer> or <answer>2</answer>", "several different"),
        ("<answer>1", "cut off"),
        ("first line\nsecond line with 42 in it", "no answer"),
        ("x" * 201, "no answer"),
        ("", "empty"),
        (" \n ", "empty"),
    ],
)
def test_without_one_commitment_there_is_no_answer(response, reason):
    found = extract(response)
    assert found.answer is None
    assert reason in found.reason


@pytest.mark.parametrize("response", ["The answer is 12", "#### 12", "12", "so\nA: 12", "\\boxed{12"])
def test_a_cut_response_has_no_open_ended_answer(response):
    assert extract(response, finish_reason="length").answer is None


@pytest.mark.parametrize("response", [r"\boxed{12} and then I was cut", "<answer>12</answer> and then"])
def test_a_cut_response_keeps_what_it_had_closed(response):
    assert extract(response, finish_reason="length").answer == "12"


def test_the_last_number_is_taken_only_when_asked_for():
    text = "There are 3 boxes\nwith 4 apples each, 1,200 in all."
    assert extract(text).answer is None
    assert extract(text, last_number=True).answer == "1,200"


CHOICES = ("A) 21", "B) 21.5", "C) 22", "(D) none of these")


@pytest.mark.parametrize(
    ("response", "letter"),
    [
        (r"\boxed{B}", "B"),
        (r"\boxed{\text{B}}", "B"),
        (r"\boxed{(B)}", "B"),
        (r"\boxed{21.5}", "B"),
        ("so\nThe correct answer is (C) because it fits.", "C"),
        ("B. 21.5", "B"),
        ("so\nAnswer: D", "D"),
        ("none of these", "D"),
        (r"\boxed{E}", None),
        (r"\boxed{23}", None),
        ("B. 22", None),
    ],
)
def test_a_choice_is_named_by_letter_or_by_text_but_not_by_both_at_odds(response, letter):
    assert extract(response, choices=CHOICES).answer == letter


@given(st.text(alphabet="\\boxed{}fa<think>/answeri:#$ 0123456789\n.", max_size=300), st.booleans())
def test_any_text_gives_an_answer_or_a_reason(text, last_number):
    found = extract(text, last_number=last_number)
    assert found.answer is None or found.answer.strip()
    assert found.reason


@given(st.integers(-(10**12), 10**12), st.sampled_from([r"\boxed{%s}", "text\n#### %s", "a\nThe answer is %s.", "%s"]))
def test_an_integer_survives_every_place(number, place):
    assert extract(place % number).answer == str(number)


@pytest.mark.parametrize(
    "text",
    [
        "{" * 10**6,
        "\\boxed{" * 10**5,
        "\\boxed{" + "{" * 10**5 + "}" * 10**5 + "}",
        "\\boxed{1}" * 10**5,
        "\\boxed{" + "\\boxed{" * 10**5 + "}" * 10**5 + "}",
        "<think>" * 10**5,
        "</think>" * 10**5,
        "answer to " * 10**5,
        "answer is " * 10**5,
        "$" * 10**6,
        "#" * 10**6,
        "A:" * 10**5,
        "\u200b" * 10**6,
        " " * 10**6 + "answer is" + " " * 10**6,
        "<answer>" * 10**5,
        "<|x|> " * 10**5 + "(",
        "I hope it is correct. " * 10**5 + "(",
        "```python\n" * 10**5,
        "<|code|>" * 10**5,
        "Therefore, x is " * 10**5,
    ],
    ids=lambda text: repr(text[:12]),
)
def test_time_is_linear_in_the_length(text):
    def cost(sample):
        begun = time.process_time()
        extract(sample)
        return time.process_time() - begun

    # A quadratic path would take minutes for the whole text where a linear one takes a fraction of a second.
    assert cost(text) < 20 * cost(text[: len(text) // 4]) + 2.0
