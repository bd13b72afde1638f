"""Dead ends are read from the tree: what is stuck, what has nothing below it, and what was only left."""

from __future__ import annotations

from tracemill.schemas.enums import NodeStatus
from tracemill.tasks.search.ends import REFUTED, dead_ends
from tracemill.tasks.search.tree import Node, Plot, Tree


def grow(edges, goals=(), open_=(), dead=()):
    """A tree of named nodes; ``edges`` are (parent, child) and may meet or lead back."""
    tree = Tree(Plot("p", "m", "t", {}, 0), "root")
    nodes = {"root": tree.root}
    for parent, child in edges:
        node = nodes.setdefault(child, Node(child))
        tree.link(nodes[parent], node, child)
    for name, node in nodes.items():
        node.status = NodeStatus.EXPANDED
        if name in goals:
            node.status, node.reward = NodeStatus.GOAL, 1.0
        if name in open_:
            node.status = NodeStatus.OPEN
        if name in dead:
            node.status = NodeStatus.DEAD
    return tree, nodes


def names(tree, ids):
    return {tree.nodes[node_id].state for node_id in ids}


def test_a_state_without_steps_is_stuck_and_what_leads_only_there_is_exhausted():
    tree, _ = grow([("root", "a"), ("a", "b"), ("a", "c"), ("root", "g")], goals="g", dead="bc")
    ends = dead_ends(tree)
    assert names(tree, ends.stuck) == {"b", "c"}
    assert names(tree, ends.exhausted) == {"a", "b", "c"}
    assert ends.abandoned == frozenset()


def test_what_is_open_below_is_abandoned_and_no_dead_end():
    tree, _ = grow([("root", "a"), ("a", "b"), ("b", "c"), ("root", "g")], goals="g", open_="c")
    ends = dead_ends(tree)
    assert ends.exhausted == frozenset()
    assert names(tree, ends.abandoned) == {"a"}


def test_a_circle_with_nothing_in_it_is_exhausted():
    tree, _ = grow([("root", "a"), ("a", "b"), ("b", "a"), ("root", "g")], goals="g")
    assert names(tree, dead_ends(tree).exhausted) == {"a", "b"}


def test_a_circle_through_the_root_is_not():
    tree, _ = grow([("root", "a"), ("a", "root"), ("root", "g")], goals="g")
    assert dead_ends(tree).exhausted == frozenset()


def test_what_leads_to_a_goal_through_another_parent_is_alive():
    tree, _ = grow([("root", "a"), ("root", "b"), ("a", "g"), ("b", "a")], goals="g")
    assert dead_ends(tree).exhausted == frozenset()


def test_a_state_that_was_not_tried_to_the_end_is_no_dead_end():
    tree, nodes = grow([("root", "a"), ("a", "b"), ("root", "c"), ("root", "g")], goals="g", dead="bc")
    nodes["b"].status, nodes["b"].prune_reason = NodeStatus.PRUNED, "calls"
    nodes["c"].prune_reason = REFUTED
    ends = dead_ends(tree)
    assert names(tree, ends.exhausted) == names(tree, ends.refuted) == {"c"}
