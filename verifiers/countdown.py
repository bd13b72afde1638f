r"""Countdown and the Game of 24: does the expression use exactly the given numbers and give the target? The ``countdown`` verifier.

``spec`` is ``{"numbers": [...], "target": n}``. What must stay true: the expression is read by a parser of our own and valued in
exact rationals, never evaluated; the literals must be the given numbers as a multiset, no more, no fewer; only ``+ - * /``
and brackets. ``= value`` on one side is allowed and must be true.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any, Final

from tracemill.schemas.enums import Outcome
from tracemill.schemas.errors import refuse_unknown
from tracemill.verifiers.base import Candidate, Judgement, Verifier
from tracemill.verifiers.extract import extract

VERSION: Final = "1"
#: Longest expression, in characters; deepest nesting of brackets and signs; longest literal, in digits.
LONGEST: Final = 2000
DEEPEST: Final = 64
DIGITS: Final = 18

_TOKEN: Final = re.compile(r"\s*(?:(?P<number>[0-9]+)|(?P<sign>[-+*/()]))", re.ASCII)
_SIGNS: Final = {
    "−": "-", "–": "-", "×": "*", "·": "*", "⋅": "*", "∗": "*", "÷": "/", "∕": "/", "[": "(", "]": ")", "{": "(", "}": ")",
}  # fmt: skip
_LATEX: Final = (
    (re.compile(r"\\(?:left|right)(?=[()\[\]])"), ""),
    (re.compile(r"\\(?:times|cdot|ast)(?![A-Za-z])"), "*"),
    (re.compile(r"\\div(?![A-Za-z])"), "/"),
    (re.compile(r"\\[dt]?frac\s*\{([^{}]*)\}\s*\{([^{}]*)\}"), r"((\1)/(\2))"),
    (re.compile(r"\\[,;:! ]|\\(?=[()\[\]])|\$"), " "),
)  # fmt: skip


_PLAIN: Final = re.compile(r"\s*-?\s*[0-9]+(?:\s*/\s*[0-9]+)?\s*", re.ASCII)


class Unreadable(ValueError):
    """Not an expression of numbers, ``+ - * /`` and brackets."""


def check(candidate: Candidate, config: Mapping[str, Any]) -> Judgement:
    """Extract the expression, value it exactly, and compare the numbers used and the value."""
    problem = problem_of(candidate.spec)
    if isinstance(problem, str):
        return Judgement(Outcome.ERROR, problem)
    numbers, target = problem
    found = extract(candidate.response, candidate.finish_reason)
    if found.answer is None:
        return Judgement(Outcome.UNPARSED, found.reason)
    answer = found.answer
    if found.how == "line" and "=" in candidate.response:
        answer = candidate.response.rpartition("</think>")[2].strip()  # the whole equation, not its right-hand side
    return judge(answer, numbers, target)


def judge(answer: str, numbers: Sequence[int], target: int) -> Judgement:
    """The verdict on an expression as written."""
    try:
        value, used, claimed = valued(answer)
    except Unreadable as error:
        return Judgement(Outcome.UNPARSED, str(error), answer=answer[:LONGEST])
    evidence = {"value": None if value is None else str(value), "used": sorted(used)}
    if Counter(used) != Counter(numbers):
        return Judgement(Outcome.INCORRECT, "not exactly the given numbers", answer=answer, evidence=evidence)
    if value is None:
        return Judgement(Outcome.INCORRECT, "divides by zero", answer=answer, evidence=evidence)
    if claimed is not None and claimed != value:
        return Judgement(Outcome.INCORRECT, f"says {claimed} and is {value}", answer=answer, evidence=evidence)
    if value != target:
        return Judgement(Outcome.INCORRECT, f"the value is {value}, not {target}", answer=answer, evidence=evidence)
    return Judgement(Outcome.CORRECT, "exactly the given numbers give the target", score=1.0, answer=answer)


def problem_of(spec: Mapping[str, Any]) -> tuple[list[int], int] | str:
    """The numbers and the target of ``spec``, or what is wrong with it."""
    numbers, target = spec.get("numbers"), spec.get("target")
    if not isinstance(numbers, Sequence) or isinstance(numbers, str) or not numbers:
        return "the problem's spec has no list 'numbers'"
    if not all(isinstance(n, int) and not isinstance(n, bool) and n >= 0 for n in numbers):
        return "the problem's numbers are not whole numbers"
    if isinstance(target, bool) or not isinstance(target, int):
        return "the problem's spec has no whole number 'target'"
    return list(numbers), target


def valued(text: str) -> tuple[Fraction | None, list[int], Fraction | None]:
    """(value, literals used, value claimed) of an expression, or of an equation with a plain number on one side.

    The value is None where it divides by zero, the claim where there is none. Raises ``Unreadable`` for anything else.
    """
    if len(text) > LONGEST:
        raise Unreadable(f"the expression is longer than {LONGEST} characters")
    for pattern, by in _LATEX:
        text = pattern.sub(by, text)
    text = "".join(_SIGNS.get(c, c) for c in text).strip().strip("`*").strip().rstrip(".")
    left, equals, right = text.partition("=")
    if not equals:
        return *_Parser(left).whole(), None
    said, claim = (left, right) if _PLAIN.fullmatch(right) else (right, left)
    if not _PLAIN.fullmatch(claim):
        raise Unreadable("not an equation with a plain number on one side")
    return *_Parser(said).whole(), _Parser(claim).whole()[0]


class _Parser:
    """Recursive descent over ``+ - * /``, unary signs and brackets; no recursion deeper than ``DEEPEST``."""

    def __init__(self, text: str) -> None:
        self.tokens: list[str] = []
        at = 0
        text = text.rstrip()
        while at < len(text):
            match = _TOKEN.match(text, at)
            if match is None:
                raise Unreadable(f"not an expression: {text[at : at + 20]!r}")
            self.tokens.append(match["number"] or match["sign"])
            at = match.end()
        self.at = 0
        self.depth = 0
        self.used: list[int] = []

    def whole(self) -> tuple[Fraction | None, list[int]]:
        if not self.tokens:
            raise Unreadable("no expression")
        value = self.sum()
        if self.at < len(self.tokens):
            raise Unreadable(f"out of place: {self.tokens[self.at]!r}")
        return value, self.used

    def sum(self) -> Fraction | None:
        value = self.product()
        while (sign := self._next("+-")) is not None:
            other = self.product()
            value = None if value is None or other is None else value + (other if sign == "+" else -other)
        return value

    def product(self) -> Fraction | None:
        value = self.signed()
        while (sign := self._next("*/")) is not None:
            other = self.signed()
            if value is None or other is None or (sign == "/" and other == 0):
                value = None
            else:
                value = value * other if sign == "*" else value / other
        return value

    def signed(self) -> Fraction | None:
        self.depth += 1
        if self.depth > DEEPEST:
            raise Unreadable("nested too deeply")
        try:
            if (sign := self._next("+-")) is not None:
                value = self.signed()
                return value if value is None or sign == "+" else -value
            if self._next("(") is not None:
                value = self.sum()
                if self._next(")") is None:
                    raise Unreadable("a bracket is not closed")
                return value
            if self.at >= len(self.tokens) or not self.tokens[self.at].isdigit():
                raise Unreadable("a number is missing")
            token = self.tokens[self.at]
            if len(token) > DIGITS:
                raise Unreadable("a number is too long")
            self.at += 1
            self.used.append(int(token))
            return Fraction(int(token))
        finally:
            self.depth -= 1

    def _next(self, among: str) -> str | None:
        if self.at < len(self.tokens) and self.tokens[self.at] in among:
            self.at += 1
            return self.tokens[self.at - 1]
        return None


def verifier(options: Mapping[str, Any] | None = None) -> Verifier:
    """The ``countdown`` verifier; it has no options."""
    refuse_unknown(options or (), (), "the countdown verifier")
    return Verifier("countdown", VERSION, check)
