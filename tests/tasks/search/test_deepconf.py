"""Confidence of traces and early stop (§2.30)."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracemill.tasks.search.deepconf import (
    agreed,
    group_confidences,
    stops_at,
    threshold,
    token_confidence,
    trace_confidence,
    weighted_vote,
)

traces = st.lists(st.floats(0, 20), min_size=1, max_size=60)


def test_a_tokens_confidence_is_minus_the_mean_of_its_candidates():
    assert token_confidence([-0.5, -1.5, -4.0]) == 2.0
    with pytest.raises(ValueError, match="at least one"):
        token_confidence([])


def test_a_trace_shorter_than_the_window_has_one_mean():
    """§2.30."""
    assert group_confidences([1.0, 2.0, 6.0], 2048) == [3.0]
    assert group_confidences([], 5) == []


@given(traces, st.integers(1, 70))
def test_windows_are_plain_means(values, window):
    found = group_confidences(values, window)
    if len(values) <= window:
        expected = [sum(values) / len(values)]
    else:
        expected = [sum(values[i : i + window]) / window for i in range(len(values) - window + 1)]
    assert found == pytest.approx(expected, abs=1e-9)


def test_the_scores_of_a_trace_by_hand():
    found = trace_confidence([4.0] * 10 + [1.0] * 10, window=10)
    assert found.mean == 2.5
    assert found.tail == 1.0
    assert found.least == 1.0
    assert found.bottom10 == 1.0  # the worst one of eleven windows


@given(st.lists(st.floats(0, 20), min_size=1, max_size=30))
def test_the_threshold_falls_as_more_is_kept(warm_up):
    """§2.30: monotone in eta."""
    cuts = [threshold(warm_up, keep) for keep in (0, 10, 50, 90, 100)]
    assert cuts == sorted(cuts, reverse=True)
    assert cuts[0] == max(warm_up)
    assert cuts[-1] == min(warm_up)


@given(traces, st.integers(1, 20), st.floats(0, 20))
def test_a_trace_stops_at_its_first_window_below_the_threshold(values, window, least):
    found = stops_at(values, least, window)
    ends = [
        end for end in range(window, len(values) + 1) if math.fsum(values[end - window : end]) / window < least - 1e-9
    ]
    if found is None:
        assert not ends
    else:
        assert not ends or found <= ends[0]
        assert math.fsum(values[found - window : found]) / window < least + 1e-9


def test_a_vote_weighs_by_confidence_and_leaves_out_traces_without_an_answer():
    votes = [("a", 1.0), ("b", 3.0), ("a", 1.5), (None, 99.0)]
    assert weighted_vote(votes) == {"b": 3.0, "a": 2.5}
    assert weighted_vote(votes, keep=30) == {"b": 3.0}
    assert not agreed(votes, 0.95)
    assert agreed([("a", 5.0), (None, 9.0)])
    assert not agreed([(None, 1.0)])
