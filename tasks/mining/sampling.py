"""Drawing pairs: P(y' | y) proportional to exp(alpha * (v(y') - v(y)) + beta * sim(y, y')) (Welleck et al., arXiv 2211.00053).

Drawn without replacement by the Gumbel trick: the pair with the largest log-weight plus Gumbel noise comes first. The noise
is a hash of the two ids and the seed, so equal pools give equal draws in any order, and there are no ties to break
but those of equal hashes, which the ids break.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from fractions import Fraction
from typing import Any, Final

import numpy as np

from tracemill.tasks.mining.candidates import mixed

_UNIT: Final = float(2**-53)


def log_weights(wrong: Any, gain: Any, similarity: Any, alpha: float, beta: float) -> Any:
    """log of exp(alpha * gain + beta * similarity) / Z(y), with Z(y) over the pairs of the same wrong attempt."""
    if not len(wrong):
        return np.zeros(0)
    energy = alpha * gain + beta * similarity
    _, place = np.unique(wrong, return_inverse=True)
    top = np.full(place.max() + 1, -np.inf)
    np.maximum.at(top, place, energy)
    total = np.zeros(len(top))
    np.add.at(total, place, np.exp(energy - top[place]))
    return energy - top[place] - np.log(total)[place]


def gumbel(one: Any, other: Any, seed: int) -> Any:
    """Gumbel noise for each pair of 64-bit hashes; not symmetric in the two."""
    bits = mixed(mixed(one + np.uint64(seed)) * np.uint64(3) + other)
    uniform = ((bits >> np.uint64(11)).astype(np.float64) + 0.5) * _UNIT
    return -np.log(-np.log(uniform))


def draw(order: Sequence[tuple[int, int]], most: int, uses: int) -> list[int]:
    """Places in ``order`` ((wrong, right), best first) of the first ``most`` pairs that use no attempt over ``uses`` times."""
    used: Counter[int] = Counter()
    taken: list[int] = []
    for place, (wrong, right) in enumerate(order):
        if len(taken) == most:
            break
        if used[wrong] < uses and used[right] < uses:
            used[wrong] += 1
            used[right] += 1
            taken.append(place)
    return taken


def affordable(pairs: int, rights: int, share: float) -> tuple[int, int]:
    """(pairs, controls) with controls at least ``share`` of both together, where ``rights`` attempts can be controls."""
    odds = Fraction(str(share)) / (1 - Fraction(str(share)))
    if odds:
        pairs = min(pairs, math.floor(rights / odds))
    return pairs, math.ceil(pairs * odds)
