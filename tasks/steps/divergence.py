"""Where a wrong trace leaves the ways that its right siblings go.

A step's results are the numbers that it sets equal to something, else the last number that it says outside a list of plans.
Results that a right sibling or the problem also has are common ground; the first step with a result of its own is
where the trace diverged. What must stay true: the find depends on the texts alone; nothing is said where there are too few
siblings to compare with.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Final

from tracemill.tasks.equations import equations
from tracemill.tasks.steps.base import FirstError, Source, Steps

_NUMBER: Final = re.compile(r"(?<![\w.])\d+(?:,\d{3})*(?:\.\d+)?")

_RESULT: Final = re.compile(r"=[ \t$]*-?(\d+(?:,\d{3})*(?:\.\d+)?)(?![\d.,]*[ \t]*[-+*/^×÷\d\\])")
_LISTED: Final = re.compile(r"^[ \t]*(?:#+ *)?(?:Step )?\d+[.):].*$", re.MULTILINE)

#: Fewest right siblings to compare with.
SIBLINGS: Final = 3


def divergence(steps: Steps, siblings: Sequence[str], prompt: str = "", least: int = SIBLINGS) -> FirstError | None:
    """The first step of a wrong trace with a result that no right sibling and not the problem has.

    None where there are fewer than ``least`` siblings: one right way does not rule out another.
    """
    if len(siblings) < least:
        return None
    known = numbers([prompt, *siblings])
    for index, text in enumerate(steps.texts):
        if results(text) - known:
            return FirstError(index, Source.DIVERGENCE)
    return None


def common_ground(steps: Steps, siblings: Sequence[str], prompt: str = "") -> int:
    """How many leading steps of a wrong trace say nothing of their own: their results and their equations, whole, are a
    right sibling's too. An error in these is unlikely; what follows may be wrong before its result is seen to be."""
    known, stated = numbers([prompt, *siblings]), {key for text in siblings for key in _equation_keys(text)}
    for index, text in enumerate(steps.texts):
        if results(text) - known or _equation_keys(text) - stated:
            return index
    return len(steps.spans)


def results(step: str) -> set[str]:
    """The numbers that a step comes to."""
    found = set(_RESULT.findall(step))
    if not found:
        found = set(_NUMBER.findall(_LISTED.sub("", step))[-1:])
    return {plain(number) for number in found}


@lru_cache(maxsize=256)
def _equation_keys(text: str) -> frozenset[tuple[str, ...]]:
    """The numbers of each equation, the sides apart."""
    found = set()
    for equation in equations(text):
        left, _, right = equation.rpartition("=")
        found.add((*sorted(plain(number) for number in _NUMBER.findall(left)), "=", plain(right)))
    return frozenset(found)


def numbers(texts: Iterable[str]) -> set[str]:
    return {number for text in texts for number in _numbers(text)}


@lru_cache(maxsize=256)  # each right sibling is read once for all the wrong attempts of its problem
def _numbers(text: str) -> frozenset[str]:
    return frozenset(plain(number) for number in _NUMBER.findall(text))


def plain(number: str) -> str:
    """A number without its sign, grouping and trailing zeros."""
    number = number.replace(",", "").lstrip("-")
    return number.rstrip("0").rstrip(".") if "." in number else number
