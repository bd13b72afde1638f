"""Majority vote: what the attempts at one problem agree on, where there is no gold answer or beside it.

What must stay true: answers vote by equivalence class, so that re-formatting one changes nothing; an attempt without an
answer has no vote; a tie is flagged; and the verdicts carry level ``pseudo``: an opinion, never a rule's ``correct``
(self-consistency, Wang et al. 2203.11171 §2; algorithms §2.2).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from tracemill.schemas.enums import Level, Outcome
from tracemill.schemas.ids import digest
from tracemill.verifiers.base import Judgement, Verdict
from tracemill.verifiers.normal import normal_form, number, tidy

NAME: Final = "consensus"
VERSION: Final = "1"


@dataclass(frozen=True, slots=True)
class Vote:
    """``classes``: votes by class key. ``winner``: the key with most votes, the first to appear where ``tied``; None
    where nobody voted. ``share``: its part of the votes cast, in [0, 1]. ``keys``: each attempt's class, None without an
    answer."""

    classes: Mapping[str, int]
    winner: str | None
    share: float
    tied: bool
    keys: tuple[str | None, ...]

    @property
    def margin(self) -> float:
        """The winner's share less that of the next class."""
        counts = sorted(self.classes.values(), reverse=True)
        return (counts[0] - (counts[1] if len(counts) > 1 else 0)) / sum(counts) if counts else 0.0


def vote(answers: Sequence[str | None]) -> Vote:
    """The vote of ``answers`` (as extracted) by equivalence class.

    Where at most one unit occurs among the answers, a missing unit is the same unit: "18" and "18 cm" vote together.
    """
    keys = _classes(answers)
    counts = Counter(key for key in keys if key is not None)
    if not counts:
        return Vote({}, None, 0.0, False, keys)
    winner, most = max(counts.items(), key=lambda item: item[1])  # of equal counts the first to appear
    tied = sum(count == most for count in counts.values()) > 1
    return Vote(dict(counts), winner, most / counts.total(), tied, keys)


def _classes(answers: Sequence[str | None]) -> tuple[str | None, ...]:
    keys = [None if answer is None else normal_form(answer) for answer in answers]
    numbers = [None if answer is None else number(tidy(answer)) for answer in answers]
    units = {n.unit for n in numbers if n is not None and n.unit is not None}
    if len(units) == 1:
        keys = [key if n is None or n.unit is None else f"n:{n.value}" for key, n in zip(keys, numbers, strict=True)]
    return tuple(keys)


def consensus_verdicts(subjects: Sequence[tuple[str, str, str | None]]) -> list[Verdict]:
    """One verdict for each (trace id, problem id, extracted answer), in order.

    ``correct`` for the winner's class, ``incorrect`` for the others, ``unparsed`` without an answer; level ``pseudo``;
    ``score`` is the class's share of the votes. The evidence says share, margin, voters and whether the vote was tied.
    """
    by_problem: dict[str, list[int]] = defaultdict(list)
    for place, (_, problem, _) in enumerate(subjects):
        by_problem[problem].append(place)
    config = digest("c", NAME, VERSION)[2:]
    verdicts: dict[int, Verdict] = {}
    for problem, places in by_problem.items():
        found = vote([subjects[place][2] for place in places])
        total = sum(found.classes.values())
        cast = digest("i", problem, sorted(found.classes.items()))[2:]
        for place, key in zip(places, found.keys, strict=True):
            verdicts[place] = Verdict(
                subjects[place][0],
                NAME,
                VERSION,
                config,
                digest("i", cast, key)[2:],
                _judgement(found, key, total, subjects[place][2]),
                Level.PSEUDO,
                "python",
                "none",
            )
    return [verdicts[place] for place in range(len(subjects))]


def _judgement(found: Vote, key: str | None, total: int, answer: str | None) -> Judgement:
    evidence = {"share": found.share, "margin": found.margin, "voters": total, "tied": found.tied}
    if key is None:
        return Judgement(Outcome.UNPARSED, "no answer, no vote", evidence=evidence)
    outcome = Outcome.CORRECT if key == found.winner else Outcome.INCORRECT
    reason = ("with" if key == found.winner else "against") + " the majority" + (" (tied)" if found.tied else "")
    return Judgement(outcome, reason, found.classes[key] / total, answer, evidence)
