"""Programs in the steps of a solution: which block fails first, and what is left alone."""

from __future__ import annotations

import pytest

from tracemill.schemas.enums import Outcome
from tracemill.tasks.segment import segment
from tracemill.tasks.steps.base import FirstError, Source, Steps
from tracemill.tasks.steps.execution import first_failing_step
from tracemill.verifiers.base import Candidate, Judgement
from tracemill.verifiers.code.steps import blocks, check, execution


def told(*parts: str) -> str:
    return "\n\n".join(parts)


def block(program: str, printed: str | None = None) -> str:
    said = "" if printed is None else f"\n```output\n{printed}\n```"
    return f"```python\n{program}\n```{said}"


def judged(text: str) -> Judgement:
    return check(Candidate("t", text, None), execution().config)


def found(text: str) -> FirstError | None:
    spans, segmenter = segment(text)
    return first_failing_step(Steps("t", text, tuple(spans), segmenter), judged(text))


def test_the_first_block_that_fails_is_the_error():
    text = told("Let us count.", block("a = 3\nprint(a)"), "Then", block("print(a + b)"), block("1 / 0"))
    assert found(text) == FirstError(3, Source.EXECUTION)
    assert "NameError" in judged(text).reason


def test_a_block_goes_on_from_those_before_it():
    assert judged(told(block("a = 3"), block("print(a + 1)", "4"))).outcome is Outcome.CORRECT


def test_what_is_said_to_be_printed_must_be_printed():
    text = told("Let us count.", block("print(3 * 4)", "12"), block("print(12 + 5)", "18"), "So 18.")
    assert found(text) == FirstError(2, Source.EXECUTION)
    assert found(told("First.", block("print(1 / 3)", "0.33333333"), "So.")) is None


def test_a_program_that_does_not_compile_is_an_error():
    assert found(told("First.", block("print(3 +"), "So.")) == FirstError(1, Source.EXECUTION)


@pytest.mark.parametrize(
    "program",
    [
        "import no_such_package",
        "input()",
        "x = bytearray(10**10)",
        "while True: pass",
    ],
)
def test_what_the_sandbox_does_not_give_is_no_error(program):
    assert judged(told(block(program), block("1 / 0"))).outcome is Outcome.UNPARSED


def test_a_failure_that_the_trace_shows_itself_is_found_where_it_is():
    text = told("First.", block("print(b)", "NameError: name 'b' is not defined"), block("b = 1\nprint(b)", "1"))
    assert found(text) == FirstError(1, Source.EXECUTION)


def test_other_fences_are_not_run():
    text = told("```\nnot python\n```", "```json\n{}\n```", "```python\nnever closed")
    assert blocks(text) == []
    assert judged(text).outcome is Outcome.UNPARSED
