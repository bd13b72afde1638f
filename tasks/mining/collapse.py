"""Whether a set of pairs would teach a model to correct itself, or to leave everything as it is (algorithms §2.24).

What must stay true: every check has passed, failed or was not measured, and says by what figure; a set that has a check that
failed, or one that was not measured and that the recipe does not waive by name, is kept out of publishing.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np

#: An edit of less than this share of the tokens is none.
IDENTICAL: Final = 0.05
#: Most pairs of a wrong attempt whose correction is no edit.
IDENTITY_RATE: Final = 0.1
#: Most that a feature may tell chosen from rejected, as AUC (and as little as one less that).
TELLTALE: Final = 0.7
#: Most rows with one marker, fewest with a cut at a verified error, fewest controls for each splice.
MARKER_SHARE: Final = 0.1
VERIFIED_CUTS: Final = 0.8
#: A share of fewer rows says nothing about markers.
ENOUGH: Final = 100
#: Most surprise (nats) behind a seam.
SURPRISAL: Final = 12.0
#: Sarle's coefficient of the uniform distribution: above it the histogram has two humps.
BIMODAL: Final = 5 / 9
BINS: Final = 20

PASSED: Final = "passed"
FAILED: Final = "failed"
UNMEASURED: Final = "unmeasured"
REPORTED: Final = "reported"  # a figure that decides nothing


@dataclass(frozen=True, slots=True)
class Check:
    """One check of one set: ``status`` and the figure, with the limit it was held against."""

    name: str
    subject: str  # pairs | preferences | splices
    status: str
    value: float | None = None
    limit: str = ""

    def document(self) -> dict[str, Any]:
        return asdict(self)


def held(name: str, subject: str, value: float | None, passed: bool, limit: str) -> Check:
    """A check by its figure; without one it was not measured."""
    status = UNMEASURED if value is None else PASSED if passed else FAILED
    return Check(name, subject, status, value, limit)


def pair_checks(
    edits: Sequence[float],
    on_policy: float | None,
    controls: float | None,
    broken: float | None,
    age: float | None,
    ignored: tuple[float, float, float] | None,
    least_on_policy: float,
    least_controls: float,
) -> list[Check]:
    """The checks of a pair set: ``edits`` are 1 - similarity of its ``ic`` pairs, ``ignored`` is ``ignore_index``."""
    identity = float(np.mean(np.asarray(edits) < IDENTICAL)) if len(edits) else None
    humps = bimodality(edits)
    low = None if ignored is None else ignored[1]
    mean = "" if ignored is None else f"; mean {ignored[0]:.3g} nats"
    return [
        held("identity_rate", "pairs", identity, (identity or 0) <= IDENTITY_RATE, f"at most {IDENTITY_RATE}"),
        held("ignore_index", "pairs", low, low is not None and low > 0, f"lower end of its interval above 0{mean}"),
        held("on_policy_share", "pairs", on_policy, (on_policy or 0) >= least_on_policy, f"at least {least_on_policy}"),
        held("correct_to_incorrect", "pairs", broken, broken == 0, "none"),
        held("controls_share", "pairs", controls, (controls or 0) >= least_controls, f"at least {least_controls}"),
        Check("bimodality", "pairs", REPORTED, humps, f"two humps above {BIMODAL:.3f}"),
        Check("age_in_rounds", "pairs", REPORTED, age, ""),
    ]


def splice_checks(
    markers: Mapping[str, int],
    verified: int,
    splices: int,
    controls: int,
    surprisals: Sequence[float] | None,
    scored: int = 0,
) -> list[Check]:
    """The checks of the splices of a run; ``verified`` have a cut at or after a verified error.

    ``surprisals`` are those of the splices that stay, of ``scored``; the others are left out.
    """
    most = max(markers.values(), default=0) / splices if splices >= ENOUGH else None
    cuts = verified / splices if splices else None
    share = controls / splices if splices else None
    worst = None if surprisals is None else max(surprisals, default=0.0)
    seams = "" if surprisals is None else f"; {len(surprisals)} of {scored} splices stay"
    few = Check("marker_share", "splices", REPORTED, None, f"too few to say, of {ENOUGH}")
    return [
        held("marker_share", "splices", most, (most or 0) <= MARKER_SHARE, f"at most {MARKER_SHARE}")
        if most is not None
        else few,
        held("verified_cuts", "splices", cuts, (cuts or 0) >= VERIFIED_CUTS, f"at least {VERIFIED_CUTS}"),
        held("controls_share", "splices", share, (share or 0) >= 1, "as many as splices"),
        held("seam_surprisal", "splices", worst, (worst or 0) <= SURPRISAL, f"at most {SURPRISAL} nats{seams}"),
    ]


def telltale_checks(features: Mapping[str, tuple[Sequence[float], Sequence[float]]]) -> list[Check]:
    """For each feature (of the chosen, of the rejected), whether it alone tells them apart."""
    checks = []
    for name, (chosen, rejected) in features.items():
        area = auc(chosen, rejected)
        fine = area is not None and 1 - TELLTALE <= area <= TELLTALE
        checks.append(held(f"telltale_{name}", "preferences", area, fine, f"from {1 - TELLTALE:.1f} to {TELLTALE}"))
    return checks


def auc(positive: Sequence[float], negative: Sequence[float]) -> float | None:
    """The chance that a positive is larger than a negative, ties counted half (Mann-Whitney); None without both."""
    if not len(positive) or not len(negative):
        return None
    values = np.concatenate([np.asarray(positive, float), np.asarray(negative, float)])
    _, place, count = np.unique(values, return_inverse=True, return_counts=True)
    rank = (np.cumsum(count) - (count - 1) / 2)[place]
    n = len(positive)
    return float((rank[:n].sum() - n * (n + 1) / 2) / (n * len(negative)))


def bimodality(values: Sequence[float]) -> float | None:
    """Sarle's coefficient, (skewness^2 + 1) / kurtosis with the correction for small samples; None for fewer than four."""
    x = np.asarray(values, float)
    n = len(x)
    spread = x.std()
    if n < 4 or spread == 0:
        return None
    z = (x - x.mean()) / spread
    skewness = float((z**3).mean()) * math.sqrt(n * (n - 1)) / (n - 2)
    excess = (n - 1) / ((n - 2) * (n - 3)) * ((n + 1) * (float((z**4).mean()) - 3) + 6)
    return (skewness**2 + 1) / (excess + 3 * (n - 1) ** 2 / ((n - 2) * (n - 3)))


def histogram(edits: Sequence[float]) -> list[int]:
    """Counts in ``BINS`` even bins of [0, 1]."""
    counts: list[int] = np.histogram(np.asarray(edits, float), bins=BINS, range=(0, 1))[0].tolist()
    return counts


def ignore_index(shuffled: Sequence[float], own: Sequence[float]) -> tuple[float, float, float]:
    """(mean, lower, upper) of NLL(z''|x, another z') - NLL(z''|x, z'): near 0 the correction ignores what it corrects.

    The interval is mean +- 1.96 standard errors. Raises ValueError for fewer than two pairs.
    """
    gain = np.asarray(shuffled, float) - np.asarray(own, float)
    if len(gain) < 2:
        raise ValueError("an interval needs two pairs")
    mean, error = float(gain.mean()), float(gain.std(ddof=1)) / math.sqrt(len(gain))
    return mean, mean - 1.96 * error, mean + 1.96 * error


def blocked(checks: Sequence[Check], waived: Collection[str]) -> dict[str, list[str]]:
    """Set -> why it is kept out of publishing: checks that failed, and those that were not measured and are not waived."""
    reasons: dict[str, list[str]] = {}
    for check in checks:
        if check.status == FAILED:
            reasons.setdefault(check.subject, []).append(f"{check.name} is {check.value:.3g}, {check.limit}")
        elif check.status == UNMEASURED and check.name not in waived:
            reasons.setdefault(check.subject, []).append(f"{check.name} is unmeasured")
    return reasons
