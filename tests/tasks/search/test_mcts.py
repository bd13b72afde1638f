"""MCTS: conservation, convergence, and batches that do not depend on who answers first (§2.12)."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tracemill.schemas.enums import NodeStatus, TreeStatus
from tracemill.tasks.domains.countdown import Countdown, State, solvable
from tracemill.tasks.search.budget import Budgets
from tracemill.tasks.search.drive import run_now
from tracemill.tasks.search.growth import Growth, grown, plant
from tracemill.tasks.search.mcts import Mcts
from tracemill.tasks.search.rng import SplitMix
from tracemill.tasks.search.tree import Plot
from tracemill.tasks.search.values import MonteCarlo, Own, Squashed


def grow(domain, state, search, *, value, seed=1, merge="none", budgets=None):
    limits = budgets or Budgets()
    plot = Plot("p", "m", "mcts", {}, seed)
    growth = Growth(domain, plant(domain, plot, state, limits), budgets=limits, value=value, merge=merge)
    return run_now(grown(search, growth))


@given(
    seed=st.integers(0, 10_000),
    iterations=st.integers(1, 60),
    parallel=st.integers(1, 7),
    selection=st.sampled_from(["uct", "puct"]),
    backup=st.sampled_from(["mean", "max"]),
    merge=st.sampled_from(["none", "states"]),
    playouts=st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_visits_are_conserved_and_values_stay_within_bounds(
    seed, iterations, parallel, selection, backup, merge, playouts
):
    rng = SplitMix(seed)
    state = State(10 + rng.below(40), tuple(1 + rng.below(12) for _ in range(3)))
    domain = Countdown(value_name="sum")
    search = Mcts(iterations, 3, selection, backup, parallel=parallel)
    tree = grow(domain, state, search, value=MonteCarlo(2) if playouts else Squashed(), seed=seed, merge=merge)
    assert tree.root.visits == iterations
    for node in tree.nodes.values():
        out = sum(edge.visits for edge in node.edges)
        assert node.visits >= out
        if node.status is NodeStatus.EXPANDED and parallel == 1 and node is not tree.root:
            assert node.visits == out + 1  # the visit at which it was expanded
        if node is not tree.root:
            assert node.visits == sum(edge.visits for edge in node.parents)
        if node.visits:
            assert 0.0 <= node.value <= 1.0
        for edge in node.edges:
            assert (edge.value is None) == (edge.visits == 0)
    assert len(tree.moves()) == iterations


@pytest.mark.parametrize("selection", ["uct", "puct"])
@pytest.mark.parametrize("numbers", [(2, 5, 7), (3, 4, 9), (1, 6, 8)])
def test_after_an_exhaustive_budget_the_most_visited_child_has_a_solution(selection, numbers):
    """§2.12, on a small Countdown tree with one of its rarer targets."""
    target = next(t for t in range(60, 1, -1) if solvable(tuple(sorted(numbers)), t))
    tree = grow(Countdown(), State(target, numbers), Mcts(3000, None, selection), value=MonteCarlo(1))
    best = max(tree.root.edges, key=lambda edge: edge.visits).child
    assert solvable(tuple(sorted(best.state.numbers)), target)
    assert tree.status is TreeStatus.SOLVED


def test_virtual_loss_spreads_a_batch_over_different_leaves(digits):
    domain = digits(goal="2222", base=3)
    tree = grow(domain, "", Mcts(1 + 3, None, parallel=3), value=Own())
    first = [node.node_id for node in tree.moves()]
    assert first[:1] == ["0"]  # the first batch finds nothing but the root
    later = grow(domain, "", Mcts(13, None, parallel=3), value=Own())
    batch = [node.node_id for node in later.moves()][3:6]
    assert len(set(batch)) == 3


def test_equal_states_share_their_visits(digits):
    class Sums(digits):
        def key(self, state):
            return f"{len(state)}:{sum(map(int, state))}"

    domain = Sums(goal="1111")
    apart = grow(domain, "", Mcts(80, None), value=Own())
    shared = grow(domain, "", Mcts(80, None), value=Own(), merge="states")
    assert len(shared.nodes) < len(apart.nodes)
    assert any(len(node.parents) > 1 and node.visits > 1 for node in shared.nodes.values())


def test_an_end_counts_by_its_verified_reward_and_not_by_what_a_model_says(digits):
    """The pitfall of §2.12: stopping at a high score instead of at a verified end."""

    class Flattering(digits):
        def value(self, state, draw):
            return 1.0

    tree = grow(Flattering(goal="22"), "", Mcts(40, None, stop_at_goal=True), value=Own(ends=False))
    assert tree.best_leaf is not None
    assert tree.best_leaf.state == "22"
    assert all(n.reward == float(n.state == "22") for n in tree.nodes.values() if n.terminal)


def test_a_budget_in_the_middle_leaves_a_tree_that_adds_up():
    tree = grow(
        Countdown(value_name="oracle"), State(24, (4, 6, 3, 8)), Mcts(500, 5), value=Own(), budgets=Budgets(nodes=77)
    )
    assert len(tree.nodes) == 77
    assert tree.status in (TreeStatus.NODE_BUDGET, TreeStatus.SOLVED)
    assert all(n.visits >= sum(e.visits for e in n.edges) for n in tree.nodes.values())
