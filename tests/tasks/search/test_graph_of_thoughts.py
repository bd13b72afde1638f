"""Graph of Thoughts on sorting, where every score is exact (§2.18)."""

from __future__ import annotations

from collections import Counter

import pytest

from tracemill.schemas.enums import NodeStatus, TreeStatus
from tracemill.schemas.errors import UsageError
from tracemill.tasks.domains.base import Step
from tracemill.tasks.search.budget import Budgets
from tracemill.tasks.search.drive import run, run_now
from tracemill.tasks.search.graph_of_thoughts import NOT_BEST, PLAN, GraphOfThoughts
from tracemill.tasks.search.growth import Growth, grown, plant
from tracemill.tasks.search.rng import SplitMix
from tracemill.tasks.search.rows import edge_rows, node_rows, tree_of, tree_row
from tracemill.tasks.search.values import Own

NUMBERS = (7, 3, 3, 9, 1, 8, 0, 5, 5, 2)


class Sorting:
    """A thought is a sorted list that lost some of the numbers; joined thoughts have what any of them has."""

    name = "sorting"
    step_tokens = 10
    rollout_tokens = 10

    def expand(self, state, k, draw):
        found = []
        for i in range(k):
            rng = SplitMix(draw.seed + i)
            found.append(tuple(sorted(n for n in NUMBERS if rng.below(2))))
        return [Step(f"sort {i}", made, tokens=min(10, draw.max_tokens)) for i, made in enumerate(found)]

    def improve(self, states, draw):
        missing = list((Counter(NUMBERS) - Counter(states[0])).elements())
        return Step("improve", tuple(sorted([*states[0], *missing[:1]])), tokens=draw and draw.max_tokens)

    def aggregate(self, states, draw):
        most = Counter()
        for state in states:
            most |= Counter(state)
        return Step("aggregate", tuple(sorted(most.elements())), tokens=draw and draw.max_tokens)

    def terminal(self, state):
        return 1.0 if state == tuple(sorted(NUMBERS)) else None

    def value(self, state, draw):
        return -float((Counter(NUMBERS) - Counter(state)).total())

    def key(self, state):
        return repr(state)

    def show(self, state):
        return repr(state)

    def read(self, text):
        return tuple(int(n) for n in text.strip("()").split(",") if n.strip())


def search(plot, plan=PLAN, domain=None, budgets=None, **options):
    domain = domain or Sorting()
    budgets = budgets or Budgets()
    growth = Growth(domain, plant(domain, plot, NUMBERS, budgets), budgets=budgets, value=Own())
    return grown(GraphOfThoughts(plan, **options), growth)


def test_the_shipped_plan_reaches_the_goal(plot):
    tree = run_now(search(plot))
    assert tree.status is TreeStatus.SOLVED


def test_the_graph_is_acyclic_and_its_replay_in_order_gives_the_same_states(plot):
    tree = run_now(search(plot, (*PLAN[:-1], ("aggregate", 1)), stop_at_goal=False))
    domain = Sorting()
    joined = 0
    for node in tree.nodes.values():
        assert all(edge.parent.created < node.created for edge in node.parents)
        states = [edge.parent.state for edge in node.parents]
        if node.step == "aggregate":
            joined += 1
            assert len(states) >= 2
            assert domain.aggregate(states, None).state == node.state
        elif node.step == "improve":
            assert domain.improve(states, None).state == node.state
    assert joined >= 2


def test_what_is_not_kept_stays_in_the_graph(plot):
    tree = run_now(search(plot, (("generate", 6), ("score", 1), ("keep_best", 2))))
    children = tree.root.children
    kept = [n for n in children if n.prune_reason != NOT_BEST]
    assert (len(children), len(kept)) == (6, 2)
    assert min(n.value for n in kept) >= max(n.value for n in children if n not in kept)


def test_validate_and_improve_leaves_a_goal_alone_and_stops_after_its_tries(plot):
    class Bad(Sorting):
        def expand(self, state, k, draw):
            return [Step("good", tuple(sorted(NUMBERS)), tokens=1), Step("bad", (1,), tokens=1)]

    tree = run_now(search(plot, (("generate", 2), ("validate_and_improve", 3)), Bad(), stop_at_goal=False))
    assert tree.nodes["0,0"].edges == []
    chain = [node for node in tree.nodes.values() if node.step == "improve"]
    assert len(chain) == 3
    assert [len(node.state) for node in chain] == [2, 3, 4]


def test_a_graph_is_stored_and_read_back(plot):
    tree = run_now(search(plot, stop_at_goal=False))
    domain = Sorting()
    rows = tree_row(tree), node_rows(tree, domain.show), edge_rows(tree)
    again = tree_of(*rows, domain.read)
    assert (tree_row(again), node_rows(again, domain.show), edge_rows(again)) == rows


@pytest.mark.parametrize(("nodes", "tokens"), [(None, 25), (4, None), (7, 61), (1000, 95)])
def test_budgets_hold_exactly(plot, nodes, tokens):
    tree = run_now(search(plot, budgets=Budgets(nodes=nodes, tokens=tokens), stop_at_goal=False))
    assert nodes is None or len(tree.nodes) <= nodes
    assert tokens is None or tree.tokens <= tokens


async def test_an_awaited_domain_gives_the_same_graph(plot, slow):
    class SlowToo(slow):
        async def aggregate(self, *arguments):
            return self._domain.aggregate(*arguments)

        async def improve(self, *arguments):
            return self._domain.improve(*arguments)

    domain = Sorting()
    at_once, awaited = run_now(search(plot)), await run(search(plot, domain=SlowToo(domain)))
    assert node_rows(at_once, domain.show) == node_rows(awaited, domain.show)


def test_an_unknown_operation_is_refused():
    with pytest.raises(UsageError, match="no operation 'sort'"):
        GraphOfThoughts((("sort", 1),))


def test_pruned_thoughts_are_marked(plot):
    tree = run_now(search(plot))
    assert all(n.status is NodeStatus.PRUNED for n in tree.nodes.values() if n.prune_reason)
