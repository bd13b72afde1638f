"""A draft written again by a model, paragraph by paragraph, and kept only where it still says the same (algorithms §2.20).

What must stay true of a rewrite: it has the draft's paragraphs in the draft's order, so that it has the draft's segments;
each keeps the draft paragraph's numbers and names; the last keeps the answer, and no earlier one says it unless the
draft's did.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, replace
from typing import Final

from tracemill.schemas.enums import SegmentKind
from tracemill.tasks.linearize.base import Segment, Stream
from tracemill.tasks.linearize.prose import BREAK

#: What the linearizer of a rewrite is called after its draft's.
SUFFIX: Final = "_rewrite"
#: The least share of a paragraph's numbers and names that its rewrite must have.
RECALL: Final = 0.9
#: What a model is asked; the draft is the mark ``draft``.
QUESTION: Final = (
    "{{problem}}\n\nBelow is the draft of somebody's thinking about this problem, in paragraphs. Write the draft again so that "
    "it reads as one natural train of thought. Keep every paragraph, in the same order, one for one, with a blank line "
    "between two; keep every number, formula and wrong turn; add no new step, and do not say the answer before the draft "
    "does. Write the new text alone.\n\n{{draft}}"
)
_NUMBER: Final = re.compile(r"\d+(?:[.,]\d+)*")
_NAME: Final = re.compile(r"(?<![.!?]\s)(?<!^)\b[A-Z][a-zA-Z]{2,}\b", re.MULTILINE)
_BOX: Final = re.compile(r"\\boxed\s*\{([^{}]*)\}")


@dataclass(frozen=True, slots=True)
class Rewritten:
    """The rewrite as a stream, or why there is none (a ``drops`` reason); ``recall`` is that of its poorest paragraph."""

    stream: Stream | None
    reason: str | None = None
    recall: float | None = None


def accepted(draft: Stream, said: str, recall: float = RECALL) -> Rewritten:
    """``said`` as the rewrite of ``draft``, with the draft's segments; without a stream where it does not say the same."""
    before = draft.text.split(BREAK)
    after = [part.strip("\n") for part in re.split(r"\n[ \t]*\n\s*", said.strip()) if part.strip()]
    if len(before) != len(after):
        return Rewritten(None, "rewrite_paragraphs")
    least = min(recall_of(a, b) for a, b in zip(before, after, strict=True))
    if least < recall:
        return Rewritten(None, "rewrite_lost_steps", least)
    last = _committed(draft)
    answer = answer_of(before[last])
    if answer is not None:
        if answer_of(after[last]) != answer:
            return Rewritten(None, "rewrite_lost_answer", least)
        leaks = (_says(b, answer) and not _says(a, answer) for a, b in zip(before[:last], after[:last], strict=True))
        if any(leaks):
            return Rewritten(None, "rewrite_leaks_answer", least)
    return Rewritten(_with_segments(draft, before, after), None, least)


def _committed(draft: Stream) -> int:
    """The paragraph in which ``draft`` reaches its goal; a phrase that calls it right may follow."""
    starts = [segment.start for segment in draft.segments if segment.kind is SegmentKind.FINAL]
    return draft.text.count(BREAK, 0, starts[0]) if starts else draft.text.count(BREAK)


def draft_name(linearizer: str) -> str | None:
    """What the draft of a rewrite is told by; None for what is no rewrite."""
    return linearizer.removesuffix(SUFFIX) if linearizer.endswith(SUFFIX) else None


def recall_of(before: str, after: str) -> float:
    """The share of the numbers and names of ``before``, as a multiset, that ``after`` has too; 1 where there are none."""
    wanted, found = _entities(before), _entities(after)
    total = wanted.total()
    return 1.0 if total == 0 else (wanted & found).total() / total


def answer_of(text: str) -> str | None:
    """What ``text`` puts in its last box, else its last number; None where it has neither."""
    boxes = _BOX.findall(text)
    if boxes:
        return str(boxes[-1]).strip()
    numbers = _NUMBER.findall(text)
    return str(numbers[-1]) if numbers else None


def _says(text: str, answer: str) -> bool:
    return re.search(rf"(?<!\w){re.escape(answer)}(?!\w)", text) is not None


def _entities(text: str) -> Counter[str]:
    return Counter(_NUMBER.findall(text)) + Counter(_NAME.findall(text))


def _with_segments(draft: Stream, before: list[str], after: list[str]) -> Stream:
    """The rewritten text, cut where the draft is cut: a boundary between paragraphs stays there, one inside a paragraph goes
    to the paragraph's end.
    """
    place: dict[int, int] = {0: 0}
    old = new = 0
    for a, b in zip(before, after, strict=True):
        inside = range(old + 1, old + len(a) + len(BREAK) + 1)
        old, new = inside.stop - 1, new + len(b) + len(BREAK)
        place[old] = new
    length, total = len(draft.text), new - len(BREAK)
    place[length] = total

    def moved(at: int) -> int:
        while at not in place:
            at += 1
        return min(place[at], total)

    segments = tuple(
        Segment(start, end, s.kind, s.node_id)
        for s in draft.segments
        if (start := moved(s.start)) < (end := moved(s.end))
    )
    spans = tuple((start, end) for a, b in draft.loss_spans if (start := moved(a)) < (end := moved(b)))
    return replace(
        draft, linearizer=draft.linearizer + SUFFIX, text=BREAK.join(after), segments=segments, loss_spans=spans
    )
