"""Steps partition the text, whatever it is, and no step ends inside a fence or display maths (algorithms §1.2, rule 5)."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracemill.schemas.errors import UsageError
from tracemill.tasks.segment import segment, split_reasoning

MODES = ("auto", "paragraph", "line", "whole")
PIECES = st.sampled_from(
    ["\n", "\n\n", " ", "\r\n", "```", "~~~", "````", "$$", "\\[", "\\]", "\\", "é", "𝛼", "word", "```py\n", "\n```\n"]
)
TEXTS = st.one_of(st.text(), st.lists(PIECES, max_size=40).map("".join))


def steps(text: str, mode: str = "auto") -> list[str]:
    return [text[start:end] for start, end in segment(text, mode)[0]]


@given(TEXTS, st.sampled_from(MODES))
def test_spans_partition_any_text(text: str, mode: str) -> None:
    spans, _ = segment(text, mode)
    assert "".join(text[start:end] for start, end in spans) == text
    assert [start for start, _ in spans] == [0, *(end for _, end in spans)][: len(spans)]
    assert all(start < end for start, end in spans)


@given(TEXTS, TEXTS, st.sampled_from(MODES))
def test_no_step_ends_inside_a_closed_fence(before: str, inside: str, mode: str) -> None:
    fence = "`" * 80  # longer than any run in the text, so that only its own end closes it
    block = f"{fence}\n{inside}\n{fence}"
    text = f"{before.replace('```', '').replace('~~~', '')}\n\n{block}\n\nafter"
    start = text.index(block)
    ends = {end for _, end in segment(text, mode)[0]}
    assert not ends & set(range(start + 1, start + len(block)))


@given(st.text(alphabet="ab\n ", max_size=60), st.sampled_from([("$$", "$$"), ("\\[", "\\]")]))
def test_no_step_ends_inside_display_maths(inside: str, marks: tuple[str, str]) -> None:
    block = f"{marks[0]}{inside}{marks[1]}"
    text = f"before\n\n{block}\n\nafter"
    start = text.index(block)
    assert not {end for _, end in segment(text)[0]} & set(range(start + 1, start + len(block)))


@pytest.mark.parametrize(
    ("text", "expected", "name"),
    [
        ("one\n\ntwo\n\nthree", ["one\n\n", "two\n\n", "three"], "paragraph"),
        ("one\n\n\n\ntwo", ["one\n\n\n\n", "two"], "paragraph"),
        ("one\ntwo", ["one\n", "two"], "line"),
        ("one\r\n\r\ntwo", ["one\r\n\r\n", "two"], "paragraph"),
        ("one", ["one"], "whole"),
        ("\n\none\n\n", ["\n\none\n\n"], "whole"),
        ("", [], "whole"),
        ("a\n\n```py\nx\n\ny\n```\n\nb", ["a\n\n", "```py\nx\n\ny\n```\n\n", "b"], "paragraph"),
        ("a\n\n```py\nx\n\ny", ["a\n\n", "```py\nx\n\ny"], "paragraph"),
        ("a\n\n```x``` b\n\nc", ["a\n\n", "```x``` b\n\n", "c"], "paragraph"),
        ("a $$1\n\n2\n\nb", ["a $$1\n\n", "2\n\n", "b"], "paragraph"),
        ("x \\\\[2pt]\n\ny \\]", ["x \\\\[2pt]\n\n", "y \\]"], "paragraph"),
        ("cost $$\n\n```\na $$\n\nb\n```\nend", ["cost $$\n\n", "```\na $$\n\nb\n```\nend"], "paragraph"),
    ],
)
def test_steps_end_with_their_separator(text: str, expected: list[str], name: str) -> None:
    assert steps(text) == expected
    assert segment(text)[1] == name


def test_a_mode_that_is_asked_for_is_used_whatever_it_gives() -> None:
    assert segment("one\ntwo", "paragraph") == ([(0, 7)], "paragraph")
    assert steps("one\n\ntwo\nthree", "line") == ["one\n\n", "two\n", "three"]
    assert segment("one\n\ntwo", "whole") == ([(0, 8)], "whole")


def test_an_unknown_mode_names_the_known_ones() -> None:
    with pytest.raises(UsageError, match="auto, paragraph, line, whole"):
        segment("x", "sentence")


@pytest.mark.parametrize(
    "unit",
    ["a line\n", "a step\n\n", "```\nx\n```\n", "$$ x $$\n", "\\[ ", "$$\n```\n", "\n \t", "`" * 7 + " ", "~~~~ "],
)
def test_time_grows_with_the_length_alone(unit: str) -> None:
    def cpu(size: int) -> float:
        text = unit * (size // len(unit))
        best = float("inf")
        for _ in range(3):
            start = time.process_time()
            segment(text)
            best = min(best, time.process_time() - start)
        return best

    assert cpu(1 << 18) < 16 * cpu(1 << 15) + 0.02  # eight times the length; a quadratic would take 64


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("no tags", (None, "no tags", True)),
        ("<think>why</think>so", ("why", "so", True)),
        ("prefilled why</think>so", ("prefilled why", "so", True)),
        ("<think>why", ("why", "", False)),
        ("<think>a</think>b<think>c</think>d", ("a\n\nc", "bd", True)),
        ("<think>a</think>b<think>c", ("a\n\nc", "b", False)),
        ("<think>a <think> b</think>c", ("a <think> b", "c", True)),
        ("<think>a</think>b </think> c", ("a", "b </think> c", True)),
    ],
)
def test_reasoning_is_what_stands_in_think_blocks(text: str, expected: tuple[str | None, str, bool]) -> None:
    assert split_reasoning(text) == expected


@given(st.lists(st.sampled_from(["<think>", "</think>", "a", "\n", "think>"]), max_size=12).map("".join))
def test_an_unterminated_block_leaves_no_answer_after_it(text: str) -> None:
    reasoning, rest, terminated = split_reasoning(text)
    assert (reasoning is None) == ("<think>" not in text and "</think>" not in text)
    if not terminated:
        assert "<think>" in text
        assert "<think>" not in rest
