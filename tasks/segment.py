"""Steps of a text and its think block, as spans: nothing is rewritten, so the spans always partition the text.

A step ends with its separator. No step ends inside a code fence or display maths (``$$...$$``, ``\\[...\\]``). The
segmenter's name is stored with the steps, because a step index means nothing without it. Linear in the text's length.
"""

from __future__ import annotations

import re
from typing import Final, Literal

from tracemill.schemas.errors import UsageError

Span = tuple[int, int]
Mode = Literal["auto", "paragraph", "line", "whole"]

_BREAKS: Final = {
    "paragraph": re.compile(r"\n(?:[ \t\r]*\n)+"),
    "line": re.compile(r"\n(?:[ \t\r]*\n)*"),
}
_FENCE: Final = re.compile(r"^[ \t]*(`{3,}(?=[^`\n]*$)|~{3,})", re.MULTILINE)  # ```code``` on one line opens nothing
_MATHS: Final = re.compile(r"\$\$|(?<!\\)\\\[")
_CLOSER: Final = {"$$": "$$", "\\[": "\\]"}
_THINK: Final = re.compile(r"</?think>")


def segment(text: str, mode: str = "auto") -> tuple[list[Span], str]:
    """The steps of ``text`` as half-open code-point spans, and the segmenter that made them.

    ``mode`` is ``paragraph`` (blank lines), ``line``, ``whole``, or ``auto``: the first of these that gives more than one
    step. White space before the first step and after the last belongs to them; an empty text has no steps.
    """
    if mode not in ("auto", "whole", *_BREAKS):
        raise UsageError(f"no segmenter {mode!r}", mend="known: auto, paragraph, line, whole")
    if not text:
        return [], "whole" if mode == "auto" else mode
    closed = _closed(text)
    for name in ("paragraph", "line") if mode == "auto" else (mode,):
        if name == "whole":
            break
        spans = _cut(text, _BREAKS[name], closed)
        if len(spans) > 1 or mode != "auto":
            return spans, name
    return [(0, len(text))], "whole"


def split_reasoning(text: str) -> tuple[str | None, str, bool]:
    """``(reasoning, rest, terminated)``: what stands in think blocks, what stands outside, and whether the last block ends.

    A ``</think>`` without its opening tag ends a block that began with the text (templates that prefill ``<think>``).
    Without tags the reasoning is None and the rest is ``text``; several blocks are joined by a blank line.
    """
    if "think>" not in text:
        return None, text, True
    inside: list[str] = []
    outside: list[str] = []
    position, within = 0, False
    for tag in _THINK.finditer(text):
        piece = text[position : tag.start()]
        opens = tag.group() == "<think>"
        if within != opens:
            (inside if within else outside).append(piece)
        elif opens:
            continue  # an opening tag inside a block is part of its text
        elif not inside:
            inside.append("".join(outside) + piece)
            outside.clear()
        else:
            continue  # a stray closing tag is part of the answer's text
        position, within = tag.end(), opens
    if position == 0:
        return None, text, True
    (inside if within else outside).append(text[position:])
    return "\n\n".join(part.strip() for part in inside), "".join(outside).strip(), not within


def _cut(text: str, separator: re.Pattern[str], closed: list[Span]) -> list[Span]:
    """Spans that end where ``separator`` does, outside the regions ``closed`` (ordered and disjoint)."""
    first, last = len(text) - len(text.lstrip()), len(text.rstrip())
    spans: list[Span] = []
    start = region = 0
    for match in separator.finditer(text, first, last):
        end = match.end()
        while region < len(closed) and closed[region][1] <= match.start():
            region += 1
        if region < len(closed) and closed[region][0] < end:
            continue
        spans.append((start, end))
        start = end
    spans.append((start, len(text)))
    return spans


def _closed(text: str) -> list[Span]:
    """Regions that no step may end in: code fences (an open one runs to the end), then display maths between them."""
    regions: list[Span] = []
    position = 0
    if "```" in text or "~~~" in text:
        while opening := _FENCE.search(text, position):
            mark = opening.group(1)
            closing = re.compile(rf"^[ \t]*{mark[0]}{{{len(mark)},}}[ \t\r]*$", re.MULTILINE)
            match = closing.search(text, opening.end())
            end = match.end() if match else len(text)
            regions += _maths(text, position, opening.start())
            regions.append((opening.start(), end))
            position = end
    return regions + _maths(text, position, len(text))


def _maths(text: str, start: int, stop: int) -> list[Span]:
    """Display maths in ``text[start:stop]``; an opening without its end opens nothing."""
    regions: list[Span] = []
    if text.find("$$", start, stop) < 0 and text.find("\\[", start, stop) < 0:
        return regions
    unclosed: set[str] = set()
    while opening := _MATHS.search(text, start, stop):
        mark = opening.group()
        end = -1 if mark in unclosed else text.find(_CLOSER[mark], opening.end(), stop)
        if end < 0:
            unclosed.add(mark)
            start = opening.end()
        else:
            start = end + 2
            regions.append((opening.start(), start))
    return regions
