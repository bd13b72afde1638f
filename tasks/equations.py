"""The arithmetic that a text states, ``left = right`` of plain numbers: read, and worked out exactly without evaluating text.

What must stay true: reading is linear in the text; an equation is called false only where it was read whole. What stands
before it (a variable, an operator, an open bracket) or after it may belong to it, and then nothing is said; a right side
is right to its own last digit, because people round and cut; a factor that looks like a change of units is no error.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from fractions import Fraction
from functools import lru_cache
from itertools import pairwise
from typing import Final

#: How far an equation reaches to either side of its equals sign, in characters.
_REACH: Final = 64

#: How far back what stands before it is looked at.
_CONTEXT: Final = 20

#: A left side read backwards, so that a match begins at the equals sign and what is no equation is seen at once.
#: White space and mark-up may stand around an operator; between two numbers they keep them apart.
_GAP: Final = r"[\s$%()\\{}]*"
_TFEL: Final = re.compile(rf"{_GAP}[\d.,]*[\d.](?:{_GAP}(?:(?:[-+*/^×÷·]|semit|todc|vid){_GAP})+[\d.,]*[\d.])+")
_RIGHT: Final = re.compile(rf"{_GAP}(-?){_GAP}([\d.][\d.,]*)")
_NOISE: Final = str.maketrans("", "", " \t\r\n$%()\\{}")

_MARKUP: Final = re.compile(r"\\[()\[\],;!: ]|\\left|\\right|\$")
_SYMBOL: Final = re.compile(
    r"\s*(?:(\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?|\.\d+)|(\*\*|\\times|\\cdot|\\div|[-+*/^×÷·()]))"
)
_OPERATOR: Final = {"×": "*", "·": "*", "\\times": "*", "\\cdot": "*", "÷": "/", "\\div": "/", "**": "^"}

#: What may stand before a left side without being a part of it: a line's beginning, punctuation, a word.
_BEFORE: Final = re.compile(r"(?:^|[\n:;=,.?!~≈<>|\]]|[A-Za-z]{2,})[ \t*]*$")
_CLOCK: Final = re.compile(r"\d:$")
#: Words that make what follows a part of something else.
_OF: Final = re.compile(
    r"\b(?:of|from|than|times|plus|minus|by|into|and|half|twice|sqrt|mod|log|ln|sin|cos|tan|frac|gcd|lcm|max|min)[ \t*]*$",
    re.IGNORECASE,
)
#: What may stand behind the number on the right only where the right side goes on, or is in other units.
_AFTER: Final = re.compile(
    r"(?:[ \t$]|\\?\)|\\?\})*(?:%|[-+*/^×÷·!]|\\(?!\)|\]|\\)|\d|[A-Za-z](?![A-Za-z])|(?:million|billion|thousand|hundred|dozen|percent|remainder)\b|R\d)"
    r"|[(:]\S"
)
_UNITS: Final = frozenset({100, 1000, 60, 3600, 24, 12, 7})

#: What a program prints is off by so little of its value.
_NOISE_OF_FLOATS: Final = Fraction(1, 10**9)

#: A whole number stays one, because fractions are slow.
Exact = int | Fraction

_LARGEST: Final = 10**30
_DEEPEST: Final = 20


def equations(text: str) -> list[str]:
    """The arithmetic in ``text``, in order and without spaces: ``["3+4=7", "7*2=14"]``."""
    return [f"{head.translate(_NOISE)[::-1]}={sign}{number.rstrip('.,')}" for _, head, sign, number, _ in _read(text)]


def holds(equation: str) -> bool:
    """Whether one of ``equations`` can be worked out as it stands, and is right to the last digit of its right side."""
    left, _, right = equation.rpartition("=")
    value = _value(left)
    return value is not None and not _differs(value, _number(right.replace(",", "")), left, right)


def value(expression: str) -> Fraction | None:
    """The value of an expression of numbers, brackets and the usual operators; None for anything else."""
    found = _value(expression)
    return None if found is None else Fraction(found)


def false_equations(text: str) -> list[int]:
    """Places (of the equals signs) of the equations in ``text`` that do not hold."""
    found = []
    for place, head, sign, number, end in _read(text):
        holds = _holds(head, sign, number)
        if holds or _AFTER.match(text, end):
            continue
        left = _whole_left(text, place, len(head))
        if left is not None and (holds is False or _is_false(left, sign, number)):
            found.append(place)
    return found


@lru_cache(maxsize=1 << 16)  # attempts at one problem state the same equations again and again
def _holds(head: str, sign: str, number: str) -> bool | None:
    """Whether nothing is to be said against an equation; None where its left side lacks a bracket that may stand before it."""
    left = _MARKUP.sub(" ", head[::-1])
    return not _is_false(left, sign, number) if left.count("(") == left.count(")") else None


def _is_false(left: str, sign: str, number: str) -> bool:
    value = _value(left)
    return value is not None and _differs(value, _number(sign + number.replace(",", "")), left, number)


def _read(text: str) -> Iterator[tuple[int, str, str, str, int]]:
    """(place of the sign, left side backwards, sign and number of the right side, where the number ends)."""
    pieces = text.split("=")
    place = len(pieces[0])
    for left, right in pairwise(pieces):
        tail = _RIGHT.match(right[:_REACH])
        head = _TFEL.match(left[: -_REACH - 1 : -1]) if tail else None
        if head and tail and tail[2].strip(".,"):
            number = tail[2].rstrip(".,")
            yield place, head[0], tail[1], number, place + 1 + tail.start(2) + len(number)
        place += 1 + len(right)


def _whole_left(text: str, place: int, size: int) -> str | None:
    """The left side with the brackets that belong to it; None where it may go on before what was read."""
    start = place - size
    left = _MARKUP.sub(" ", text[start:place])
    before = text[max(0, start - _CONTEXT) : start]
    if _CLOCK.search(before) or "%" in left or "{" in left or "}" in left:
        return None
    before = _MARKUP.sub(" ", before).rstrip(" \t")
    while before.endswith("(") and left.count("(") < left.count(")"):
        left, before = f"({left}", before[:-1].rstrip(" \t")
    if left.count("(") != left.count(")") or not _BEFORE.search(before) or _OF.search(before):
        return None
    return left


def _differs(value: Exact, right: Exact, left: str, number: str) -> bool:
    places = len(number.partition(".")[2])
    divides = any(sign in left for sign in ("/", "÷", "\\div"))
    off = _size(value - right)
    if not divides and "." not in number and "." not in left:
        near = not off
    else:
        near = off * 10**places < 1 or (places > 0 and off <= _size(value) * _NOISE_OF_FLOATS)
    if near:
        return False
    small, large = (value, right) if _size(value) < _size(right) else (right, value)
    return not small or bool(large % small) or large // small not in _UNITS


def _number(written: str) -> Exact:
    return Fraction(written) if "." in written else int(written)


def _size(value: Exact) -> Exact:
    return value if value >= 0 else -value


def _quotient(one: Exact, other: Exact) -> Exact:
    return Fraction(one) / other if one % other else one // other


def _value(left: str) -> Exact | None:
    """The value of an expression of numbers, brackets and the usual operators; None for anything else."""
    symbols: list[str] = []
    position = 0
    left = left.strip()
    while position < len(left):
        match = _SYMBOL.match(left, position)
        if match is None:
            return None
        symbols.append(match[1].replace(",", "") if match[1] else _OPERATOR.get(match[2], match[2]))
        position = match.end()
    try:
        parser = _Parser(symbols)
        value = parser.sum(0)
    except (ValueError, IndexError, ZeroDivisionError):
        return None
    return value if parser.at == len(symbols) else None


class _Parser:
    """Precedence climbing over symbols. Raises ValueError or IndexError for what is no expression."""

    def __init__(self, symbols: list[str]) -> None:
        self.symbols = symbols
        self.at = 0

    def sum(self, depth: int) -> Exact:
        if depth > _DEEPEST:
            raise ValueError("too deep")
        value = self._product(depth)
        while self._next() in ("+", "-"):
            value = value + self._product(depth) if self._take() == "+" else value - self._product(depth)
        return value

    def _product(self, depth: int) -> Exact:
        value = self._power(depth)
        while self._next() in ("*", "/"):
            value = value * self._power(depth) if self._take() == "*" else _quotient(value, self._power(depth))
        return value

    def _power(self, depth: int) -> Exact:
        value = self._atom(depth)
        if self._next() != "^":
            return value
        self._take()
        exponent = self._power(depth + 1) if depth < _DEEPEST else 99
        if exponent.denominator != 1 or _size(exponent) > 20 or _size(value) > 10**6:
            raise ValueError("no small power")
        return Fraction(value) ** exponent.numerator

    def _atom(self, depth: int) -> Exact:
        symbol = self._take()
        if symbol == "-":
            return -self._atom(depth + 1) if depth < _DEEPEST else 0
        if symbol == "(":
            value = self.sum(depth + 1)
            if self._take() != ")":
                raise ValueError("no closing bracket")
            return value
        value = _number(symbol)
        if _size(value) > _LARGEST:
            raise ValueError("too large")
        return value

    def _next(self) -> str:
        return self.symbols[self.at] if self.at < len(self.symbols) else ""

    def _take(self) -> str:
        self.at += 1
        return self.symbols[self.at - 1]
