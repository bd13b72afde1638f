r"""Where a response says its answer: extraction, apart from comparison.

What must stay true: an answer is taken only from a place where the response commits to it. In this order: the box
(``\boxed{}``, ``\fbox{}``), a marker (``<answer>``, "the final answer is", ``####``, "Answer:"), a response that is one short line.
The thinking block is never read; one that does not end has no answer. Different boxes are no answer, unless the text
between them takes the earlier back. A response that was cut (``finish_reason`` ``length``) has only a closed box or tag.
The last number in the text is never taken unless asked for. Every path is linear in the length of the response.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from tracemill.verifiers.normal import normal_form, tidy

How = Literal["box", "marker", "line", "last_number", "none"]

#: A line of plain arithmetic that says its result: ``9 - 3 = 6``.
_COMPUTED: Final = re.compile(r"[\d\s+\-*/×÷^().,]*\d[\d\s+\-*/×÷^().,]*=\s*([-+]?\d[\d,]*(?:\.\d+)?)\s*\.?")

#: Longest response of one line that is taken as the answer itself, in characters.
LINE: Final = 200
#: How far from the end a marker is looked for, in characters.
TAIL: Final = 4000
#: More different boxes than this are not compared: the response does not commit.
BOXES: Final = 64

_THINK_END: Final = re.compile(r"</(?:think|thinking)>")
_THINK: Final = re.compile(r"<(?:think|thinking)>")
_BOX: Final = re.compile(r"\\(?:boxed|fbox)\s{0,4}(?:\{|(?=[0-9A-Za-z+-]))")
_BRACE: Final = re.compile(r"\\.|[{}]", re.DOTALL)
_BARE: Final = re.compile(r"[^\s{}$\\]+")
_RETRACT: Final = re.compile(
    r"\b(?:wait|actually|recheck|re-check|correction|mistake|on second thought|let me (?:re|double|check|try)\w*)\b",
    re.IGNORECASE,
)
_MARKER: Final = re.compile(
    r"####"
    r"|\b(?:final |correct )?answer\b(?: to [^\n.:]{1,80}?)?(?: is|\*{0,2} ?:\*{0,2}| ?=|(?= ?(?:\$|\\[(\[])))\s*:?"
    r"|^\s*(?:\*\*)?A(?:\*\*)?:",
    re.IGNORECASE | re.MULTILINE,
)
_SENTENCE_END: Final = re.compile(r"[.;!?](?=\s|$)|\n|<\|")
_COPULA: Final = re.compile(r"\b(?:is|are|equals)\b\s*(?:equal to\s+)?(?=\S)")
_SPAN: Final = re.compile(r"\$\$[^$]+\$\$|\$[^$]+\$|\\\([^$]+?\\\)|\\\[[^$]+?\\\]")
_NEGATION: Final = re.compile(
    r"\b(?:not?|never|neither|nor|or|except|unless|cannot|wrong|false|incorrect)\b|n't\b", re.IGNORECASE
)
_NUMBER: Final = re.compile(r"[-+]?(?:\d[\d,]*\.?\d*|\.\d+)(?:/\d+)?%?")
_LETTER: Final = re.compile(r"(?:option |choice )?\(?([A-Z])\)?(?:$|[.):,]\s*(.*)$|\s+(.*)$)", re.DOTALL)
_LABEL: Final = re.compile(r"^\s*\(?[A-Z][).:]\s*")


@dataclass(frozen=True, slots=True)
class Extracted:
    """``answer`` as written (a letter where the problem has choices), or None and the ``reason``; ``how`` is the place."""

    answer: str | None
    reason: str
    how: How = "none"


def extract(
    response: str, finish_reason: str = "stop", last_number: bool = False, choices: Sequence[str] | None = None
) -> Extracted:
    """The answer that ``response`` commits to.

    ``last_number`` allows the last number of the response where nothing else is found. With ``choices`` the answer is
    the letter of one of them, found from the letter or from the choice's own text.
    """
    found = _locate(response, finish_reason, last_number)
    if found.answer is None or not choices:
        return found
    return _as_letter(found, choices)


def choice_letter(answer: str, choices: Sequence[str]) -> str | None:
    """The letter of the choice that ``answer`` names, by letter or by text; None where it names none, or two."""
    texts = [normal_form(_LABEL.sub("", text)) for text in choices]
    own = normal_form(answer)
    by_text = [index for index, text in enumerate(texts) if text is not None and text == own]
    if len(by_text) == 1:
        return chr(65 + by_text[0])
    match = _LETTER.match(tidy(answer))
    if match is None:
        return None
    index = ord(match[1]) - 65
    rest = (match[2] or match[3] or "").strip()
    if index >= len(choices):
        return None
    said = normal_form(rest) if rest else None
    if said is not None and said != texts[index] and said in texts:
        return None
    return match[1]


def _as_letter(found: Extracted, choices: Sequence[str]) -> Extracted:
    letter = choice_letter(found.answer or "", choices)
    if letter is None:
        return Extracted(None, "the answer is none of the choices", found.how)
    return Extracted(letter, found.reason, found.how)


def _locate(response: str, finish_reason: str, last_number: bool) -> Extracted:
    text = response[_end_of_last(_THINK_END, response) :] if "</think" in response else response
    if "<think" in text and _THINK.search(text):
        return Extracted(None, "the thinking block does not end")
    box = _boxed(text)
    if box is not None:
        return box
    tagged = _tagged(text)
    if tagged is not None:
        return tagged
    if finish_reason == "length":
        return Extracted(None, "cut before the answer was complete")
    marked = _marked(text[-TAIL:])
    if marked is not None:
        return marked
    line = text.strip()
    if line and len(line) <= LINE and "\n" not in line:
        computed = _COMPUTED.fullmatch(line)
        return Extracted(computed[1] if computed else _only_span(line), "single line", "line")
    if last_number:
        numbers = _NUMBER.findall(text[-TAIL:])
        if numbers:
            return Extracted(numbers[-1].rstrip(".,"), "last number", "last_number")
    return Extracted(None, "no answer found" if line else "empty response")


def _end_of_last(pattern: re.Pattern[str], text: str) -> int:
    """Where the last match ends; 0 where there is none."""
    return max((match.end() for match in pattern.finditer(text)), default=0)


def _boxed(text: str) -> Extracted | None:
    """The box that the text commits to; None where it has no box at all."""
    if "\\boxed" not in text and "\\fbox" not in text:
        return None
    contents: list[str] = []
    empty = False
    end = 0
    while (match := _BOX.search(text, end)) is not None:
        previous, start = end, match.end()
        if text[start - 1] == "{":
            close = _closing(text, start)
            if close is None:
                return Extracted(None, "the box is cut off", "box")
            content, end = text[start:close], close + 1
        else:
            bare = _BARE.match(text, start)
            content, end = (bare[0].rstrip(".,;:"), bare.end()) if bare else ("", start)
        if contents and _RETRACT.search(text, previous, match.start()):
            contents.clear()
        content = _unwrap(content.strip())
        if not content:
            empty = True  # "put the answer in \\boxed{}" says nothing
            continue
        if not contents or content != contents[-1]:
            contents.append(content)
        if len(contents) > BOXES:
            return Extracted(None, "too many different boxes", "box")
    if not contents:
        return Extracted(None, "the box is empty", "box") if empty else None
    last = contents[-1]
    if len(contents) > 1 and len({normal_form(content) or content for content in contents}) > 1:
        return Extracted(None, "several different boxes", "box")
    return Extracted(last, "box", "box")


def _tagged(text: str) -> Extracted | None:
    """What ``<answer>`` and ``</answer>`` hold; None where there are none. An open one is cut off."""
    start = text.rfind("<answer>")
    if start < 0:
        return None
    content, closed, _ = text[start + len("<answer>") :].partition("</answer>")
    content = content.strip()
    if not closed or not content:
        return Extracted(None, "the answer tag is empty" if closed else "the answer tag is cut off", "marker")
    head = text[:start]
    before, opened = head.rfind("</answer>"), head.rfind("<answer>")
    if 0 <= opened < before:
        earlier = head[opened + len("<answer>") : before].strip()
        retracted = _RETRACT.search(head, before) is not None
        if not retracted and earlier != content and normal_form(earlier) != normal_form(content):
            return Extracted(None, "several different answers", "marker")
    return Extracted(content, "answer tag", "marker")


def _only_span(line: str) -> str:
    """The one formula of a line of prose without digits or a negation; else the line."""
    spans = list(_SPAN.finditer(line))
    if len(spans) != 1:
        return line
    outside = line[: spans[0].start()] + " " + line[spans[0].end() :]
    if len(outside.split()) < 2 or any(c.isdigit() or c in "$\\%" for c in outside) or _NEGATION.search(outside):
        return line
    return spans[0][0]


def _unwrap(content: str) -> str:
    """The inside of boxes within boxes, a few levels deep."""
    for _ in range(4):
        match = _BOX.match(content)
        if match is None or content[match.end() - 1] != "{" or _closing(content, match.end()) != len(content) - 1:
            break
        content = content[match.end() : -1].strip()
    return content


def _closing(text: str, start: int) -> int | None:
    r"""Where the brace that was opened just before ``start`` is closed; ``\{`` and ``\}`` do not count."""
    depth = 1
    for match in _BRACE.finditer(text, start):
        token = match[0]
        if token == "{":
            depth += 1
        elif token == "}":
            depth -= 1
            if not depth:
                return match.start()
    return None


def _marked(tail: str) -> Extracted | None:
    """What stands behind the last marker; None where there is no marker."""
    markers = list(_MARKER.finditer(tail))
    if not markers:
        return None
    last = markers[-1]
    answer = _clause(tail[last.end() : last.end() + 2 * LINE])
    if not answer:
        return None
    if len(markers) > 1:
        between = tail[markers[-2].end() : last.start()]
        before = _clause(between)
        if "\n" not in between and any(c.isdigit() for c in before) and normal_form(before) != normal_form(answer):
            return Extracted(None, "several different answers", "marker")
    return Extracted(answer, "marker", "marker")


def _clause(text: str) -> str:
    """The rest of the clause, without the sentence around it."""
    text = text.strip().lstrip("*").strip()
    for opening, closing in (("$$", "$$"), ("\\[", "\\]"), ("\\(", "\\)")):
        if text.startswith(opening):
            inner, found, _ = text[len(opening) :].partition(closing)
            if opening == "\\(" and "\n" in inner:
                return ""  # inline mathematics ends on its line
            return inner.strip() if found else ""
    end = _SENTENCE_END.search(text)
    clause = (text[: end.start()] if end else text).strip()
    clause = clause[_end_of_last(_COPULA, clause) :]
    return clause.strip().strip("*").strip()
