"""One way to grow a tree: budgets hold exactly, nothing paid for is lost, both drivers give the same tree."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tracemill.schemas.enums import NodeStatus, TreeStatus
from tracemill.tasks.search.budget import Budgets
from tracemill.tasks.search.drive import run, run_now
from tracemill.tasks.search.growth import Growth, grown, plant
from tracemill.tasks.search.rows import edge_rows, node_rows, tree_of, tree_row
from tracemill.tasks.search.values import MonteCarlo, Own


class Flood:
    """Expand every open node, level by level, ``k`` children each; visit what is expanded."""

    name = "flood"

    def __init__(self, k):
        self.k = k

    def grow(self, growth):
        level = [growth.tree.root]
        while level:
            for node in level:
                growth.visit(node)
            children = yield from growth.expand(level, self.k)
            level = list(dict.fromkeys(c for some in children for c in some if c.status is NodeStatus.OPEN))
        return TreeStatus.EXHAUSTED


def tree_with(domain, plot, budgets=None, k=None, **options):
    growth = Growth(domain, plant(domain, plot, "", budgets or Budgets()), budgets=budgets, **options)
    return grown(Flood(k), growth)


def documents(tree, domain):
    return tree_row(tree), node_rows(tree, domain.show), edge_rows(tree)


def test_every_node_of_a_small_domain_is_grown_once(digits, plot):
    tree = run_now(tree_with(digits(), plot, value=Own()))
    assert tree.status is TreeStatus.EXHAUSTED
    assert len(tree.nodes) == 1 + 3 + 9
    assert [n.node_id for n in tree.goals()] == ["0,1,2"]
    assert tree.nodes["0,1"].value == 0.5
    assert tree.best_leaf is tree.nodes["0,1,2"]


async def test_an_awaited_domain_gives_the_same_tree(digits, slow, plot):
    domain = digits(goal="012", price=4)
    at_once = run_now(tree_with(domain, plot, k=2, value=MonteCarlo(3)))
    awaited = await run(tree_with(slow(domain), plot, k=2, value=MonteCarlo(3)))
    assert documents(at_once, domain) == documents(awaited, domain)


def test_a_domain_that_asks_an_engine_is_refused_without_a_loop(digits, slow, plot):
    with pytest.raises(TypeError, match="await run"):
        run_now(tree_with(slow(digits()), plot))


@given(nodes=st.integers(1, 60), tokens=st.integers(1, 120), k=st.integers(1, 3), length=st.integers(1, 4))
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_budgets_hold_exactly(digits, plot, nodes, tokens, k, length):
    domain = digits(goal="2" * length, price=3)
    tree = run_now(tree_with(domain, plot, Budgets(nodes=nodes, tokens=tokens), k=k))
    assert len(tree.nodes) <= nodes
    assert tree.tokens <= tokens
    if tree.status is TreeStatus.NODE_BUDGET:
        assert len(tree.nodes) == nodes
    if tree.status is TreeStatus.TOKEN_BUDGET:
        assert tree.tokens == tokens


def test_rows_give_the_tree_back(digits, plot):
    domain = digits(goal="120", price=4)
    tree = run_now(tree_with(domain, plot, Budgets(nodes=20), k=2, value=MonteCarlo(2), merge="states"))
    again = tree_of(*documents(tree, domain), domain.read)
    assert documents(again, domain) == documents(tree, domain)
    assert [n.node_id for n in again.moves()] == [n.node_id for n in tree.moves()]
    assert again.clock == tree.clock


def test_after_the_seconds_nothing_new_starts(digits, plot):
    now = iter([0.0, 1.0, 6.0, 7.0])
    domain = digits(goal="0000")
    budgets = Budgets(seconds=5.0)
    growth = Growth(domain, plant(domain, plot, "", budgets), budgets=budgets, clock=lambda: next(now))
    tree = run_now(grown(Flood(None), growth))
    assert tree.status is TreeStatus.TIME_CUT
    assert len(tree.nodes) == 4


def test_equal_states_are_merged_and_their_price_is_kept(digits, plot):
    class Sums(digits):
        def key(self, state):
            return f"{len(state)}:{sum(map(int, state))}"

    domain = Sums(goal="111", price=4)
    merged = run_now(tree_with(domain, plot, k=3, merge="states"))
    plain = run_now(tree_with(domain, plot, k=3))
    assert len(merged.nodes) == 1 + 3 + 5 + 7
    assert len(plain.nodes) == 1 + 3 + 9 + 27
    assert any(len(node.parents) == 3 for node in merged.nodes.values())
    assert merged.tokens == (1 + 2 + 3) * (1 + 3 + 5)


def test_a_child_that_two_steps_lead_to_is_not_both_taken_and_rejected(digits, plot):
    """A merged sibling was rejected by one step and admitted by the other, and kept a rejected child's id."""

    class Twins(digits):
        def key(self, state):
            return f"{len(state)}:{int(state[-1:] or 0) % 2}"

    domain = Twins(goal="00", base=4)
    for merge in ("siblings", "states"):
        growth = Growth(domain, plant(domain, plot, "", Budgets()), value=Own(), merge=merge)

        class Half:
            name = "half"

            def grow(self, growth):
                growth.visit(growth.tree.root)
                (offers,) = yield from growth.offer([growth.tree.root], None)
                assert len(offers) == 2
                growth.reject(offers[0], "half")
                growth.admit(offers[1])
                return TreeStatus.EXHAUSTED

        tree = run_now(grown(Half(), growth))
        assert [n for n in tree.nodes.values() if (n.status is NodeStatus.REJECTED) != ("-" in n.node_id)] == []
        assert len(tree.nodes) == 3


def test_a_step_back_to_the_root_is_an_edge_and_not_a_parent(digits, plot):
    class Round(digits):
        def key(self, state):
            return str(sum(map(int, state)) % 3)

    domain = Round(goal="1111")
    tree = run_now(tree_with(domain, plot, merge="states"))
    assert len(tree.nodes) == 3
    assert any(edge.child is tree.root for node in tree.nodes.values() for edge in node.edges)
    assert tree.root.parent is None
    assert [node.node_id for node in tree.nodes["0,1"].lineage()] == ["0", "0,1"]
    again = tree_of(*documents(tree, domain), domain.read)
    assert documents(again, domain) == documents(tree, domain)
    assert again.nodes["0,1"].lineage()[0] is again.root
