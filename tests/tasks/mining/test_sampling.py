"""Drawing pairs by weight: the law of the draw, the caps, and no dependence on order."""

from __future__ import annotations

import math
from collections import Counter
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracemill.tasks.mining.sampling import affordable, draw, gumbel, log_weights

UNITS = st.floats(0, 1)


@given(
    st.lists(st.tuples(st.integers(0, 3), UNITS, UNITS), min_size=1, max_size=20), st.floats(0, 10), st.floats(0, 10)
)
def test_weights_are_the_softmax_over_each_wrong_attempts_pairs(rows, alpha, beta):
    """Welleck et al.: exp(alpha * gain + beta * similarity) / Z(y)."""
    wrong, gain, alike = (np.array(column) for column in zip(*rows, strict=True))
    found = np.exp(log_weights(wrong, gain, alike, alpha, beta))
    for place, (one, g, s) in enumerate(rows):
        z = sum(math.exp(alpha * b + beta * c) for a, b, c in rows if a == one)
        assert found[place] == pytest.approx(math.exp(alpha * g + beta * s) / z)
    sums = [found[wrong == one].sum() for one in set(wrong.tolist())]
    assert sums == pytest.approx([1.0] * len(sums))


def test_the_first_draw_follows_the_weights():
    alike = np.array([0.1, 0.5, 0.9])
    weights = np.exp(log_weights(np.zeros(3), np.ones(3), alike, 1.0, 3.0))
    one, other = np.full(3, 12345, np.uint64), np.array([7, 8, 9], np.uint64)
    drawn = Counter(int(np.argmax(np.log(weights) + gumbel(one, other, seed))) for seed in range(20_000))
    for place, weight in enumerate(weights):
        assert drawn[place] / 20_000 == pytest.approx(weight, abs=4 * math.sqrt(weight / 20_000))


PAIRS = st.lists(st.tuples(st.integers(0, 5), st.integers(6, 11)), max_size=40)


@given(PAIRS, st.integers(1, 10), st.integers(1, 4))
def test_no_attempt_and_no_problem_is_used_more_than_allowed(order, most, uses):
    taken = draw(order, most, uses)
    assert len(taken) <= most
    assert taken == sorted(set(taken))
    used = Counter(attempt for place in taken for attempt in order[place])
    assert all(count <= uses for count in used.values())
    if len(taken) < most:  # nothing that could be taken was left
        for place in set(range(len(order))) - set(taken):
            assert any(used[attempt] == uses for attempt in order[place])


@given(st.integers(0, 50), st.integers(0, 50), st.sampled_from([0.0, 0.1, 0.2, 0.5, 0.9]))
def test_controls_are_at_least_their_share(pairs, rights, share):
    kept, controls = affordable(pairs, rights, share)
    assert 0 <= kept <= pairs
    assert controls <= rights or share == 0
    if kept:
        assert controls / (kept + controls) >= share - 1e-12
    if kept < pairs:
        assert (kept + 1) * Fraction(str(share)) / (1 - Fraction(str(share))) > rights
