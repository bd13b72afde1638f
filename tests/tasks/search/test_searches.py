"""Every search on one interface: against brute force, within its budgets, the same for the same seed."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tracemill.schemas.enums import NodeStatus, TreeStatus
from tracemill.schemas.errors import UsageError
from tracemill.tasks.domains.countdown import Countdown, State, solvable
from tracemill.tasks.domains.countdown_instances import drawn, split_targets
from tracemill.tasks.search.best_first import BestFirst
from tracemill.tasks.search.budget import Budgets
from tracemill.tasks.search.drive import run, run_now
from tracemill.tasks.search.growth import Growth, grown, plant
from tracemill.tasks.search.registry import SEARCHES, build_search, parameters_of
from tracemill.tasks.search.rng import mix
from tracemill.tasks.search.rows import edge_rows, node_rows, tree_row
from tracemill.tasks.search.tree import Node, Plot
from tracemill.tasks.search.values import MonteCarlo, Own, Reward

SMALL = {
    "beam": {"width": 2, "k": 2, "depth": 6, "lookahead": 1},
    "best_first": {"k": 2, "parallel": 2},
    "best_of_n": {"n": 3},
    "bfs": {"width": 2, "k": 2},
    "dfs": {"k": 2, "floor": None},
    "dvts": {"n": 4, "m": 2},
    "guess_and_check": {"n": 2},
    "mcts": {"iterations": 12, "k": 2, "parallel": 3},
}


def work(domain, state, search, *, seed=0, budgets=None, value=None, merge="none"):
    limits = budgets or Budgets()
    plot = Plot("p", "m", search.name, parameters_of(search), seed)
    growth = Growth(domain, plant(domain, plot, state, limits), budgets=limits, value=value or Own(), merge=merge)
    return grown(search, growth)


def grow(*arguments, **options):
    return run_now(work(*arguments, **options))


def rows(tree, domain):
    return tree_row(tree), node_rows(tree, domain.show), edge_rows(tree)


def test_every_search_has_a_small_form():
    assert set(SMALL) <= set(SEARCHES)


@pytest.mark.parametrize("name", sorted(SMALL))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    seed=st.integers(0, 99),
    nodes=st.none() | st.integers(1, 40),
    tokens=st.none() | st.integers(1, 80),
    playouts=st.booleans(),
    merge=st.sampled_from(["none", "siblings", "states"]),
)
def test_budgets_hold_exactly_and_nothing_paid_for_is_lost(digits, name, seed, nodes, tokens, playouts, merge):
    paid = []

    class Counted(digits):
        def expand(self, state, k, draw):
            steps = super().expand(state, k, draw)
            paid.extend(step.tokens for step in steps)
            return steps

        def rollout(self, state, draw):
            found = super().rollout(state, draw)
            paid.append(found.tokens)
            return found

    domain = Counted(goal="2021", price=3)
    value = MonteCarlo(2) if playouts else Own()
    search = build_search(name, SMALL[name])
    tree = grow(domain, "", search, seed=seed, budgets=Budgets(nodes, tokens), value=value, merge=merge)
    assert tree.tokens == sum(paid)
    assert nodes is None or len(tree.nodes) <= nodes
    assert tokens is None or tree.tokens <= tokens
    if tree.status is TreeStatus.NODE_BUDGET:
        assert len(tree.nodes) == nodes
    if tree.status is TreeStatus.TOKEN_BUDGET:
        assert tree.tokens == tokens
    assert sorted(
        {n.created for n in tree.nodes.values()} | {t for n in tree.nodes.values() for t in n.visited}
    ) == list(range(tree.clock))


@pytest.mark.parametrize("name", sorted(SMALL))
async def test_the_same_seed_gives_the_same_tree_at_once_and_awaited(digits, slow, name):
    domain = digits(goal="2021", price=3)
    search = build_search(name, SMALL[name])
    once = grow(domain, "", search, seed=5, value=MonteCarlo(2), merge="states")
    again = grow(domain, "", search, seed=5, value=MonteCarlo(2), merge="states")
    other = grow(domain, "", search, seed=6, value=MonteCarlo(2), merge="states")
    awaited = await run(work(slow(domain), "", search, seed=5, value=MonteCarlo(2), merge="states"))
    assert rows(once, domain) == rows(again, domain) == rows(awaited, domain)
    assert rows(once, domain) != rows(other, domain)


INSTANCES = [drawn(21, index, split_targets(4).train).state for index in range(40)]


def games(n: int) -> list[State]:
    rng = random.Random(3)
    found = []
    while len(found) < n:
        numbers = tuple(rng.randint(1, 13) for _ in range(4))
        if solvable(tuple(sorted(numbers)), 24, True):
            found.append(State(24, numbers))
    return found


@pytest.mark.parametrize("rational", [False, True])
@pytest.mark.parametrize("width", [1, 4])
def test_a_beam_guided_by_the_oracle_solves_everything(rational, width):
    """§2.11: with a perfect reward model a beam as wide as is needed reaches 100 %; here one node is enough."""
    domain = Countdown(rational=rational, value_name="oracle")
    for state in games(20) if rational else INSTANCES:
        tree = grow(domain, state, build_search("beam", {"width": width, "k": None}))
        assert tree.status is TreeStatus.SOLVED


@pytest.mark.parametrize("name", ["best_first", "dfs", "mcts"])
def test_a_search_without_limits_is_brute_force(name):
    rng = random.Random(1)
    options = {"dfs": {"floor": None}, "mcts": {"iterations": 4000, "stop_at_goal": True, "exploration": 100.0}}
    domain = Countdown(value_name="sum")
    for _ in range(10):
        state = State(rng.randint(10, 40), tuple(rng.randint(1, 15) for _ in range(3)))
        tree = grow(domain, state, build_search(name, options.get(name, {})))
        assert bool(tree.goals()) == solvable(tuple(sorted(state.numbers)), state.target)


def test_a_random_reward_is_worth_no_more_than_chance():
    """§2.11: guided by a random reward, a chain solves as often as a random playout does."""

    domain = Countdown()
    state = State(24, (4, 6, 3, 8))
    n = 700
    guided = sum(
        bool(grow(domain, state, build_search("guess_and_check", {"n": 3, "stop_at_goal": False}), seed=s,
                  value=Reward(lambda x, s=s: mix(s, *map(int, x.numbers)) / 2**63)).best_leaf.goal)
        for s in range(n)
    )  # fmt: skip
    # The last choice is among three ends, of which the search takes a goal where there is one: as good as best of three.
    alone = sum(
        bool(grow(domain, state, build_search("best_of_n", {"n": 1}), seed=s).best_leaf.goal) for s in range(3 * n)
    )
    p = alone / (3 * n)
    low, high = p, 1 - (1 - p) ** 3
    spread = 4 * math.sqrt(high * (1 - high) / n) + 4 * math.sqrt(p * (1 - p) / (3 * n))
    assert low - spread <= guided / n <= high + spread


def test_pruned_steps_are_counted_in_the_tokens(digits):
    """§2.11: the reference's DVTS writes -1; ours counts what was pruned."""
    domain = digits(goal="22", price=3)
    for name, rounds in (("beam", [3, 6]), ("dvts", [6, 6])):
        search = build_search(name, {"beam": {"width": 2, "k": 3}, "dvts": {"n": 6, "m": 3}}[name])
        tree = grow(domain, "", search)
        assert tree.tokens == sum(rounds) // 3 * (1 + 2 + 3)
        assert any(n.status is NodeStatus.PRUNED for n in tree.nodes.values())


def test_lookahead_sees_a_trap_that_the_next_value_hides(digits):
    class Trap(digits):
        def value(self, state, draw):
            return {"": 0.0, "0": 0.9, "1": 0.5, "2": 0.1}.get(state, 0.8 if state.startswith("1") else 0.0)

        def expand(self, state, k, draw):
            steps = super().expand(state, None, draw)
            return sorted(steps, key=lambda s: -self.value(s.state, draw))[:k] if draw.greedy else steps[:k]

    domain = Trap(goal="100")
    blind = grow(domain, "", build_search("beam", {"width": 1, "k": 3}))
    seeing = grow(domain, "", build_search("beam", {"width": 1, "k": 3, "lookahead": 1}))
    assert not blind.goals()
    assert seeing.goals()
    ahead = [n for n in seeing.nodes.values() if n.prune_reason == "lookahead"]
    assert ahead
    assert all(n.status is NodeStatus.REJECTED for n in ahead)


def test_best_first_by_logprob_goes_by_the_whole_way(digits):
    """§2.16: the priority is the sum of the log-probabilities (here minus the sum of the digits)."""
    domain = digits(goal="222")
    tree = grow(domain, "", build_search("best_first", {"by": "logprob", "stop_at_goal": False}))
    moves = [sum(map(int, node.state)) for node in tree.moves()]
    assert moves == sorted(moves)
    assert len(moves) == 1 + 3 + 9


def test_dvts_keeps_its_subtrees_apart():
    domain = Countdown(value_name="sum")
    tree = grow(domain, INSTANCES[0], build_search("dvts", {"n": 8, "m": 4}))
    assert len([n for n in tree.nodes.values() if n.depth == 1 and n.status is NodeStatus.EXPANDED]) == 2
    ends = [n.parent for n in tree.leaves()]
    assert len(set(ends)) == 2
    assert len(ends) <= 8  # two numbers have three or four steps
    with pytest.raises(UsageError, match="multiple"):
        build_search("dvts", {"n": 5, "m": 2})


@pytest.mark.parametrize(("name", "parameters"), [("beams", {}), ("beam", {"widht": 3})])
def test_a_name_that_is_not_there_is_said(name, parameters):
    with pytest.raises(UsageError, match=r"no search 'beams'|no parameter 'widht'"):
        build_search(name, parameters)


def test_best_first_by_both_weighs_the_value_beside_the_log_probability_of_the_way():
    near, far = Node("near", value=0.5, depth=1), Node("far", value=0.9, depth=4)
    assert BestFirst(by="both", mix=0.0)._worth(-2.0, far) == -2.0
    assert BestFirst(by="both", mix=2.0)._worth(-2.0, near) == pytest.approx(-2.0 + 2.0 * math.log(0.5))
    assert BestFirst(by="logprob", length=0.5)._worth(-2.0, far) == -1.0  # two nats over the root of four steps
    assert BestFirst(by="value")._worth(-2.0, far) == 0.9
