r"""Tuples, lists, sets, intervals, matrices and labelled parts taken apart into their elements, as text.

What must stay true: brackets match, and an element is never changed, only cut out; a comma that groups thousands
without a space (``1,000``) is not a separator.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

_KINDS: Final = {("(", ")"): "tuple", ("[", "]"): "closed", ("(", "]"): "left-open", ("[", ")"): "right-open"}
_THOUSANDS: Final = re.compile(r"-?\\?\$?\d{1,3}(?:,\d{3})+(?:\.\d+)?$", re.ASCII)
_AND: Final = re.compile(r",?\s+(?:and|or)\s+|(?<=[)\]\d])or(?=[(\[a-zA-Z])")
_NAME: Final = re.compile(
    r"(?:[a-zA-Z](?:_\{?\w+\}?)?|\(\s*[a-zA-Z](?:\s*,\s*[a-zA-Z])*\s*\))\s*(?:=|\\in(?![a-zA-Z]))\s*(?=[\[({\\])"
)
_MATRIX: Final = re.compile(
    r"\\begin\s*\{([pbB]?matrix|smallmatrix|array)\}(\s*\{[lcr| ]*\})?(.*)\\end\s*\{\1\}$", re.DOTALL
)
_LABELS: Final = re.compile(r"(?:(?<=[\s,;])|^)\(?([a-h]|i{1,3}|iv|A|B|C|D)\)\s*[:.]?\s*")
_ROMAN: Final = ["i", "ii", "iii", "iv"]
_TOKEN: Final = re.compile(r"\\[{}]|\\.|[(){}\[\],;]")


@dataclass(frozen=True, slots=True)
class Parts:
    """``kind``: tuple, closed, left-open, right-open (intervals, as the brackets say), set, list (no brackets), ``matrix RxC``
    (by rows), or parts (labelled ``(a)``, ``(b)``, in their order)."""

    kind: str
    items: tuple[str, ...]


def parts(text: str) -> Parts | None:
    """The elements of a tidied text; None where it is no sequence, or its brackets do not match."""
    named = _NAME.match(text)
    text = text[named.end() :] if named else text
    if r"\begin" in text:
        return _matrix(text)
    labelled = _labelled(text)
    if labelled is not None:
        return labelled
    kind, inner = "list", text
    if text.startswith(r"\{") and text.endswith(r"\}"):
        kind, inner = "set", text[2:-2]
    elif len(text) > 1 and (text[0], text[-1]) in _KINDS:
        bracketed = split_top(text[1:-1])
        if bracketed is not None:
            kind, inner = _KINDS[text[0], text[-1]], text[1:-1]
    if kind == "list" and _THOUSANDS.match(inner):
        return None
    items = split_top(_AND.sub(", ", inner) if kind == "list" else inner)
    if items is None or any(not item for item in items) or (len(items) < 2 and kind != "set"):
        return None
    return Parts(kind, tuple(items))


def _matrix(text: str) -> Parts | None:
    """A matrix without another one in it; a determinant (``vmatrix``) is a number and no matrix."""
    if text[:1] == "(" and text[-1:] == ")" and text[1:].lstrip().startswith(r"\begin"):
        text = text[1:-1].strip()
    match = _MATRIX.match(text)
    if match is None or r"\begin" in match[3]:
        return None
    rows = [row.strip() for row in re.split(r"\\\\(?:\s*\[[^\]]*\])?|\\cr", match[3].replace(r"\hline", ""))]
    cells = [[cell.strip() for cell in row.split("&")] for row in rows if row]
    if not cells or len({len(row) for row in cells}) != 1 or not all(cell for row in cells for cell in row):
        return None
    return Parts(f"matrix {len(cells)}x{len(cells[0])}", tuple(cell for row in cells for cell in row))


def _labelled(text: str) -> Parts | None:
    """``(a) 1, (b) 2``: labels in alphabetic or Roman order from the first character on, each with something behind it."""
    marks = list(_LABELS.finditer(text))
    labels = [mark[1].lower() for mark in marks]
    if (
        len(marks) < 2
        or marks[0].start()
        or (labels != list("abcdefgh")[: len(labels)] and labels != _ROMAN[: len(labels)])
    ):
        return None
    ends = [*(mark.start() for mark in marks[1:]), len(text)]
    items = [text[mark.end() : end].strip(" ,;.") for mark, end in zip(marks, ends, strict=True)]
    items = [re.sub(r"[,;]?\s*and$", "", item) for item in items]
    return Parts("parts", tuple(items)) if all(items) else None


def split_top(text: str) -> list[str] | None:
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


def outside(text: str, separator: re.Pattern[str]) -> list[str] | None:
    """``text`` cut at the matches of ``separator`` outside brackets; None where braces or brackets do not match.

    An interval may close with another bracket than it opened.
    """
    if separator.search(text) is None:
        return [text]
    inside = bytearray(len(text) + 1)
    depth, previous = 0, 0
    for match in _TOKEN.finditer(text):
        token = match[0]
        if token in ("(", "[", "{", r"\{"):
            if not depth:
                previous = match.start()
            depth += 1
        elif token in (")", "]", "}", r"\}"):
            depth -= 1
            if depth < 0:
                return None
            if not depth:
                inside[previous : match.end()] = b"\x01" * (match.end() - previous)
    if depth:
        return None
    pieces, start = [], 0
    for match in separator.finditer(text):
        if not inside[match.start()] or match.end() == match.start():
            pieces.append(text[start : match.start()])
            start = match.end()
    return [*pieces, text[start:]]
