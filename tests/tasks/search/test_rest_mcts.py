"""Value targets of ReST-MCTS* (§2.13)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracemill.tasks.search.budget import Budgets
from tracemill.tasks.search.drive import run_now
from tracemill.tasks.search.growth import Growth, grown, plant
from tracemill.tasks.search.registry import build_search
from tracemill.tasks.search.rest_mcts import chain_values, next_value, value_targets
from tracemill.tasks.search.values import Own


@pytest.mark.parametrize("length", [1, 2, 5, 9])
def test_a_correct_chain_rises_evenly_to_one(length):
    """§2.13: 1/K, 2/K, ..., 1."""
    values = chain_values(range(length - 1, -1, -1), [False] * length)
    assert values == pytest.approx([(k + 1) / length for k in range(length)])


@given(before=st.floats(0, 1), distance=st.integers(0, 50), wrong=st.booleans())
def test_values_stay_in_the_unit_interval_and_a_wrong_step_lowers_them(before, distance, wrong):
    after = next_value(before, distance, wrong)
    assert 0.0 <= after <= 1.0
    if wrong:
        assert after < before or after == 0.0 or 1.0 - before < 1e-12  # the step is less than floats tell apart
    else:
        assert after >= before


def test_a_wrong_branch_inherits_its_ancestors_distance(digits, plot):
    domain = digits(goal="12")
    growth = Growth(domain, plant(domain, plot, "", Budgets()), value=Own())
    tree = run_now(grown(build_search("best_first", {"stop_at_goal": False}), growth))
    values = value_targets(tree)
    assert values["0"] == 0.0
    assert values["0,1"] == pytest.approx(0.5)
    assert values["0,1,2"] == pytest.approx(1.0)
    assert values["0,1,0"] == pytest.approx(max(0.0, 0.5 - 0.5 / 2))  # wrong, one step from the goal's parent
    assert values["0,0"] == 0.0
    assert set(values) == set(tree.nodes)


def test_without_a_goal_there_are_no_targets(digits, plot):
    domain = digits(goal="999")
    growth = Growth(domain, plant(domain, plot, "", Budgets()), value=Own())
    assert value_targets(run_now(grown(build_search("best_first", {}), growth))) == {}
