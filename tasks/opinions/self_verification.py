"""Labels and rewards of proofs that nothing can execute, from analyses that were themselves checked (DeepSeekMath-V2; algorithms §2.32).

A verifier analyses a proof, says what is wrong with it and scores it 0, 0.5 or 1; meta-checks say whether what it found is real.
What must stay true: an analysis without a majority of its meta-checks behind it counts for nothing; a proof is called wrong only by
analyses that count, and right only where none does; whatever lies between has no label, and is somebody's to look at.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

SCORES: Final = (0.0, 0.5, 1.0)
#: Weights of the proof's own score and of the self-analysis in the generator's reward.
PROOF, ANALYSIS = 0.76, 0.24


@dataclass(frozen=True, slots=True)
class Analysis:
    """A score of ``SCORES`` below 1 claims issues; ``checks`` are the meta-checks' words on whether they are real."""

    score: float
    checks: tuple[bool, ...] = ()

    def __post_init__(self) -> None:
        if self.score not in SCORES:
            raise ValueError(f"a score is one of {SCORES}, not {self.score!r}")

    @property
    def valid(self) -> bool:
        """Whether it claims issues and more than half of the checks find them real."""
        return self.score < 1 and 2 * sum(self.checks) > len(self.checks)


def proof_label(analyses: Sequence[Analysis], least: int) -> float | None:
    """The lowest score of the valid analyses where there are ``least`` of them, 1 where there is none, else None.

    None too without any analysis: nobody has looked.
    """
    valid = [analysis.score for analysis in analyses if analysis.valid]
    if len(valid) >= max(least, 1):
        return min(valid)
    return 1.0 if analyses and not valid else None


def verifier_reward(formatted: bool, said: float, true: float) -> float:
    """R_format (1 - |s' - s|), in [0, 1]."""
    return float(formatted) * (1 - abs(said - true))


def generator_reward(formatted: bool, proof: float, analysis: float, meta: float) -> float:
    """R_format (0.76 R_Y + 0.24 R_score R_meta), in [0, 1]: of a proof, its author's analysis of it, and whether that is sound."""
    return float(formatted) * (PROOF * proof + ANALYSIS * analysis * meta)
