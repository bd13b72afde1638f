"""What a canary is, and how a suite of them is run.

What must stay true: a known-bad candidate that is accepted fails the suite, whatever the reason, and so does a known-good
one that is not: a verifier that accepts nothing is no more to be trusted than one that accepts everything. A suite runs
through the same pool, limits and options as the candidates that it vouches for; a canary that depends on an option pins
it in its own ``spec``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from tracemill.schemas.enums import Outcome
from tracemill.schemas.errors import TracemillError
from tracemill.verifiers.base import Candidate, Judgement, Verdict, Verifier
from tracemill.verifiers.pool import VerifierPool

Check = Callable[[Candidate, Mapping[str, Any]], Judgement]


@dataclass(frozen=True, slots=True)
class Canary:
    """A candidate whose outcome is known: ``good`` must be ``correct``, the others must be anything else."""

    candidate: Candidate
    good: bool

    @property
    def name(self) -> str:
        return self.candidate.subject_id


@dataclass(frozen=True, slots=True)
class Suite:
    """The canaries of one verifier. ``check`` is run in the verifier's place where what is vouched for is not its check
    but a rule in front of a model (``judge``) or over a group (``consensus``): there ``correct`` means "let through".
    """

    canaries: tuple[Canary, ...]
    check: Check | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """What a suite showed. ``false_accepts`` and ``lost`` name canaries: known-bad accepted, known-good not (and why)."""

    verifier: str
    version: str
    good: int
    bad: int
    false_accepts: tuple[str, ...] = ()
    lost: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        return not self.false_accepts and not self.lost

    def document(self) -> dict[str, Any]:
        """As stored in ``runs.canaries``."""
        return {
            "version": self.version,
            "good": self.good,
            "bad": self.bad,
            "false_accepts": list(self.false_accepts),
            "lost": list(self.lost),
            "passed": self.passed,
        }


class CanaryError(TracemillError):
    """A verifier failed its canaries, so none of its verdicts may be trusted."""

    def __init__(self, report: Report) -> None:
        shown = [f"accepts {name}" for name in report.false_accepts] + [f"refuses {name}" for name in report.lost]
        more = f" and {len(shown) - 3} more" if len(shown) > 3 else ""
        super().__init__(
            f"it fails its canaries, so its verdicts cannot be trusted: {'; '.join(shown[:3])}{more}",
            where=f"verifier {report.verifier} {report.version}",
            mend="see 'tracemill doctor --canaries'; nothing was labelled, and the same command goes on once it is mended",
        )
        self.report = report


def suite_of(good: Sequence[Candidate], bad: Sequence[Candidate], check: Check | None = None) -> Suite:
    """A suite from its known-good and known-bad candidates. Raises ValueError where two have one name."""
    canaries = (*(Canary(c, True) for c in good), *(Canary(c, False) for c in bad))
    names = [canary.name for canary in canaries]
    if len(set(names)) != len(names):
        raise ValueError(f"two canaries are called {next(n for n in names if names.count(n) > 1)!r}")
    return Suite(canaries, check)


async def prove(pool: VerifierPool, verifier: Verifier, suite: Suite) -> Report:
    """Run ``suite`` as ``verifier`` is configured. A known-good one that is not accepted is tried once more."""
    asked = verifier if suite.check is None else replace(verifier, check=suite.check)
    verdicts = await pool.verify(asked, [canary.candidate for canary in suite.canaries])
    pairs = list(zip(suite.canaries, verdicts, strict=True))
    doubtful = [canary for canary, verdict in pairs if canary.good and not _accepted(verdict)]
    again = await pool.verify(asked, [canary.candidate for canary in doubtful])
    return Report(
        verifier.name,
        verifier.version,
        sum(canary.good for canary in suite.canaries),
        sum(not canary.good for canary in suite.canaries),
        tuple(canary.name for canary, verdict in pairs if not canary.good and _accepted(verdict)),
        tuple(
            f"{canary.name} ({verdict.judgement.outcome}: {verdict.judgement.reason[:200]})"
            for canary, verdict in zip(doubtful, again, strict=True)
            if not _accepted(verdict)
        ),
    )


def _accepted(verdict: Verdict) -> bool:
    return verdict.judgement.outcome is Outcome.CORRECT
