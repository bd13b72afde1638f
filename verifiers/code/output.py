"""Whether a program printed what it should: standard output against the expected text.

The rule: lines are compared in order, after white space at the end of lines and empty lines at the end of the text are taken
off; within a line the words are compared, so the width of white space between them does not count. Two words are the same
if they are written alike, or if both are decimal numbers of the same value (``1.50`` and ``1.5``; with a ``tolerance``,
values that differ by no more than it, absolutely or relatively). Case counts. There is no other freedom.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Final

#: Bytes of output beyond four times the expected ones.
SPARE: Final = 1 << 16

_DECIMAL: Final = re.compile(r"[+-]?(?:[0-9]{1,400}(?:\.[0-9]{0,400})?|\.[0-9]{1,400})(?:[eE][+-]?[0-9]{1,4})?")


def allowed(expected: str) -> int:
    """The most bytes that a program may print where ``expected`` is right."""
    return 4 * len(expected.encode("utf-8", "replace")) + SPARE


def first_difference(printed: str, expected: str, tolerance: float = 0.0) -> str | None:
    """What differs first, or None where nothing does."""
    lines, wanted = _lines(printed), _lines(expected)
    for number, (line, right) in enumerate(zip(lines, wanted, strict=False), 1):
        if line != right and not _same_words(line.split(), right.split(), tolerance):
            return f"line {number} is {line[:100]!r}, not {right[:100]!r}"
    if len(lines) != len(wanted):
        return f"{len(lines)} lines, not {len(wanted)}"
    return None


def _lines(text: str) -> list[str]:
    lines = [line.rstrip() for line in text.replace("\r\n", "\n").split("\n")]
    while lines and not lines[-1]:
        lines.pop()
    return lines


def _same_words(words: list[str], wanted: list[str], tolerance: float) -> bool:
    return len(words) == len(wanted) and all(
        word == right or _same_number(word, right, tolerance) for word, right in zip(words, wanted, strict=True)
    )


def _same_number(word: str, right: str, tolerance: float) -> bool:
    if _DECIMAL.fullmatch(word) is None or _DECIMAL.fullmatch(right) is None:
        return False
    one, other = Decimal(word), Decimal(right)
    if one == other:
        return True
    room = Decimal(repr(tolerance))
    return bool(tolerance) and abs(one - other) <= room * max(Decimal(1), abs(other))
