"""What a wrong solution adds up that a right one does too, but together with more, or in another order.

A right solution that says ``a + b = c`` and ``c + d = e`` vouches for ``a + d``. What must stay true: only equations that hold are
read; a number that was itself added up counts as what it was made of, up to ``TERMS`` numbers.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from fractions import Fraction
from typing import Final

from tracemill.tasks.equations import equations, holds, value

#: Most numbers that a sum is spread out to.
TERMS: Final = 8

_BETWEEN: Final = re.compile(r"(?<=[\d.])(?=[-+])\+?")

#: The numbers that are added, a number that is taken away being negative.
Sum = tuple[Fraction, ...]


def sums(text: str) -> frozenset[Sum]:
    """The sums of ``text``, spread out."""
    made: dict[Fraction, Sum] = {}
    found: set[Sum] = set()
    for parts, end in _read(text):
        spread = tuple(number for part in parts for number in made.get(part, (part,)))
        spread = spread if len(spread) <= TERMS else parts
        made.setdefault(end, spread)
        found.add(spread)
    return frozenset(found)


def within(text: str, others: Iterable[Sum]) -> set[Fraction]:
    """What the sums of ``text`` come to that are a part of one of ``others``."""
    known = [Counter(parts) for parts in others]
    return {end for parts, end in _read(text) if any(Counter(parts) <= whole for whole in known)}


def _read(text: str) -> Iterator[tuple[Sum, Fraction]]:
    for equation in equations(text):
        left, _, right = equation.rpartition("=")
        terms = _BETWEEN.split(left)
        if len(terms) < 2 or not holds(equation):
            continue
        end, parts = value(right.replace(",", "")), tuple(number for number in map(value, terms) if number is not None)
        if sum(parts) == end:
            yield parts, end
