"""A model asked where a solution first goes wrong: its words are kept, and its opinion is only that.

A judgement is ``learned`` and never verified; it counts beside another source that agrees (consensus filtering). What must
stay true: only an explicit last line decides; a reply without one, or with a step that does not exist, says nothing.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final

from tracemill.tasks.steps.base import FirstError, Source

_SAID: Final = re.compile(r"^\W*first wrong step\W+(none|\d{1,4})\W*$", re.IGNORECASE | re.MULTILINE)

#: From a prompt to the reply, None where there was none.
Ask = Callable[[str], Awaitable[str | None]]


@dataclass(frozen=True, slots=True)
class Judged:
    """``error`` is None both where the judge found no error and where it did not say; ``decided`` tells which."""

    text: str
    decided: bool
    error: FirstError | None


def question(problem: str, steps: Sequence[str]) -> str:
    """The prompt: the steps numbered from 1, and the form that the last line must have."""
    listed = "\n".join(f"[step {number}] {step.strip()}" for number, step in enumerate(steps, 1))
    return (
        f"Problem:\n{problem.strip()}\n\nA solution, step by step:\n{listed}\n\n"
        "Check every step in order against the problem and the steps before it. Say briefly what you find. "
        'Then end with one line: "First wrong step: N", or "First wrong step: none" where every step holds.'
    )


def read(reply: str, steps: int) -> Judged:
    """What a reply says; the last such line counts."""
    lines = _SAID.findall(reply)
    if not lines:
        return Judged(reply, False, None)
    said = lines[-1].lower()
    if said == "none":
        return Judged(reply, True, None)
    number = int(said)
    if not 1 <= number <= steps:
        return Judged(reply, False, None)
    return Judged(reply, True, FirstError(number - 1, Source.JUDGE))


async def judge(ask: Ask, problem: str, steps: Sequence[str]) -> Judged:
    """One judgement of one solution."""
    reply = await ask(question(problem, steps))
    return Judged("", False, None) if reply is None else read(reply, len(steps))


def by_votes(judged: Sequence[Judged], least: int) -> Judged | None:
    """What at least ``least`` of several judgements say alike, as the first of them; None where none has as many (§2.32)."""
    votes: dict[int | None, list[Judged]] = {}
    for one in judged:
        if one.decided:
            votes.setdefault(None if one.error is None else one.error.step, []).append(one)
    most = max(votes.values(), key=len, default=[])
    tied = sum(len(group) == len(most) for group in votes.values()) > 1
    return most[0] if len(most) >= least and not tied else None
