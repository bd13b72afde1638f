"""Judgements in words, to train a verifier that reasons (GenRM, arXiv 2408.15240).

What must stay true: a critique is kept where its verdict agrees with the label; yes and no are near to balanced; no kept one
copies the reference solution. The critic here is exact arithmetic; a judge's words come in by the same door.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

from tracemill.schemas import ids
from tracemill.tasks.equations import equations, false_equations
from tracemill.tasks.mining.drawn import Attempt, Drawn
from tracemill.tasks.steps.base import Source

CORRECT: Final = "correct"
INCORRECT: Final = "incorrect"

#: The larger class of a set has at most this share.
BALANCE: Final = 0.6
#: Words in a run that a critique may share with the reference solution.
LONGEST_COPY: Final = 12

_WORD: Final = re.compile(r"\w+")

Row = dict[str, Any]


def critique(subject: str, text: str, verdict: str, label: str) -> Row:
    """One row of ``critiques``; ``agrees`` where the verdict is the label."""
    return {
        "critique_id": ids.digest("crit", subject, text),
        "subject_id": subject,
        "text": text,
        "verdict": verdict,
        "label": label,
        "agrees": verdict == label,
    }


def critiques(drawn: Drawn) -> list[Row]:
    """What exact arithmetic has to say about the attempts of one problem; as many right ones as wrong ones at the most."""
    wrong = {}
    for pair in drawn.pairs:
        error = pair.error
        step = "" if error is None else pair.wrong.steps.texts[error.step].strip()
        if error is not None and error.source in (Source.ARITHMETIC, Source.CONSENSUS) and false_equations(step):
            said = f"Step {error.step + 1} says: {step[:400]}\nWorked out, this does not hold. The solution is not correct."
            wrong[pair.wrong.trace_id] = critique(pair.wrong.trace_id, said, INCORRECT, INCORRECT)
    right = [row for row in map(_praise, drawn.rights) if row is not None]
    return [*wrong.values(), *right[: len(wrong)]]


def _praise(attempt: Attempt) -> Row | None:
    found = equations(attempt.text)
    if not found or false_equations(attempt.text):
        return None
    listed = "; ".join(found[:12])
    said = f"The equations that can be worked out hold: {listed}. No step is wrong. The solution is correct."
    return critique(attempt.trace_id, said, CORRECT, CORRECT)


def kept(rows: Sequence[Row], reference: str | None = None) -> list[Row]:
    """The rows that agree with their label and do not copy ``reference``, balanced to at most ``BALANCE``."""
    fit = [row for row in rows if row["agrees"] and not copies(row["text"], reference or "")]
    by_label = {label: [row for row in fit if row["label"] == label] for label in (CORRECT, INCORRECT)}
    small = min(map(len, by_label.values()))
    most = int(small * BALANCE / (1 - BALANCE))
    return [row for label in by_label for row in by_label[label][: max(most, small)]]


def copies(text: str, reference: str) -> bool:
    """Whether ``text`` holds ``LONGEST_COPY`` words of ``reference`` in a row."""
    said, held = _WORD.findall(text.lower()), _WORD.findall(reference.lower())
    runs = {tuple(held[i : i + LONGEST_COPY]) for i in range(len(held) - LONGEST_COPY + 1)}
    return any(tuple(said[i : i + LONGEST_COPY]) in runs for i in range(len(said) - LONGEST_COPY + 1))
