"""What kind of answer a text is: the types by which lucky rates are told apart."""

from __future__ import annotations

import re
from typing import Final

from tracemill.verifiers import relation
from tracemill.verifiers.expression import read
from tracemill.verifiers.normal import LONGEST, is_words, number, tidy
from tracemill.verifiers.structure import parts

#: Every type, in the order in which they are shown.
KINDS: Final = (
    "integer", "decimal", "fraction", "percent", "choice", "expression", "equation", "set", "list", "tuple", "interval", "matrix", "text",
)  # fmt: skip
_LETTER: Final = re.compile(r"\(?[A-J]\)?$")
_SEQUENCES: Final = {"closed": "interval", "left-open": "interval", "right-open": "interval", "parts": "list"}


def answer_kind(answer: str, choice: bool = False) -> str:
    """The type of an answer, one of ``KINDS``; ``choice``: whether the problem has choices. What is not read is ``text``."""
    if choice:
        return "choice"
    clean = tidy(answer)
    if len(clean) > LONGEST:
        return "text"
    found = number(clean)
    if found is not None:
        if found.percent:
            return "percent"
        return "decimal" if found.digits is not None else "integer" if found.value.denominator == 1 else "fraction"
    if _LETTER.match(clean):
        return "choice"
    if is_words(clean):
        return "text"
    region = relation.region(clean)
    if region is not None and region.certain:
        return "interval"
    several = parts(clean)
    if several is not None and any(
        number(tidy(item)) or read(tidy(item)) is not None or parts(tidy(item)) for item in several.items
    ):
        return "matrix" if several.kind.startswith("matrix") else _SEQUENCES.get(several.kind, several.kind)
    sides = relation.sides(clean)
    if sides is not None:
        return "expression" if relation.label(sides[0]) and read(sides[-1]) is not None else "equation"
    return "expression" if read(clean) is not None or ("\\" in clean and several is None) else "text"
