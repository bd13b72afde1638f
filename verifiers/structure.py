r"""Tuples, lists, sets and intervals taken apart into their elements, as text.

What must stay true: brackets match, and an element is never changed, only cut out; a comma that groups thousands
without a space (``1,000``) is not a separator.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

_KINDS: Final = {("(", ")"): "tuple", ("[", "]"): "closed", ("(", "]"): "left-open", ("[", ")"): "right-open"}
_THOUSANDS: Final = re.compile(r"-?\\?\$?\d{1,3}(?:,\d{3})+(?:\.\d+)?$", re.ASCII)
_AND: Final = re.compile(r",?\s+and\s+")
_NAME: Final = re.compile(
    r"(?:[a-zA-Z](?:_\{?\w+\}?)?|\(\s*[a-zA-Z](?:\s*,\s*[a-zA-Z])*\s*\))\s*(?:=|\\in(?![a-zA-Z]))\s*(?=[\[({\\])"
)
_TOKEN: Final = re.compile(r"\\[{}]|\\.|[(){}\[\],;]")


@dataclass(frozen=True, slots=True)
class Parts:
    """``kind``: tuple, closed, left-open, right-open (intervals, as the brackets say), set, or list (no brackets)."""

    kind: str
    items: tuple[str, ...]


def parts(text: str) -> Parts | None:
    """The elements of a tidied text; None where it is no sequence, or its brackets do not match."""
    named = _NAME.match(text)
    text = text[named.end() :] if named else text
    kind, inner = "list", text
    if text.startswith(r"\{") and text.endswith(r"\}"):
        kind, inner = "set", text[2:-2]
    elif len(text) > 1 and (text[0], text[-1]) in _KINDS:
        bracketed = _split(text[1:-1])
        if bracketed is not None:
            kind, inner = _KINDS[text[0], text[-1]], text[1:-1]
    if kind == "list" and _THOUSANDS.match(inner):
        return None
    items = _split(_AND.sub(", ", inner) if kind == "list" else inner)
    if items is None or any(not item for item in items) or (len(items) < 2 and kind != "set"):
        return None
    return Parts(kind, tuple(items))


def _split(text: str) -> list[str] | None:
    """``text`` cut at the commas and semicolons outside brackets; None where the brackets do not match."""
    items: list[str] = []
    depth, start = 0, 0
    for match in _TOKEN.finditer(text):
        token = match[0]
        if token in ("(", "[", "{", r"\{"):
            depth += 1
        elif token in (")", "]", "}", r"\}"):
            depth -= 1
            if depth < 0:
                return None
        elif token in (",", ";") and depth == 0:
            items.append(text[start : match.start()].strip())
            start = match.end()
    if depth:
        return None
    items.append(text[start:].strip())
    return items
