r"""Does a final answer equal the gold answer? The ``answer`` verifier: extraction, then the ladder of ``matching``.

What must stay true: never a silent "no". What cannot be read is ``unparsed`` (the prediction) or ``error`` (the gold). The
limits of the worker bound what algebra costs; Math-Verify's own timeouts (whole seconds, by SIGALRM) are off.

The policies are options (recipe ``options``, or ``options`` of one problem), the fields of ``Options``: ``tolerance``,
``percent``, ``units``, ``ordered``, ``decimal_comma``, ``relations``, ``variables``, ``chains``,
``symbolic``, ``several``, ``last_number``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from functools import lru_cache
from typing import Any, Final

from tracemill.schemas.enums import Outcome
from tracemill.schemas.errors import refuse_unknown
from tracemill.verifiers.base import Candidate, Judgement, Verifier
from tracemill.verifiers.extract import Extracted, choice_letter, extract
from tracemill.verifiers.matching import Comparison as Comparison
from tracemill.verifiers.matching import compare as compare
from tracemill.verifiers.normal import LONGEST, tidy
from tracemill.verifiers.options import Options as Options
from tracemill.verifiers.structure import parts

VERSION: Final = "3"


def read_options(given: Mapping[str, Any]) -> Options:
    """``given`` as ``Options``. Raises UsageError for an unknown key or an impossible value."""
    refuse_unknown(given, (f.name for f in fields(Options)), "the answer verifier")
    return Options(**given)


def check(candidate: Candidate, config: Mapping[str, Any]) -> Judgement:
    """Extract the answer and compare it with ``gold``. Options of ``spec["options"]`` go before those of the recipe."""
    own = candidate.spec.get("options")
    options = _options(tuple(sorted({**config, **own}.items() if own else config.items())))
    latest = options.several == "last"
    found = extract(candidate.response, candidate.finish_reason, options.last_number, candidate.choices, latest)
    if not candidate.gold or not candidate.gold.strip():
        return Judgement(Outcome.ERROR, "the problem has no gold answer", answer=found.answer)
    gold, answer = candidate.gold, found.answer
    if candidate.choices:
        if answer is None:
            return Judgement(Outcome.UNPARSED, found.reason, evidence={"extraction": found.how})
        letter = choice_letter(gold, candidate.choices)
        if letter is None:
            return Judgement(Outcome.ERROR, "the gold answer is none of the choices", answer=answer)
        same = letter == answer
        comparison = Comparison(Outcome.CORRECT if same else Outcome.INCORRECT, "choice", "choice")
    else:
        said = _gold(gold)
        if said.answer is None:
            return Judgement(Outcome.ERROR, f"the gold answer cannot be read: {said.reason}", answer=answer)
        if answer is None and found.several and parts(tidy(said.answer)) is not None:
            answer = ", ".join(found.several)
        if answer is None:
            return Judgement(Outcome.UNPARSED, found.reason, evidence={"extraction": found.how})
        comparison = compare(said.answer, answer, options)
    return Judgement(
        comparison.outcome,
        comparison.reason,
        answer=answer,
        evidence={"extraction": found.how, "decided_by": comparison.rung},
    )


@lru_cache(maxsize=4096)
def _gold(gold: str) -> Extracted:
    """The gold answer: what its box or boxes hold, what a whole solution concludes, else the text itself."""
    if "boxed" in gold:
        found = extract(gold)
        if found.answer is None and found.several:
            return Extracted(", ".join(found.several), "boxes", "box")
        if found.answer is None and gold.count("boxed") == 1 and gold.count("{") == gold.count("}") + 1:
            return Extracted(gold[gold.index("boxed") + 5 :].lstrip(" {"), "a box that is not closed", "box")
        return found
    if len(gold) > LONGEST:
        return extract(gold)
    return Extracted(gold, "as written", "line")


@lru_cache(maxsize=64)
def _options(items: tuple[tuple[str, Any], ...]) -> Options:
    return read_options(dict(items))


def verifier(options: Mapping[str, Any] | None = None) -> Verifier:
    """The ``answer`` verifier with these options. Raises UsageError for an unknown option."""
    given = dict(options or {})
    read_options(given)
    return Verifier("answer", VERSION, check, given)
