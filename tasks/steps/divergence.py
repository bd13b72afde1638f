"""Where a wrong trace leaves the ways that its right siblings go.

A step's results are the numbers that it sets equal to something, else the last number that it says outside a list of plans.
Results that a right sibling or the problem also has are common ground; the first step with a result of its own is
where the trace diverged, unless that is a part of what a sibling adds up, or the same in other units: another way is no
error. What must stay true: the find depends on the texts alone; nothing is said where there are too few siblings to compare
with; reading is linear in the text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import Final

from tracemill.tasks.equations import equations
from tracemill.tasks.steps.base import FirstError, Source, Steps
from tracemill.tasks.steps.sums import Sum, sums, within

_NUMBER: Final = re.compile(r"(?<![\w.])\d+(?:,\d{3})*(?:\.\d+)?")

_RESULT: Final = re.compile(r"=[ \t$]*-?(\d+(?:,\d{3})*(?:\.\d+)?)(?![\d.,]*[ \t]*[-+*/^×÷\d\\])")
_LISTED: Final = re.compile(r"^[ \t]*(?:#+ *)?(?:Step )?\d+[.):].*$", re.MULTILINE)

_PRINTED: Final = re.compile(r"\s*(?:```output\b|<\|execution\|>)")
_SHARE: Final = re.compile(r"%|percent")
_TIME: Final = re.compile(r"minute|second")

#: Digits of a number that is worked with.
_LONGEST: Final = 30

#: Fewest right siblings to compare with.
SIBLINGS: Final = 3


def divergence(steps: Steps, siblings: Sequence[str], prompt: str = "", least: int = SIBLINGS) -> FirstError | None:
    """The first step of a wrong trace with a result that no right sibling and not the problem has.

    A result that a sibling only put otherwise does not count, except as the answer, which is wrong.
    None where there are fewer than ``least`` siblings: one right way does not rule out another.
    """
    if len(siblings) < least:
        return None
    ways, texts = _ways(tuple(siblings), prompt), steps.texts
    answer = next((found for found in map(results, reversed(texts)) if found), set())
    excused: set[str] | None = None
    for index, text in enumerate(texts):
        own = results(text) - ways.numbers
        if own - answer:
            excused = {_decimal(end) for end in within(steps.text, ways.sums)} if excused is None else excused
            own -= {
                number for number in own - answer if number in excused or _in_other_units(number, text, ways.numbers)
            }
        if own:
            return FirstError(_maker(texts, index), Source.DIVERGENCE)
    return None


def common_ground(steps: Steps, siblings: Sequence[str], prompt: str = "") -> int:
    """How many leading steps of a wrong trace say nothing of their own: their results and their equations, whole, are a
    right sibling's too. An error in these is unlikely; what follows may be wrong before its result is seen to be, and so may
    the whole program that the result is of."""
    ways = _ways(tuple(siblings), prompt)
    texts = steps.texts
    for index, text in enumerate(texts):
        if results(text) - ways.numbers or _equation_keys(text) - ways.equations:
            index = _maker(texts, index)
            while index and _in_program(steps.text[: steps.spans[index][0]]):
                index -= 1
            return index
    return len(texts)


def _maker(texts: Sequence[str], index: int) -> int:
    """The step that made what step ``index`` says: the program before it, where it is what a program printed."""
    return index - 1 if index and _PRINTED.match(texts[index]) else index


def _in_program(before: str) -> bool:
    return before.rfind("<|code|>") > max(before.rfind("<|execution|>"), before.rfind("<|text|>"))


def _in_other_units(number: str, step: str, known: frozenset[str]) -> bool:
    """Whether a known number is the same in cents or per cent, or in minutes or seconds where the step speaks of such."""
    if len(number) > _LONGEST:
        return False
    value = Fraction(number)
    if value.denominator != 1:
        return _decimal(value * 100) in known
    if _SHARE.search(step) and _decimal(value / 100) in known:
        return True
    return bool(_TIME.search(step)) and (_decimal(value * 60) in known or _decimal(value / 60) in known)


def _decimal(number: Fraction) -> str:
    return plain(str(number) if number.denominator == 1 else f"{float(number):.6f}")


@dataclass(frozen=True, slots=True)
class _Ways:
    """What right siblings and the problem say: all numbers, the equations, and what is added up."""

    numbers: frozenset[str]
    equations: frozenset[tuple[str, ...]]
    sums: frozenset[Sum]


@lru_cache(maxsize=16)  # right siblings are read once for all the wrong attempts of their problem
def _ways(siblings: tuple[str, ...], prompt: str) -> _Ways:
    return _Ways(
        frozenset(numbers([prompt, *siblings])),
        frozenset(key for text in siblings for key in _equation_keys(text)),
        frozenset(found for text in siblings for found in sums(text)),
    )


def results(step: str) -> set[str]:
    """The numbers that a step comes to."""
    found = set(_RESULT.findall(step))
    if not found:
        found = set(_NUMBER.findall(_LISTED.sub("", step))[-1:])
    return {plain(number) for number in found}


def _equation_keys(text: str) -> frozenset[tuple[str, ...]]:
    """The numbers of each equation, the sides apart."""
    found = set()
    for equation in equations(text):
        left, _, right = equation.rpartition("=")
        found.add((*sorted(plain(number) for number in _NUMBER.findall(left)), "=", plain(right)))
    return frozenset(found)


def numbers(texts: Iterable[str]) -> set[str]:
    return {plain(number) for text in texts for number in _NUMBER.findall(text)}


def plain(number: str) -> str:
    """A number without its sign, grouping and trailing zeros."""
    number = number.replace(",", "").lstrip("-")
    return number.rstrip("0").rstrip(".") if "." in number else number
