"""Countdown as a domain: exact against brute force, and the published statistics of its instances (§2.19, §B)."""

from __future__ import annotations

import math
import random
from fractions import Fraction
from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tracemill.schemas.errors import DataError
from tracemill.schemas.records import Problem
from tracemill.tasks.domains.base import Draw
from tracemill.tasks.domains.countdown import Countdown, State, heuristic, solution, solvable
from tracemill.tasks.domains.countdown_instances import drawn, problem, split_targets
from tracemill.tasks.search.rng import SplitMix, mix
from tracemill.verifiers.countdown import judge

numbers = st.lists(st.integers(1, 20), min_size=1, max_size=4).map(tuple)


def reachable(values: tuple[int, ...], rational: bool) -> set[Fraction]:
    """Every last number that can be reached: plain recursion over ordered pairs, in rationals."""
    found: set[Fraction] = set()

    def go(left: tuple[Fraction, ...]) -> None:
        if len(left) == 1:
            found.add(left[0])
        for i, j in permutations(range(len(left)), 2):
            a, b = left[i], left[j]
            rest = tuple(n for k, n in enumerate(left) if k not in (i, j))
            results = [a + b, a * b]
            if a >= b:
                results.append(a - b)
            if b and (rational or (a >= b and (a / b).denominator == 1)):
                results.append(a / b)
            for c in results:
                go((*rest, c))

    go(tuple(Fraction(v) for v in values))
    return found


@given(st.lists(st.integers(1, 12), min_size=1, max_size=3).map(tuple), st.booleans())
@settings(deadline=None)
def test_the_oracle_is_brute_force(values, rational):
    can = reachable(values, rational)
    for target in range(1, 40):
        assert solvable(tuple(sorted(values)), target, rational) == (target in can)


def test_the_oracle_is_brute_force_on_four_numbers():
    rng = random.Random(0)
    for _ in range(6):
        values = tuple(rng.randint(1, 99) for _ in range(4))
        can = reachable(values, False)
        assert [t for t in range(10, 101) if solvable(tuple(sorted(values)), t)] == [
            t for t in range(10, 101) if t in can
        ]


def test_one_random_instance_in_seven_is_solvable():
    """§2.19: 14.5 % of random instances."""
    rng = SplitMix(5)
    drawn_ = [(tuple(sorted(1 + rng.below(99) for _ in range(4))), 10 + rng.below(91)) for _ in range(4000)]
    share = sum(solvable(values, target) for values, target in drawn_) / 4000
    assert abs(share - 0.145) < 0.02


def test_the_held_out_targets_of_seed_4_are_the_published_ones():
    targets = split_targets(4)
    assert targets.held_out == (81, 96, 89, 39, 41, 62, 57, 14, 87)
    assert sorted((*targets.train, *targets.held_out)) == list(range(10, 101))


def test_a_drawn_instance_is_solvable_and_its_own():
    targets = split_targets(4).train
    for index in range(50):
        one = drawn(1, index, targets)
        assert one == drawn(1, index, targets)
        assert one.state.target in targets
        assert all(1 <= n <= 99 for n in one.state.numbers)
        found = solution(one.state.numbers, one.state.target)
        assert found is not None
        assert len(found) == 3


def test_heuristics_are_those_of_the_paper():
    """§2.19: the mean distance to the target; the sum of the distances to its nearest factor of 2 or more."""
    state = State(24, (40, 7))
    assert heuristic("sum", state) == (16 + 17) / 2
    assert heuristic("mult", state) == (40 - 24) + (8 - 7)
    assert heuristic("sum", State(24, (30,))) == 6.0
    assert Countdown(value_name="sum").value(State(24, (48,))) == 0.0  # h = target: the threshold


def test_the_game_of_24_has_fractions():
    assert solvable((3, 3, 8, 8), 24, rational=True)
    assert not solvable((3, 3, 8, 8), 24)
    found = solution((8, 3, 8, 3), 24, rational=True)
    assert found is not None
    assert any("(8/3)" in step for step in found)


@given(numbers, st.integers(1, 30), st.booleans())
@settings(deadline=None)
def test_states_are_read_as_they_are_shown_and_steps_keep_the_numbers(values, target, rational):
    domain = Countdown(rational=rational)
    state = State(target, values)
    assert domain.read(domain.show(state)) == state
    for step in domain.steps(state):
        assert domain.read(domain.show(step.state)) == step.state
        assert len(step.state.numbers) == len(values) - 1
    logprobs = [step.logprob for step in domain.steps(state)]
    assert not logprobs or math.isclose(math.fsum(map(math.exp, logprobs)), 1.0)


@pytest.mark.parametrize("policy", ["uniform", "sum"])
def test_drawn_steps_are_different_and_follow_the_policy(policy):
    domain = Countdown(policy=policy, temperature=5.0)
    state = State(24, (4, 6, 3))
    steps = domain.steps(state)
    counts = dict.fromkeys((step.action for step in steps), 0)
    for seed in range(4000):
        two = domain.expand(state, 2, Draw(mix(seed)))
        assert two[0] != two[1]
        counts[two[0].action] += 1
    for step in steps:
        share = math.exp(step.logprob)
        assert abs(counts[step.action] / 4000 - share) < 5 * math.sqrt(share * (1 - share) / 4000) + 1e-9


def test_a_solution_is_one_for_the_verifier():
    found = problem(State(62, (40, 83, 11, 50)), 0)
    assert found.spec == {"numbers": [40, 83, 11, 50], "target": 62}
    assert judge("40-11+83-50", *found.spec.values()).outcome == "correct"
    assert Countdown().initial(found) == State(62, (40, 83, 11, 50))


@pytest.mark.parametrize(
    "spec", [{}, {"numbers": [1], "target": 0}, {"numbers": ["1"], "target": 3}, {"numbers": [1] * 7, "target": 3}]
)
def test_a_problem_of_another_kind_is_refused(spec):
    with pytest.raises(DataError, match="not a countdown problem"):
        Countdown().initial(Problem("?", "countdown", "test", spec))
