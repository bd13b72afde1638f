"""The banks of phrases between the steps of a told search, and how a stream draws from them.

What must stay true: every phrase can be recognised, and its parts read back; a bank has 64 phrases and one stream uses at
most ``PALETTE`` of each, so over many streams no phrase is in more than a tenth of them, however often a stream turns
back; the same tree gives the same phrases.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from typing import Final

from tracemill.tasks.search.rng import SplitMix

#: How many phrases of each bank one stream uses.
PALETTE: Final = 3
#: Longest quotation of a step that is gone back to, in characters.
QUOTED: Final = 60


def _bank(first: Sequence[str], second: Sequence[str]) -> tuple[str, ...]:
    return tuple(f"{a} {b}" for a, b in product(first, second))


#: Something went wrong; a reason may follow.
DOUBTS: Final = _bank(
    ("Wait,", "Hmm,", "Hold on,", "No,", "Actually,", "Looking at it again,", "On reflection,", "Let me stop here:"),
    (
        "this does not work.",
        "that cannot be right.",
        "this leads nowhere.",
        "something is off.",
        "this line is a dead end.",
        "I took a wrong turn.",
        "that is not the way.",
        "this will not get there.",
    ),
)
#: Where to go on from; ``{step}`` is the step that is gone back to.
RETURNS: Final = _bank(
    (
        "Let me go back to {step}",
        "I return to {step}",
        "Going back to {step}",
        "I pick it up again at {step}",
        "Back to {step}",
        "I undo everything after {step}",
        "Let me start again from {step}",
        "I keep what I had up to {step}",
    ),
    (
        "and try another way.",
        "and take a different turn.",
        "and see what else there is.",
        "and do it differently.",
        "and look for another step.",
        "and try the next idea.",
        "and think again.",
        "and change what comes next.",
    ),
)
#: An end that was checked and is wrong.
WRONG: Final = _bank(
    (
        "Checking this result:",
        "Does this hold up?",
        "Let me test that.",
        "I check the end of this line:",
        "Is that what was asked for?",
        "Comparing with the question:",
        "A quick check:",
        "Let me verify it.",
    ),
    (
        "it is not right.",
        "it fails.",
        "it does not fit.",
        "no, it is wrong.",
        "this is not the answer.",
        "it does not hold.",
        "this misses the goal.",
        "that is not it.",
    ),
)
#: An end that was checked and is right.
RIGHT: Final = _bank(
    (
        "Checking this result:",
        "Does this hold up?",
        "Let me test that.",
        "I check the end of this line:",
        "Is that what was asked for?",
        "Comparing with the question:",
        "A quick check:",
        "Let me verify it.",
    ),
    (
        "it is right.",
        "it holds.",
        "it fits.",
        "yes, it is correct.",
        "this is the answer.",
        "everything agrees.",
        "this reaches the goal.",
        "that is it.",
    ),
)
BEGINNING: Final = "the beginning"
_STEP: Final = r'(?:step (?P<number>[1-9]\d*)(?:, (?P<quote>"(?:[^"\\\n]|\\[^\n])*"),)?|the beginning)'


@dataclass(frozen=True, slots=True)
class Return:
    """A "go back": to step ``number`` (0: the beginning), which is said to begin with ``quote``."""

    number: int
    quote: str | None
    reason: str


class Palette:
    """The phrases of one stream: a few of each bank, chosen by ``seed``, then drawn in turn."""

    def __init__(self, seed: int) -> None:
        self._rng = SplitMix(seed)
        self._few = {bank: self._rng.sample(list(bank), PALETTE) for bank in (DOUBTS, RETURNS, WRONG, RIGHT)}

    def draw(self, bank: tuple[str, ...]) -> str:
        few = self._few[bank]
        return few[self._rng.below(len(few))]


def place_of(number: int, step: str | None = None) -> str:
    """How step ``number`` is named, with the beginning of its text where ``step`` gives it."""
    if number == 0:
        return BEGINNING
    if step is None:
        return f"step {number}"
    return f"step {number}, {json.dumps(quoted(step), ensure_ascii=False)},"


def quoted(step: str) -> str:
    """The beginning of ``step`` on one line."""
    return " ".join(step.split())[:QUOTED].rstrip()


def read_return(block: str) -> Return | None:
    """The parts of a "go back" block; None for any other text."""
    found = _returns().fullmatch(block)
    if found is None:
        return None
    number, quote = found["number"], found["quote"]
    try:
        said = None if quote is None else str(json.loads(quote))
    except ValueError:
        return None
    return Return(0 if number is None else int(number[:9]), said, (found["reason"] or "").strip())


def is_wrong(block: str) -> bool:
    return block in _set(WRONG)


def is_right(block: str) -> bool:
    return block in _set(RIGHT)


@lru_cache(maxsize=4)
def _set(bank: tuple[str, ...]) -> frozenset[str]:
    return frozenset(bank)


@lru_cache(maxsize=1)
def _returns() -> re.Pattern[str]:
    doubts = "|".join(re.escape(phrase) for phrase in DOUBTS)
    heads = sorted({phrase.split("{step}")[0] for phrase in RETURNS})
    tails = sorted({phrase.split("{step}")[1] for phrase in RETURNS})
    head, tail = ("|".join(re.escape(part) for part in parts) for parts in (heads, tails))
    return re.compile(rf"(?:{doubts})(?P<reason> [^\n]*?)? (?:{head}){_STEP}(?:{tail})")
