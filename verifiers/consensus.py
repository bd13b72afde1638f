"""Majority vote: what the attempts at one problem agree on, where there is no gold answer or beside it.

What must stay true: answers vote by equivalence class, so that re-formatting one changes nothing; an attempt without an
answer has no vote; a tie, too few voters or too small a share is no consensus, and then nobody is right or wrong; the
verdicts carry level ``pseudo`` and name the answer that they go by: an opinion, never a rule's ``correct``
(self-consistency, Wang et al. 2203.11171 §2; thresholds: algorithms §2.2).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Final

from tracemill.schemas.enums import Level, Outcome
from tracemill.schemas.errors import UsageError, refuse_unknown
from tracemill.schemas.ids import digest
from tracemill.verifiers.base import Candidate, Judgement, Verdict, Verifier
from tracemill.verifiers.equivalence import normal_form
from tracemill.verifiers.extract import extract
from tracemill.verifiers.normal import number, tidy

NAME: Final = "consensus"
VERSION: Final = "2"


@dataclass(frozen=True, slots=True)
class Options:
    """``share`` of the votes, in (0, 1], that the winner needs, of at least ``voters`` votes. ``all``: problems that have a
    gold answer vote too."""

    share: float = 0.5
    voters: int = 16
    all: bool = False

    def __post_init__(self) -> None:
        if isinstance(self.share, bool) or not isinstance(self.share, int | float) or not 0 < self.share <= 1:
            raise UsageError(f"option share must be a number in (0, 1], not {self.share!r}")
        if type(self.voters) is not int or self.voters < 1:
            raise UsageError(f"option voters must be a whole number of at least 1, not {self.voters!r}")
        if not isinstance(self.all, bool):
            raise UsageError(f"option all must be true or false, not {self.all!r}")


def read_options(given: Mapping[str, Any]) -> Options:
    """``given`` as ``Options``. Raises UsageError for an unknown key or an impossible value."""
    refuse_unknown(given, (f.name for f in fields(Options)), "the consensus verifier")
    return Options(**given)


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
    label: str | None = None  # the winner as most of its voters wrote it

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
    written = Counter(answer for answer, key in zip(answers, keys, strict=True) if answer is not None and key == winner)
    label = min(written, key=lambda answer: (-written[answer], len(answer), answer))
    return Vote(dict(counts), winner, most / counts.total(), tied, keys, label)


def _classes(answers: Sequence[str | None]) -> tuple[str | None, ...]:
    keys = [None if answer is None else normal_form(answer) for answer in answers]
    numbers = [None if answer is None else number(tidy(answer)) for answer in answers]
    units = {n.unit for n in numbers if n is not None and n.unit is not None}
    if len(units) == 1:
        keys = [key if n is None or n.unit is None else f"n:{n.value}" for key, n in zip(keys, numbers, strict=True)]
    return tuple(keys)


def consensus_verdicts(
    subjects: Sequence[tuple[str, str, str | None]], verifier: Verifier | None = None
) -> list[Verdict]:
    """One verdict for each (trace id, problem id, extracted answer), in order, under the thresholds of ``verifier``.

    ``correct`` for the winner's class, ``incorrect`` for the others, ``unparsed`` without an answer and, for all of a
    problem, where there is no consensus; ``score`` is the class's share of the votes. The evidence says the label and its
    source, share, margin, voters, and whether the vote was tied.
    """
    verifier = verifier or consensus()
    options = read_options(verifier.config)
    by_problem: dict[str, list[int]] = defaultdict(list)
    for place, (_, problem, _) in enumerate(subjects):
        by_problem[problem].append(place)
    verdicts: dict[int, Verdict] = {}
    for problem, places in by_problem.items():
        answers = [subjects[place][2] for place in places]
        found = vote(answers)
        cast = digest("i", problem, sorted(found.classes.items()))[2:]
        for place, key, answer in zip(places, found.keys, answers, strict=True):
            judgement = _judgement(found, key, answer, options)
            verdicts[place] = verifier.verdict(subjects[place][0], digest("i", cast, key)[2:], judgement)
    return [verdicts[place] for place in range(len(subjects))]


def check(candidate: Candidate, config: Mapping[str, Any]) -> Judgement:
    """Whether the answer of one response is what ``spec["answers"]``, those of all attempts, agree on."""
    answers = candidate.spec.get("answers")
    if not isinstance(answers, list) or not all(isinstance(a, str | None) for a in answers):
        return Judgement(Outcome.ERROR, "the spec has no list of answers to vote")
    own = extract(candidate.response, candidate.finish_reason, choices=candidate.choices).answer
    key = _classes([*answers, own])[-1]
    return _judgement(vote(answers), key, own, read_options(config))


def _judgement(found: Vote, key: str | None, answer: str | None, options: Options) -> Judgement:
    total = sum(found.classes.values())
    evidence: dict[str, Any] = {
        "share": found.share,
        "margin": found.margin,
        "voters": total,
        "tied": found.tied,
        "source": NAME,
    }
    if total < options.voters or found.share < options.share or found.tied:
        votes = max(found.classes.values(), default=0)
        wanted = f"{options.share:g} of at least {options.voters} is asked for"
        tied = ", tied" if found.tied else ""
        return Judgement(Outcome.UNPARSED, f"no consensus: {votes} of {total} votes{tied}; {wanted}", evidence=evidence)
    evidence["label"] = found.label
    if key is None:
        return Judgement(Outcome.UNPARSED, "no answer, no vote", evidence=evidence)
    with_it = key == found.winner
    outcome = Outcome.CORRECT if with_it else Outcome.INCORRECT
    reason = f"{'with' if with_it else 'against'} the majority"
    return Judgement(outcome, reason, found.classes.get(key, 0) / total, answer, evidence)


def consensus(options: Mapping[str, Any] | None = None) -> Verifier:
    """The ``consensus`` verifier with these options. Raises UsageError for an unknown one."""
    given = dict(options or {})
    read_options(given)
    return Verifier(NAME, VERSION, check, given, Level.PSEUDO)
