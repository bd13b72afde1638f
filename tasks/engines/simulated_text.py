"""The text of the simulated policy and the random walk behind it: pure, and readable back from the text.

What must stay true: a step's sum is wrong exactly where the walk goes astray; a step that begins with "Wait" mends it; the
padding holds no digit, no box and no step separator, so that only sums and the final box carry meaning.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from functools import lru_cache
from itertools import accumulate
from random import Random
from typing import Final

_STEP: Final = re.compile(r"(?:^|\n\n)(Wait, that was wrong\. )?Step \d+: (\d+) \+ (\d+) = (\d+)\.")
SURE: Final = 12.0
LEAST_SURE: Final = 2.0
_INTEGER: Final = re.compile(r"-?\d{1,18}")
_WORDS: Final = [
    "we",
    "then",
    "check",
    "the",
    "sum",
    "carry",
    "over",
    "add",
    "the",
    "partial",
    "result",
    "to",
    "what",
    "remains",
    "and",
    "look",
    "at",
    "it",
    "again",
    "since",
    "each",
    "term",
    "must",
    "be",
    "counted",
    "once",
    "so",
    "far",
    "this",
    "holds",
    "because",
    "both",
    "sides",
    "agree",
    "now",
    "keep",
    "going",
    "with",
    "the",
    "next",
    "part",
    "of",
    "the",
    "problem",
]


class Walk:
    """The two-state walk over ``steps`` steps, conditioned on where it ends.

    ``error`` is the chance that a sound walk goes astray at a step, ``mend`` that one gone astray is mended.
    """

    def __init__(self, steps: int, error: float, mend: float) -> None:
        self.steps = steps
        stationary = mend / (error + mend)
        rate = 1.0 - error - mend
        # ends_sound[sound][left]: the chance to end sound, with so many steps left
        sound = [stationary + (1.0 - stationary) * rate**left for left in range(steps + 1)]
        astray = [stationary * (1.0 - rate**left) for left in range(steps + 1)]
        self._ends_sound = (astray, sound)
        # turn[right][sound][step]: the chance to change state at a step, given how the walk ends
        self._turn = tuple(
            tuple(
                tuple(
                    (error if now else mend)
                    * _ratio(self._ends(right, not now, steps - step - 1), self._ends(right, bool(now), steps - step))
                    for step in range(steps)
                )
                for now in (0, 1)
            )
            for right in (False, True)
        )

    def _ends(self, right: bool, sound: bool, left: int) -> float:
        chance = self._ends_sound[sound][left]
        return chance if right else 1.0 - chance

    def turn(self, right: bool, step: int, sound: bool) -> float:
        """The chance that ``step`` (0-based) changes the state, in a walk that will end ``right``."""
        return self._turn[right][sound][step]

    def value(self, success: float, done: int, sound: bool) -> float:
        """The chance to end right after ``done`` steps in state ``sound``, by Bayes, where a whole walk has ``success``."""
        if done == 0:
            return success
        left = max(0, self.steps - done)
        right = success * _ratio(self._ends(True, sound, left), self._ends(True, True, self.steps))
        wrong = (1.0 - success) * _ratio(self._ends(False, sound, left), self._ends(False, True, self.steps))
        return _ratio(right, right + wrong)


def _ratio(a: float, b: float) -> float:
    return a / b if b > 0 else 0.0


def is_sound(prefix: str) -> tuple[int, bool]:
    """How many steps ``prefix`` holds, and whether what went wrong in them was mended."""
    done, sound = 0, True
    for match in _STEP.finditer(prefix):
        done += 1
        mended, a, b, c = match.groups()
        if int(a) + int(b) != int(c):
            sound = False
        elif mended:
            sound = True
    return done, sound


def steps_right(text: str) -> list[bool]:
    """For each step of ``text``, whether its sum is right: the oracle of step labels."""
    return [int(a) + int(b) == int(c) for _, a, b, c in _STEP.findall(text)]


def confidences(prefix: str, text: str, width: int) -> tuple[float, ...]:
    """The confidence of each token of ``width`` characters of ``text``, which goes on from ``prefix``: ``SURE`` in a step that
    leaves the text sound, and less with each further step that leaves it astray.
    """
    whole = prefix + text
    starts, states, astray = [0], [SURE], 0
    for match in _STEP.finditer(whole):
        mended, a, b, c = match.groups()
        astray = 0 if int(a) + int(b) == int(c) and (mended or not astray) else astray + 1
        starts.append(match.start())
        states.append(max(LEAST_SURE, SURE - 2.0 * astray))
    return tuple(states[bisect_right(starts, at) - 1] for at in range(len(prefix), len(whole), width))


@lru_cache(maxsize=8)
def pool(share: int) -> tuple[str, Sequence[int]]:
    """A fixed text of at least twice ``share`` characters and the places where its sentences end."""
    rng, sentences, length = Random(0), [], 0
    while length < 2 * share + 65536:
        words = rng.choices(_WORDS, k=rng.randint(6, 14))
        sentence = f"{' '.join(words).capitalize()}. "
        sentences.append(sentence)
        length += len(sentence)
    return "".join(sentences), tuple(accumulate(map(len, sentences)))


def filler(text: str, ends: Sequence[int], share: int, where: int) -> str:
    """About ``share`` characters of whole sentences of ``text``, from a place that ``where`` decides."""
    if share <= 0:
        return ""
    first = where % (len(ends) // 2)
    start = ends[first]
    last = max(first + 1, bisect_left(ends, start + share))
    return text[start : ends[min(last, len(ends) - 1)] - 1]


def wrong_answers(gold: str, which: int, choices: int = 0) -> str:
    """The wrong answer number ``which`` (0-based) to a problem with answer ``gold``; never equal in value to ``gold``."""
    if choices > 1 and len(gold) == 1 and gold.isalpha():
        return chr(65 + (ord(gold.upper()) - 65 + 1 + which % (choices - 1)) % choices)
    offset = which // 2 + 1 if which % 2 == 0 else -(which // 2 + 1)
    if _INTEGER.fullmatch(gold):
        return str(int(gold) + offset)
    return f"{gold} + {which + 1}"
