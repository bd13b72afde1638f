r"""Where a response says its answer: extraction, apart from comparison.

What must stay true: an answer is taken only from a place where the response commits to it. In this order: the box
(``\boxed{}``, ``\fbox{}``), a marker (``<answer>``, "the final answer is", ``####``, "Answer:"), a response that is one short line,
a last sentence that concludes ("Therefore, the sum is 7."). The thinking block is never read; one that does not end has no
answer. Different boxes are no answer, unless the text between them takes the earlier back or is long (``FAR``: the boxes of
earlier steps); boxes with nothing but a comma or
"and" between them are the parts of one answer (``several``). A box that a later "the final answer is" contradicts is none.
A response that was cut (``finish_reason`` ``length``) has only a closed box or tag. The last number in the text is never
taken unless asked for. Every path is linear in the length of the response.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from tracemill.schemas.enums import Outcome
from tracemill.verifiers.cardinals import read_cardinal
from tracemill.verifiers.equivalence import normal_form
from tracemill.verifiers.expression import read
from tracemill.verifiers.matching import compare
from tracemill.verifiers.normal import is_words, number, tidy
from tracemill.verifiers.options import Options
from tracemill.verifiers.relation import region, sides
from tracemill.verifiers.structure import parts

How = Literal["box", "marker", "line", "conclusion", "last_number", "none"]

#: A line of plain arithmetic that says its result: ``9 - 3 = 6``.
_COMPUTED: Final = re.compile(r"[\d\s+\-*/×÷^().,]*\d[\d\s+\-*/×÷^().,]*=\s*([-+]?\d[\d,]*(?:\.\d+)?)\s*\.?")

#: Longest response of one line that is taken as the answer itself, in characters.
LINE: Final = 200
#: How far from the end a marker is looked for, in characters.
TAIL: Final = 4000
#: How far behind a box a final answer is looked for that takes it back, in characters.
NEAR: Final = 600
#: Characters of work between two boxes from which on the second is a later step's.
FAR: Final = 200
#: What stands for code that was cut out.
CUT: Final = "\n\f\n"
#: More different boxes than this are not compared: the response does not commit.
BOXES: Final = 64

_THINK_END: Final = re.compile(r"</(?:think|thinking)>")
_THINK: Final = re.compile(r"<(?:think|thinking)>")
_BOX: Final = re.compile(r"\\(?:boxed|fbox)\s{0,4}(?:\{|(?=[0-9A-Za-z+-]))")
_BRACE: Final = re.compile(r"\\.|[{}]", re.DOTALL)
_BARE: Final = re.compile(r"[^\s{}$\\]+")
_RETRACT: Final = re.compile(
    r"\b(?:wait|actually|recheck|re-check|correction|mistake|apologi[sz]e|on second thought|let me (?:re|double|check|try)\w*)\b",
    re.IGNORECASE,
)
_MARKER: Final = re.compile(
    r"####"
    r"|\b(?:final |correct )?answer\b(?: to [^\n.:]{1,80}?)?(?: is|\*{0,2} ?:\*{0,2}| ?=|(?= ?(?:\$|\\[(\[])))\s*:?"
    r"|^\s*(?:\*\*)?A(?:\*\*)?:",
    re.IGNORECASE | re.MULTILINE,
)
_FINAL: Final = re.compile(
    r"####|\b(?:final|correct|my) answer\b(?: is|\*{0,2} ?:\*{0,2})\s*:?|\bthe answer is\b\s*:?", re.IGNORECASE
)
_PROSE: Final = re.compile(r"(?<![\\a-zA-Z])[a-zA-Z]{3,}")
_UNAIDED: Final = Options(symbolic=False)
_SENTENCE_END: Final = re.compile(r"[.;!?](?=\s|$)|\n|<\|")
_COPULA: Final = re.compile(r"\b(?:is|are|equals)\b\s*(?:equal to\s+)?(?=\S)")
_SPAN: Final = re.compile(r"\$\$[^$]+\$\$|\$[^$]+\$|\\\([^$]+?\\\)|\\\[[^$]+?\\\]")
_NEGATION: Final = re.compile(
    r"\b(?:not?|never|neither|nor|or|but|than|instead|except|unless|cannot|wrong|false|incorrect|anything|whether|if)\b|n't\b",
    re.IGNORECASE,
)
_NUMBER: Final = re.compile(r"[-+]?(?:\d[\d,]*\.?\d*|\.\d+)(?:/\d+)?%?")
#: A box to be filled in.
_BLANK: Final = re.compile(
    r"(?:\\(?:[hv]?phantom|hspace)\s*\{[^{}]*\}|\\(?:square|Box|q?quad|[lc]?dots)(?![a-zA-Z])|\\[,;:! ]|[\s?_~.]|\\_)*$"
)
#: What may stand between two boxes of one answer: punctuation, or a few words with "and", and a name for the next box.
_NAME_NEXT: Final = re.compile(r"[a-zA-Z]_?\d?\s*=\s*$")
_ODD: Final = re.compile(r"[^\w\s,;:+&().]")
_DRESS: Final = re.compile(r"\\(?:q?quad|text|mathrm|[,;:!()\[\] ])|[${}\\]")
_CALLS: Final = re.compile(r"<\|code\|>(?:[^<]|<(?!\|text\|>))*(?:<\|text\|>|$)")
_FENCED: Final = re.compile(r"^```(?:python|py|output|sympy|text)\b[^`]*```$", re.MULTILINE)
_CHATTER: Final = re.compile(r"(?:<\|[^<>|]{1,30}\|>\s{0,4}\w{0,10}|I hope it is correct\.?)$")
_DISPLAYED: Final = re.compile(r"[:：]\s*(?:\\\[([^\[\]]{1,200})\\\]|\$\$([^$]{1,200})\$\$)\s*\.?\s*$")
_CONCLUDES: Final = re.compile(r"(?:so|thus|therefore|hence|consequently|finally|in conclusion)\b[, ]", re.IGNORECASE)
_SENTENCE: Final = re.compile(r"(?<=[.!?])\s+(?=[A-Z])|\s+(?=(?:So|Thus|Therefore|Hence)\b)|\n+")
_HEDGE: Final = re.compile(
    r"\b(?:about|around|approximately|roughly|almost|nearly|maybe|perhaps|probably|possibly|might|could|guess|between|either|at least"
    r"|at most|more than|less than|fewer|over|under|up to)\b",
    re.IGNORECASE,
)
#: Words that make another number of the one beside them.
_PLAIN: Final = re.compile(r"[A-Za-z](?:[A-Za-z'\-]*[A-Za-z])?,?|-?\$?[\d,]*\.?\d+%?,?")
_TEXT_BOX: Final = re.compile(r"^\\text\{([^{}]*)\}$")
#: "It is not 10, it's 12": one number put in the place of another.
_CORRECTED: Final = re.compile(
    r"^(?:(?!\b(?:not?|n't)\b)[^\d])*\bnot\b(?:(?!\bnot?\b)[^\d]){1,20}[\d.,]*\d,? (?:but|it's|it is|which is|rather|instead) (?:it is |it's )?(\S+(?: \w+)?)$"
)
_MODIFIES: Final = re.compile(
    r"\b(?:negative|minus|plus|twice|thrice|doubled?|halved?|half|thirds?|quarters?|tripled?|times|squared?|cubed?|roots?|power|log|ln|sin"
    r"|cos|tan|inverse|reciprocal|opposite|sum|product|quotient|difference|multiples?|divided|per|modulo|mod|factorial|hundreds?|thousands?"
    r"|millions?|billions?|dozens?|hundredths?|tenths?|base|out of)\b",
    re.IGNORECASE,
)
_LETTER: Final = re.compile(r"(?:option |choice )?\(?([A-Z])\)?(?:$|[.):,]\s*(.*)$|\s+(.*)$)", re.DOTALL)
_LABEL: Final = re.compile(r"^\s*\(?[A-Z][).:]\s*")


@dataclass(frozen=True, slots=True)
class Extracted:
    """``answer`` as written (a letter where the problem has choices), or None and the ``reason``; ``how`` is the place; ``several`` are the
    boxes that may be the parts of one answer."""

    answer: str | None
    reason: str
    how: How = "none"
    several: tuple[str, ...] = ()


def extract(
    response: str,
    finish_reason: str = "stop",
    last_number: bool = False,
    choices: Sequence[str] | None = None,
    latest: bool = False,
) -> Extracted:
    """The answer that ``response`` commits to.

    ``latest``: of several different answers the last one counts. ``last_number`` allows the last number of the response where nothing else is found. With ``choices`` the answer is
    the letter of one of them, found from the letter or from the choice's own text.
    """
    found = _locate(response, finish_reason, last_number, latest)
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


def _locate(response: str, finish_reason: str, last_number: bool, latest: bool) -> Extracted:
    text = response[_end_of_last(_THINK_END, response) :] if "</think" in response else response
    if "<think" in text and _THINK.search(text):
        return Extracted(None, "the thinking block does not end")
    prose = _without_code(text)
    box = _boxed(prose if "boxed" in prose else text, latest)
    if box is not None:
        return box
    tagged = _tagged(text)
    if tagged is not None:
        return tagged
    if finish_reason == "length":
        return Extracted(None, "cut before the answer was complete")
    tail = _without_chatter(text[-TAIL:])
    marked = _marked(tail, latest)
    if marked is not None:
        return marked
    line = (prose or text).strip()
    if line and len(line) <= LINE and "\n" not in line:
        computed = _COMPUTED.fullmatch(line)
        said = computed[1] if computed else _only_value(line)
        if not last_number or len(said.split()) < 3 or number(tidy(said)) is not None:
            return Extracted(said, "single line", "line")
    concluded = _conclusion(tail)
    if concluded is not None:
        return Extracted(concluded, "conclusion", "conclusion")
    if last_number:
        numbers = _NUMBER.findall(text[-TAIL:])
        if numbers:
            return Extracted(numbers[-1].rstrip(".,"), "last number", "last_number")
    return Extracted(None, "no answer found" if line else "empty response")


def _without_code(text: str) -> str:
    """``text`` without its calls of an interpreter and their results: nothing there is said to the reader."""
    if "<|code|>" in text:
        text = _CALLS.sub(CUT, text)
    if "```" in text:
        text = _FENCED.sub(CUT, text)
    return text


def _without_chatter(tail: str) -> str:
    """``tail`` without what stands behind an answer: a template's marks, a hope."""
    for _ in range(6):
        tail = tail.rstrip()
        match = _CHATTER.search(tail, max(0, len(tail) - 60))
        if match is None:
            break
        tail = tail[: match.start()]
    return tail


def _end_of_last(pattern: re.Pattern[str], text: str) -> int:
    """Where the last match ends; 0 where there is none."""
    return max((match.end() for match in pattern.finditer(text)), default=0)


def _boxed(text: str, latest: bool) -> Extracted | None:
    """The box that the text commits to; None where it has no box at all."""
    if "\\boxed" not in text and "\\fbox" not in text:
        return None
    contents: list[str] = []
    empty, joined = False, True
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
        if contents and (_RETRACT.search(text, previous, match.start()) or _far(text, previous, match.start())):
            contents.clear()
            joined = True
        content = _unwrap(content.strip())
        if not content or _BLANK.match(content):
            empty = True  # "put the answer in \\boxed{}" says nothing
            continue
        if contents and joined:
            between = _DRESS.sub(" ", text[previous : match.start()]) if match.start() - previous <= 80 else "-"
            joined = _joins(between)
        if not contents or content != contents[-1]:
            contents.append(content)
        if len(contents) > BOXES:
            return Extracted(None, "too many different boxes", "box")
    if not contents:
        return Extracted(None, "the box is empty", "box") if empty else None
    last = contents[-1]
    later = _final(text[end : end + NEAR])
    if latest:
        return Extracted(later or last, "last answer", "box")
    if any(_contradicts(last, content) for content in contents[:-1]):
        several = tuple(contents) if joined else ()
        return Extracted(None, "several different boxes", "box", several)
    if later is not None and is_words(later) <= is_words(tidy(last)) and _contradicts(later, last):
        return Extracted(None, "the box and the final answer differ", "box")
    return Extracted(_only_value(last), "box", "box")


def _far(text: str, end: int, start: int) -> bool:
    """Whether a box is so far behind the one before it, and on another line, or behind a run of code, that it is a later step
    and no second answer."""
    return text.find(CUT, end, start) >= 0 or (start - end > FAR and text.find("\n", end, start) >= 0)


def _joins(between: str) -> bool:
    """Whether two boxes with this between them are two parts of one answer."""
    words = _NAME_NEXT.sub("", between)
    if _ODD.search(words) or "\n\n" in words:
        return False
    said = re.findall(r"[a-z]+", words.lower())
    return not said or (len(said) <= 6 and "and" in said and not _NEGATION.search(words))


def _final(text: str) -> str | None:
    """What a final answer after the box says; None where there is none, or it is no value that we read."""
    if "nswer" not in text and "####" not in text:
        return None
    markers = list(_FINAL.finditer(text))
    said = tidy(_clause(text[markers[-1].end() : markers[-1].end() + 2 * LINE])) if markers else ""
    if not said or said.count("$") > 1:
        return None
    return said if number(said) is not None or is_words(said) or not _PROSE.search(said) or _stated(said) else None


def _stated(text: str) -> bool:
    """Whether ``text`` is a list, an equation or a region with at most a few words in it."""
    return len(_PROSE.findall(text)) < 4 and (
        parts(text) is not None or region(text) is not None or sides(text) is not None
    )


def _contradicts(final: str, box: str) -> bool:
    """Whether two answers of one response are different ones."""
    return normal_form(final) != normal_form(box) and compare(box, final, _UNAIDED).outcome is not Outcome.CORRECT


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


def _conclusion(tail: str) -> str | None:
    """What a last sentence that concludes says that something is; None where it is no value, or hedged.

    A formula on its own that ends the text behind a colon is such a sentence too.
    """
    displayed = _DISPLAYED.search(tail)
    if displayed is not None:
        return (displayed[1] or displayed[2]).strip()
    sentence = _SENTENCE.split(tail.strip())[-1].strip()
    if (
        not _CONCLUDES.match(sentence)
        or _NEGATION.search(sentence)
        or _HEDGE.search(sentence)
        or len(sentence) > 2 * LINE
    ):
        return None
    copulas = list(_COPULA.finditer(sentence))
    if copulas:
        clause = sentence[copulas[-1].end() :].strip().rstrip(".!").strip()
        spans = list(_SPAN.finditer(clause))
        if len(spans) == 1 and spans[0][0] == clause:
            return clause
        said = tidy(clause)
        if number(said) is not None or (len(said) <= 60 and not is_words(said) and read(said) is not None):
            return clause
    only = _only_value(sentence)
    return only if only != sentence else None


def _only_value(line: str) -> str:
    """The one formula or number of a line of prose without a negation or a hedge; else the line."""
    line = _TEXT_BOX.sub(lambda match: match[1].replace("\\$", "$"), line)
    formula = _only_span(line)
    corrected = _CORRECTED.search(line)
    if corrected is not None and number(tidy(corrected[1])) is not None:
        return corrected[1]
    if formula != line or _NEGATION.search(line) or _HEDGE.search(line) or any(c in line for c in "\\=^_{}()+*<>/"):
        return formula
    words = line.rstrip(".").split()
    if len(words) < 3 or not all(_PLAIN.fullmatch(word) for word in words):
        return line
    values = {place: word.rstrip(",") for place, word in enumerate(words) if any(map(str.isdigit, word))}
    for place, word in enumerate(words):
        spelled = read_cardinal(word.rstrip(","))
        if spelled is not None and spelled > 1:
            values[place] = str(spelled)
    if len(values) != 1 or _modified(words, *values):
        return line
    ((place, said),) = values.items()
    counted = " ".join((said, *words[place + 1 : place + 2])).rstrip(",")
    if number(counted) is not None:
        return counted
    return said if said.endswith("%") or place == len(words) - 1 else line


def _modified(words: Sequence[str], place: int) -> bool:
    """Whether words beside the one at ``place`` make another number of it; those before a copula do not."""
    copulas = [p for p, word in enumerate(words[:place]) if word.lower() in ("is", "are", "equals", "was", "were")]
    return (
        _MODIFIES.search(" ".join((*words[copulas[-1] + 1 if copulas else 0 : place], *words[place + 1 :]))) is not None
    )


def _only_span(line: str) -> str:
    """The one formula of a line of prose without digits or a negation; else the line."""
    spans = list(_SPAN.finditer(line))
    if len(spans) != 1 or _HEDGE.search(line):
        return line
    outside = line[: spans[0].start()] + " " + line[spans[0].end() :]
    if _modified(
        [*line[: spans[0].start()].split(), "", *line[spans[0].end() :].split()], len(line[: spans[0].start()].split())
    ):
        return line
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


def _marked(tail: str, latest: bool) -> Extracted | None:
    """What stands behind the last marker; None where there is no marker."""
    markers = list(_MARKER.finditer(tail))
    if not markers:
        return None
    last = markers[-1]
    answer = _clause(tail[last.end() : last.end() + 2 * LINE])
    if not answer:
        return None
    if len(markers) > 1 and not latest:
        between = tail[markers[-2].end() : last.start()]
        before = _clause(between)
        if "\n" not in between and any(c.isdigit() for c in before) and normal_form(before) != normal_form(answer):
            return Extracted(None, "several different answers", "marker")
    return Extracted(_only_value(answer), "marker", "marker")


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
