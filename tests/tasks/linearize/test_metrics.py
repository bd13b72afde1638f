"""Rating, gap and alignment of Countdown streams (§2.19)."""

from __future__ import annotations

import pytest

from tracemill.tasks.domains.countdown import State
from tracemill.tasks.domains.countdown_instances import drawn, split_targets
from tracemill.tasks.linearize import stream_of_search
from tracemill.tasks.linearize.metrics import alignment, gap, looked_at, overlap, rating, state_of, strategy_name
from tracemill.tasks.linearize.mixture import searched

TRAIN = split_targets(4).train


def test_the_rating_is_that_of_the_paper():
    """§2.19: max(0, 1 - (explored + 1) / most nodes) where solved, 1152 nodes for four inputs and 48 for three."""
    assert rating(71, 4, True) == 1 - 72 / 1152
    assert rating(47, 3, True) == 0.0
    assert rating(2000, 4, True) == 0.0
    assert rating(3, 4, False) == 0.0


def test_the_gap_of_a_direct_solution_is_one():
    assert gap(3, 4) == 1.0
    assert gap(78, 4) == 26.0


@pytest.mark.parametrize("index", range(12))
def test_a_search_is_aligned_with_its_own_strategy_alone(index):
    mixed = drawn(9, index, TRAIN)
    domain, tree = searched(mixed)
    text = stream_of_search.write(tree, domain).text
    assert state_of(text) == mixed.state
    found = alignment(text, mixed.state, mixed.seed)
    assert len(found) == 12
    own = strategy_name(mixed.heuristic, mixed.width)
    assert found[own] == 1.0
    assert list(found.values()) == sorted(found.values(), reverse=True)
    assert all(0.0 <= value <= 1.0 for value in found.values())


def test_states_count_once_whatever_their_order_and_other_lines_say_nothing():
    text = (
        "Exploring Operation: 5*3=15, Resulting Numbers: [2, 15]\nnonsense\n"
        "Exploring Operation: 3*5=15, Resulting Numbers: [15, 2]\n"
    )
    assert looked_at(text) == {(2, 15)}
    assert overlap(looked_at(text), frozenset({(2, 15), (1, 2)})) == 0.5
    assert overlap(frozenset(), frozenset()) == 1.0
    assert alignment(text, State(30, (5, 3, 2)), strategies=[("sum", 0)])["dfs-sum"] > 0.0
