"""The pure parts of reward models: what they are shown, how their answers are read, and how step scores become one.

What must stay true: there are as many scores as steps or there is no verdict; a step cannot bring a step tag or a
conversation's mark of its own; a text that does not fit the model has no score; every step score is kept, so that the
aggregation can be chosen again; the level is ``learned`` whatever the score.

Formats (verifiers §D.1): ``qwen`` (Qwen2.5-Math-PRM: steps joined by ``<extra_0>``, a row [bad, good] a step), ``shepherd``
(Math-Shepherd: " ки" after each step, a row [good, bad]), ``rlhflow`` (a causal model says + or - after each step), ``orm``
(one number for the whole response).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Final

from tracemill.schemas.enums import Level, Outcome
from tracemill.schemas.errors import UsageError, refuse_unknown
from tracemill.verifiers.base import Candidate, Judgement, Verifier

NAME: Final = "reward"
VERSION: Final = "1"
#: The key of a verifier's configuration that says which model is asked.
MODEL: Final = "model"

FORMATS: Final = ("qwen", "shepherd", "rlhflow", "orm")
AGGREGATIONS: Final = ("min", "product", "last", "mean")
QWEN_TAG: Final = "<extra_0>"
SHEPHERD_TAG: Final = "ки"
QWEN_SYSTEM: Final = "Please reason step by step, and put your final answer within \\boxed{}."

#: How far two probabilities that should sum to one may be from it: bfloat16 keeps 8 bits.
_SLACK: Final = 0.02


@dataclass(frozen=True, slots=True)
class Options:
    """``aggregate``: how step scores become one (``min``, ``product``, ``last``, ``mean``). ``threshold``: the least that is
    accepted. ``part``: the ``whole`` response, or what follows the thinking (``final``). ``task``: vLLM's pooling task, where
    the format's own is not the server's."""

    format: str = "qwen"
    aggregate: str = "min"
    threshold: float = 0.5
    part: str = "whole"
    task: str | None = None

    def __post_init__(self) -> None:
        allowed = {"format": FORMATS, "aggregate": AGGREGATIONS, "part": ("whole", "final")}
        for name, values in allowed.items():
            if getattr(self, name) not in values:
                raise UsageError(f"option {name} must be one of {', '.join(values)}, not {getattr(self, name)!r}")
        if isinstance(self.threshold, bool) or not isinstance(self.threshold, int | float):
            raise UsageError(f"option threshold must be a number, not {self.threshold!r}")


def read_options(given: Mapping[str, Any]) -> Options:
    """``given`` as ``Options``. Raises UsageError for an unknown key or an impossible value."""
    refuse_unknown(given, (MODEL, *(f.name for f in fields(Options))), "the reward verifier")
    own = {key: value for key, value in given.items() if key != MODEL}
    return Options(**own)


def reward(options: Mapping[str, Any] | None = None) -> Verifier:
    """The reward model as a verifier: its name, version and options."""
    given = dict(options or {})
    read_options(given)
    return Verifier(NAME, VERSION, read_check, given, Level.LEARNED, backend="model", isolation="none")


@dataclass(frozen=True, slots=True)
class Shown:
    """What a reward model is asked about one response: ``messages`` or ``prompt``, vLLM's pooling ``task``, and how many
    marks were taken out of the text because they would have been the model's own."""

    messages: tuple[Mapping[str, str], ...] = ()
    prompt: str = ""
    task: str = ""
    escaped: int = 0


def shown(problem: str, steps: Sequence[str], options: Options) -> list[Shown]:
    """What is asked about ``steps``: one request, or one a step (``rlhflow``)."""
    texts, escaped = [], 0
    for text in (problem, *steps):
        clean = _clean(text, options.format)
        escaped += clean != text
        texts.append(clean.strip())
    question, cleaned = texts[0], texts[1:]
    match options.format:
        case "qwen":
            said = "".join(step + QWEN_TAG for step in cleaned)
            turns = _turns(("system", QWEN_SYSTEM), ("user", question), ("assistant", said))
            return [Shown(turns, task=options.task or "token_classify", escaped=escaped)]
        case "shepherd":
            said = "\n".join(f"{step} {SHEPHERD_TAG}" for step in cleaned)
            return [Shown(prompt=f"{question} {said}", task=options.task or "token_classify", escaped=escaped)]
        case "rlhflow":
            asked: list[tuple[str, str]] = []
            found = []
            for place, step in enumerate(cleaned):
                asked.append(("user", f"{question} {step}" if place == 0 else step))
                found.append(Shown(_turns(*asked), escaped=escaped))
                asked.append(("assistant", "+"))
            return found
    turns = _turns(("user", question), ("assistant", "\n\n".join(cleaned)))
    return [Shown(turns, task=options.task or "classify", escaped=escaped)]


def _turns(*turns: tuple[str, str]) -> tuple[Mapping[str, str], ...]:
    return tuple({"role": role, "content": content} for role, content in turns)


def _clean(text: str, kind: str) -> str:
    """``text`` without the marks by which the model counts steps or tells turns apart."""
    clean = text.replace("<|", "< |").replace("[INST]", "[ INST]").replace("[/INST]", "[ /INST]")
    if kind == "qwen":
        clean = clean.replace(QWEN_TAG, "<extra 0>")
    return clean.replace(SHEPHERD_TAG, "к и") if kind == "shepherd" else clean


class Unreadable(Exception):
    """The server's answer is not one score a step: the model, the format or the pooling configuration is not the right one."""


def scores_in(pooled: Any, steps: int, options: Options) -> list[float]:
    """One score a step from what vLLM's pooling gave (``data[0].data``); one alone for ``orm``.

    Raises Unreadable where the numbers are not as many as the steps, or are no probabilities.
    """
    rows = pooled if isinstance(pooled, list) else [pooled]
    if options.format == "orm":
        flat = [value for row in rows for value in (row if isinstance(row, list) else [row])]
        if len(flat) != 1:
            raise Unreadable(f"{len(flat)} scores for one response")
        return [float(flat[0])]
    if len(rows) != steps:
        raise Unreadable(f"{len(rows)} scores for {steps} steps")
    good = 0 if options.format == "shepherd" else 1
    found = []
    for row in rows:
        if not isinstance(row, list) or len(row) != 2:
            raise Unreadable("a step's score is not a pair of numbers")
        if not (all(-_SLACK <= value <= 1 + _SLACK for value in row) and abs(sum(row) - 1) <= _SLACK):
            raise Unreadable("a step's scores are no probabilities: the pooler's activation is off")
        found.append(min(1.0, max(0.0, float(row[good]))))
    return found


def p_plus(top: Mapping[str, float]) -> float | None:
    """p(+) / (p(+) + p(-)) from the log-probabilities of the first token; None where neither is among them."""
    mass = {"+": 0.0, "-": 0.0}
    for token, logprob in top.items():
        if token.strip() in mass:
            mass[token.strip()] += math.exp(min(0.0, logprob))
    total = mass["+"] + mass["-"]
    return mass["+"] / total if total > 0 else None


def aggregate(scores: Sequence[float], how: str) -> float:
    """One number from the scores of all steps, in [0, 1] where they are (Lightman et al. 2305.20050 §F; algorithms §2.8).

    ``product`` is taken in log space: a thousand steps do not underflow before they must.
    """
    match how:
        case "min":
            return min(scores)
        case "last":
            return scores[-1]
        case "mean":
            return math.fsum(scores) / len(scores)
    if min(scores) <= 0:
        return 0.0
    return math.exp(math.fsum(math.log(score) for score in scores))


def judged(scores: Sequence[float], options: Options, escaped: int = 0) -> Judgement:
    """The judgement of a response by the scores of its steps; all of them, and every aggregation, are in the evidence."""
    whole = options.format == "orm"
    value = scores[0] if whole else aggregate(scores, options.aggregate)
    evidence: dict[str, Any] = {"format": options.format, "steps": [float(f"{score:.5g}") for score in scores]}
    if not whole:
        evidence |= {how: float(f"{aggregate(scores, how):.5g}") for how in AGGREGATIONS}
    if escaped:
        evidence["escaped"] = escaped
    outcome = Outcome.CORRECT if value >= options.threshold else Outcome.INCORRECT
    what = "score" if whole else f"{options.aggregate} of {len(scores)} steps"
    return Judgement(outcome, f"{what} {value:.4f}, threshold {options.threshold:g}", value, evidence=evidence)


def read_check(candidate: Candidate, config: Mapping[str, Any]) -> Judgement:
    """The reading of an answer as a check, for canaries: ``spec`` holds ``steps`` (how many) and ``pooled`` (what came)."""
    options = read_options(config)
    try:
        scores = scores_in(candidate.spec.get("pooled"), int(candidate.spec["steps"]), options)
    except (Unreadable, KeyError, TypeError, ValueError) as error:
        return Judgement(Outcome.ERROR, f"no score: {error}")
    return judged(scores, options)
