"""OmegaPRM's tree: prefixes grow, taken pairs stay taken, counts only grow, the budget holds (algorithms §2.10)."""

from __future__ import annotations

import random

import pytest

from tracemill.tasks.steps.monte_carlo import Count
from tracemill.tasks.steps.omega import ALPHA, BETA, C_PUCT, LENGTH, OmegaTree, Rolled


def world(seed: int, k: int = 8, length: int = 10):
    """Each step goes wrong with a chance of 0.15 and never comes back; wrong steps say so."""
    rng = random.Random(seed)

    async def roll_out(prefix: tuple[str, ...]) -> Rolled:
        right, wrong = 0, []
        for _ in range(k):
            steps, good = [], "bad" not in "".join(prefix)
            for n in range(len(prefix), length):
                good = good and rng.random() > 0.15
                steps.append(f"{'ok' if good else 'bad'}{n}.{rng.randrange(3)} ")
            if good:
                right += 1
            else:
                wrong.append(tuple(steps))
        return Rolled(Count(right, k), tuple(wrong))

    return roll_out


@pytest.fixture
async def tree() -> OmegaTree:
    grown = OmegaTree(world(3), tokens=len)
    await grown.grow(searches=12, budget=10_000)
    return grown


def test_a_state_begins_with_its_parent(tree):
    assert len(tree.states) > 20
    for state in tree.states.values():
        if state.parent is not None:
            assert state.steps[: len(state.parent)] == state.parent
            assert "".join(state.steps).startswith("".join(state.parent))
            assert len(state.steps) > len(state.parent)


def test_a_taken_pair_never_comes_back(tree):
    assert len(tree.taken) == 12
    assert not tree.taken & set(tree.pool)
    assert len(set(tree.pool)) == len(tree.pool)
    for steps, _ in tree.pool:
        assert 0 < tree.states[steps].count.value < 1


def test_every_search_ends_at_the_first_bad_step(tree):
    found = [search for search in tree.searches if search.error is not None]
    assert len(found) == 12
    for (_, rollout), search in zip(sorted(tree.taken), sorted(found, key=lambda s: 0), strict=True):
        assert any(step.startswith("bad") for step in rollout)
        assert search.violations == 0


async def test_visits_only_grow_and_sum_to_the_searches():
    tree, before = OmegaTree(world(5), tokens=len), {}
    for _ in range(8):
        await tree.grow(searches=1, budget=10_000)
        now = {steps: state.visits for steps, state in tree.states.items()}
        assert all(now[steps] >= visits for steps, visits in before.items())
        before = now
    assert sum(before.values()) == 8


async def test_no_search_begins_beyond_the_budget_of_rollouts():
    tree = OmegaTree(world(7), tokens=len)
    await tree.grow(searches=100, budget=60)
    most = 8 * 4  # one search of at most ten steps
    assert 60 <= tree.rollouts < 60 + most


async def test_the_score_is_that_of_the_paper():
    """Q = alpha^(1 - MC) * beta^(len / L); U = c * sqrt(sum N) / (1 + N), over the states of the pool."""
    tree = OmegaTree(world(1), tokens=lambda step: 100)
    await tree.grow(searches=0, budget=1)
    (state, rollout) = tree.pool[0]
    held = tree.states[state]
    q = ALPHA ** (1 - held.count.value) * BETA ** (100 * len(rollout) / LENGTH)
    assert tree.score(state, rollout) == pytest.approx(q)
    held.visits = 3
    assert tree.score(state, rollout) == pytest.approx(q + C_PUCT * 3**0.5 / 4)


async def test_a_problem_that_is_always_or_never_solved_gives_no_search():
    async def always(prefix: tuple[str, ...]) -> Rolled:
        return Rolled(Count(8, 8))

    tree = OmegaTree(always, tokens=len)
    await tree.grow(searches=5, budget=100)
    assert (tree.searches, tree.pool, tree.rollouts) == ([], [], 8)
