"""Confidence filtering and early stop of DeepConf (arXiv 2508.15260; algorithms §2.30), as arithmetic.

Token confidence is the negative mean log-probability of the token's top candidates; a group's is its mean over a sliding
window. Nothing is rounded. A trace that was stopped early has no answer, and is never counted in a vote.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

A = TypeVar("A", bound=Hashable)

WINDOW: Final = 2048
WARM_UP: Final = 16
#: The share of the windows that ``bottom10`` takes the mean of.
BOTTOM: Final = 0.1


def token_confidence(top_logprobs: Sequence[float]) -> float:
    """-mean log p of a token's top candidates (20 in the paper). Raises ValueError for none."""
    if not top_logprobs:
        raise ValueError("a token needs at least one log-probability")
    return -math.fsum(top_logprobs) / len(top_logprobs)


def group_confidences(confidences: Sequence[float], window: int = WINDOW) -> list[float]:
    """The mean of each full window; one mean of all where the trace is shorter than the window."""
    n = len(confidences)
    if n <= window:
        return [math.fsum(confidences) / n] if n else []
    sums = [0.0]
    for confidence in confidences:
        sums.append(sums[-1] + confidence)
    return [(sums[end] - sums[end - window]) / window for end in range(window, n + 1)]


@dataclass(frozen=True, slots=True)
class Confidence:
    """Scores of a whole trace: over all tokens, the last window, the worst tenth of the windows, and the worst one."""

    mean: float
    tail: float
    bottom10: float
    least: float


def trace_confidence(confidences: Sequence[float], window: int = WINDOW) -> Confidence:
    """The scores of a trace. Raises ValueError for one without tokens."""
    if not confidences:
        raise ValueError("a trace without tokens has no confidence")
    groups = sorted(group_confidences(confidences, window))
    worst = groups[: max(1, int(len(groups) * BOTTOM))]
    tail = confidences[-window:]
    return Confidence(
        math.fsum(confidences) / len(confidences), math.fsum(tail) / len(tail), math.fsum(worst) / len(worst), groups[0]
    )


def threshold(warm_up: Sequence[float], keep: float) -> float:
    """The least window confidence that a trace must hold: the (100 - ``keep``)th percentile of the warm-up's least ones.

    ``keep`` is the paper's eta, in percent (90, or 10 for the strict form); linear between ranks. Raises ValueError for an
    empty warm-up.
    """
    if not warm_up:
        raise ValueError("the threshold needs warm-up traces")
    ranked = sorted(warm_up)
    place = (len(ranked) - 1) * (1.0 - keep / 100.0)
    low = math.floor(place)
    high = min(low + 1, len(ranked) - 1)
    return ranked[low] + (ranked[high] - ranked[low]) * (place - low)


def stops_at(confidences: Sequence[float], least: float, window: int = WINDOW) -> int | None:
    """After how many tokens generation stops: the first full window whose mean is below ``least``; None for a whole trace."""
    if len(confidences) < window:
        return None
    for place, group in enumerate(group_confidences(confidences, window)):
        if group < least:
            return place + window
    return None


def weighted_vote(votes: Sequence[tuple[A | None, float]], keep: float = 100.0) -> dict[A, float]:
    """Answer -> summed confidence, over the best ``keep`` percent of the traces that have an answer, the heaviest first."""
    given = sorted(((a, w) for a, w in votes if a is not None), key=lambda vote: -vote[1])
    total: dict[A, float] = defaultdict(float)
    for answer, weight in given[: max(1, math.ceil(len(given) * keep / 100.0))]:
        total[answer] += weight
    return dict(sorted(total.items(), key=lambda item: -item[1]))


def agreed(votes: Sequence[tuple[A | None, float]], share: float = 0.95) -> bool:
    """Whether the heaviest answer has at least ``share`` of the weight, so that no further trace need be asked for."""
    total = weighted_vote(votes)
    weight = math.fsum(total.values())
    return weight > 0 and next(iter(total.values())) >= share * weight
