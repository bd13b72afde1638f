"""Numbers in English words: ``one thousand six hundred twenty-five``.

What must stay true: every word is accounted for, in an order that a speaker would use; else it is no number.
"""

from __future__ import annotations

import re
from fractions import Fraction
from functools import lru_cache
from typing import Final

_SMALL: Final = {
    word: value
    for value, word in enumerate(
        [
            "zero",
            "one",
            "two",
            "three",
            "four",
            "five",
            "six",
            "seven",
            "eight",
            "nine",
            "ten",
            "eleven",
            "twelve",
            "thirteen",
            "fourteen",
            "fifteen",
            "sixteen",
            "seventeen",
            "eighteen",
            "nineteen",
        ]
    )
}
_TENS: Final = {
    word: 10 * value
    for value, word in enumerate(
        ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"], start=2
    )
}
_LARGE: Final = {"thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12}
_PARTS: Final = {"half": 2, "halves": 2} | {
    word + ending: value
    for value, word in enumerate(["third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth"], start=3)
    for ending in ("", "s")
} | {"quarter": 4, "quarters": 4}  # fmt: skip
_WORD: Final = re.compile(r"[ ,\-]+")


@lru_cache(maxsize=4096)
def read_cardinal(text: str) -> Fraction | None:
    """The number or fraction (``two thirds``) that ``text`` spells, with ``minus`` or ``negative`` before it perhaps.

    None where it spells none.
    """
    if not 3 <= len(text) <= 200 or not text[-1].isalpha():
        return None
    words = _WORD.split(text.lower())
    sign = -1 if words[0] in ("minus", "negative") else 1
    words = words[sign < 0 :]
    if len(words) == 2 and words[1] in _PARTS and _SMALL.get(words[0], 0) > 0:
        return Fraction(sign * _SMALL[words[0]], _PARTS[words[1]])
    if not words or any(
        w not in _SMALL and w not in _TENS and w not in _LARGE and w not in ("hundred", "and") for w in words
    ):
        return None
    total, ceiling, group = 0, 10**15, []
    for word in words:
        if word not in _LARGE:
            group.append(word)
            continue
        below = _below_thousand(group)
        if below is None or not below or _LARGE[word] >= ceiling:
            return None
        total, ceiling, group = total + below * _LARGE[word], _LARGE[word], []
    if total and group and group[0] == "and":
        group = group[1:]
    rest = _below_thousand(group) if group else 0
    if rest is None or (not group and total == 0):
        return None
    return Fraction(sign * (total + rest))


def _below_thousand(words: list[str]) -> int | None:
    hundreds = 0
    if len(words) > 1 and words[1] == "hundred":
        if not 0 < _SMALL.get(words[0], 0) < 100:
            return None
        hundreds, words = 100 * _SMALL[words[0]], words[2:]
        if not words:
            return hundreds
    if hundreds and words and words[0] == "and":
        words = words[1:]
    match words:
        case [word] if word in _SMALL and (word != "zero" or not hundreds):
            return hundreds + _SMALL[word]
        case [word] if word in _TENS:
            return hundreds + _TENS[word]
        case [tens, unit] if tens in _TENS and 0 < _SMALL.get(unit, 0) < 10:
            return hundreds + _TENS[tens] + _SMALL[unit]
        case _:
            return None
