"""Rollouts against an exact oracle on Countdown (algorithms §B4): they never call a dead state alive, and miss as many as they must."""

from __future__ import annotations

import random
from functools import cache
from typing import Literal

import pytest

from tracemill.tasks.domains.countdown import Countdown, State
from tracemill.tasks.domains.countdown_instances import drawn, split_targets
from tracemill.tasks.search.rng import SplitMix
from tracemill.tasks.steps.oracle import countdown_count, countdown_labels, countdown_value

DOMAIN = Countdown()


@pytest.fixture(scope="module")
def states() -> list[State]:
    """The first one or two steps of a solution of 2,000 instances, half of them with any step in place of the last.

    §B4 does not say how its 600 states were drawn. These are what step labels are asked for, prefixes of right traces and
    prefixes that have just gone astray, and they give back both of its rows. States of a uniform walk do not: one step of it
    leaves .20 of the states alive with recall .49, .88 and .99, two steps .06 with .95, 1 and 1.
    """
    rng, targets = random.Random(1), split_targets(0).train
    return [one_state(drawn(7, index, targets).state, rng) for index in range(2_000)]


def one_state(state: State, rng: random.Random) -> State:
    last = rng.choice((1, 2))
    for number in range(1, last + 1):
        steps = DOMAIN.steps(state)
        kept = [step for step in steps if countdown_labels([step.state])[0]]
        astray = number == last and rng.random() < 0.5
        state = rng.choice(steps if astray else kept).state
    return state


@pytest.fixture(scope="module")
def alive(states: list[State]) -> list[State]:
    return [state for state, can in zip(states, countdown_labels(states), strict=True) if can]


@cache
def chance(state: State, policy: Literal["uniform", "sum"]) -> float:
    return countdown_value(state, Countdown(policy=policy, temperature=20.0))


def closed_form(alive: list[State], policy: Literal["uniform", "sum"], k: int) -> float:
    """The expected recall: the mean of 1 - (1 - p)^k over live states that a rollout ends right from with chance p."""
    return sum(1 - (1 - chance(state, policy)) ** k for state in alive) / len(alive)


@pytest.mark.parametrize(
    ("policy", "k", "golden"),
    [
        ("uniform", 8, 0.674),
        ("uniform", 32, 0.902),
        ("uniform", 128, 0.994),
        ("sum", 8, 0.837),
        ("sum", 32, 0.940),
        ("sum", 128, 0.985),
    ],
)
def test_the_recall_of_rollouts_is_the_reference(alive, policy, k, golden):
    recall = closed_form(alive, policy, k)
    print(f"{policy}, k={k}: recall {recall:.3f}, reference {golden}")
    assert recall == pytest.approx(golden, abs=0.02)


@pytest.mark.parametrize("k", [8, 32, 128])
def test_rollouts_find_what_the_closed_form_says_without_a_false_positive(states, k):
    some = states[:600]
    labels = countdown_labels(some)
    alive = [state for state, can in zip(some, labels, strict=True) if can]
    dead = [state for state, can in zip(some, labels, strict=True) if not can]
    rng, times = SplitMix(k), max(1, 64 // k)
    assert not any(countdown_count(state, DOMAIN, k, rng).hard for state in dead)
    found = sum(countdown_count(state, DOMAIN, k, rng).hard for _ in range(times) for state in alive)
    recall = found / (times * len(alive))
    print(
        f"k={k}: {len(alive)} of {len(some)} alive, recall {recall:.3f}, closed form {closed_form(alive, 'uniform', k):.3f}"
    )
    assert recall == pytest.approx(closed_form(alive, "uniform", k), abs=0.02)


def test_values_and_labels_agree_on_what_is_impossible(states):
    for state, alive in zip(states, countdown_labels(states), strict=True):
        assert (chance(state, "uniform") > 0) == alive


def test_a_path_is_labelled_step_by_step():
    path = [State(24, (4, 6, 1)), State(24, (24, 1)), State(24, (24,)), State(24, (25,))]
    assert countdown_labels(path) == [True, True, True, False]
