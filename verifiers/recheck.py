"""Verifying a share of the candidates twice, so that a verifier that changes its mind is found out.

What must stay true: which candidates are checked twice depends on their inputs alone, so that it is the same in any batch
and any run; where two runs of the same verifier on the same candidate disagree, neither is believed and the row is
``error``; an ``error`` on either side is a failure of ours and no disagreement.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from tracemill.schemas.enums import Outcome
from tracemill.schemas.errors import UsageError
from tracemill.verifiers.base import Candidate, Judgement, Verdict, Verifier
from tracemill.verifiers.pool import Progress, VerifierPool

#: The share of verdicts that are given twice.
SHARE: Final = 0.01

#: The key of the evidence by which a row that changed is known.
FLAKY: Final = "flaky"


async def verify_checked(
    pool: VerifierPool,
    verifier: Verifier,
    candidates: Sequence[Candidate],
    share: float = SHARE,
    progress: Progress | None = None,
) -> list[Verdict]:
    """``pool.verify`` with ``share`` of the verdicts, in [0, 1], given twice; those that differ are ``error`` (``is_flaky``)."""
    if not 0 <= share <= 1:
        raise UsageError(f"the share to check twice must lie in [0, 1], not {share}", where="recheck")
    first = await pool.verify(verifier, candidates, progress)
    places = [place for place, verdict in enumerate(first) if is_chosen(verdict.inputs_hash, share)]
    second = await pool.verify(verifier, [candidates[place] for place in places])
    for place, other in zip(places, second, strict=True):
        if differ(first[place], other):
            first[place] = disputed(first[place], other)
    return first


def is_chosen(inputs_hash: str, share: float) -> bool:
    """Whether the candidate with these inputs is among the ``share`` that are checked twice."""
    return int(inputs_hash[:8], 16) < share * 2**32


def differ(first: Verdict, second: Verdict) -> bool:
    """Whether two verdicts on one candidate disagree; an ``error`` says nothing."""
    outcomes = {first.judgement.outcome, second.judgement.outcome}
    return len(outcomes) == 2 and Outcome.ERROR not in outcomes


def is_flaky(verdict: Verdict) -> bool:
    """Whether two runs disagreed on this row."""
    return verdict.judgement.outcome is Outcome.ERROR and FLAKY in verdict.judgement.evidence


def disputed(first: Verdict, second: Verdict) -> Verdict:
    """The row of two verdicts that differ: ``error``, with what each said."""
    said = [f"{v.judgement.outcome}: {v.judgement.reason}"[:500] for v in (first, second)]
    judgement = Judgement(
        Outcome.ERROR,
        f"flaky: {first.judgement.outcome}, then {second.judgement.outcome}",
        answer=first.judgement.answer,
        evidence={FLAKY: said},
    )
    return replace(first, judgement=judgement)
