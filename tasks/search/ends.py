"""Where a search went and came out of with nothing: the dead ends of a grown tree, of three kinds.

What must stay true: the kinds are read from the tree alone, and a node on a path to a goal (through any parent) is of none.

- ``stuck``: every step from it was tried and none leads on; nor does it count as an end of its own.
- ``exhausted``: it was expanded, and whatever can be reached from it was expanded too, or is stuck, or is a wrong end, without
  a goal anywhere: dead ends go up the graph, also where steps lead round in a circle. Every ``stuck`` node is one.
- ``abandoned``: it was expanded and so was a child of it, but the search was over before all below it was tried.

The first two say that nothing is there (with the steps that were offered); the third says only that the search came back.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from tracemill.schemas.enums import NodeStatus
from tracemill.tasks.search.tree import Node, Tree

#: Why a node that is dead has no steps, in ``prune_reason``: what is left to do is impossible, by a proof or a counterexample.
REFUTED = "refuted"


@dataclass(frozen=True, slots=True)
class DeadEnds:
    """Ids of nodes. ``stuck`` is a part of ``exhausted``; ``refuted`` a part of ``stuck``; ``abandoned`` meets none of them."""

    stuck: frozenset[str]
    refuted: frozenset[str]
    exhausted: frozenset[str]
    abandoned: frozenset[str]


def dead_ends(tree: Tree[Any]) -> DeadEnds:
    """The dead ends of ``tree``; the root is never one."""
    nodes = [node for node in tree.nodes.values() if node.status is not NodeStatus.REJECTED]
    alive = _above(node for node in nodes if node.goal)
    unfinished = _above(
        node
        for node in nodes
        if node.status in (NodeStatus.OPEN, NodeStatus.PRUNED) or node.prune_reason not in (None, REFUTED)
    )
    tried = [node for node in nodes if node is not tree.root and not node.terminal and node not in alive]
    stuck = [node for node in tried if node.status is NodeStatus.DEAD and not node.edges]
    exhausted = [
        node for node in tried if node.status in (NodeStatus.DEAD, NodeStatus.EXPANDED) and node not in unfinished
    ]
    abandoned = [
        node
        for node in tried
        if node in unfinished
        and node.status is NodeStatus.EXPANDED
        and any(child.edges or child.status is NodeStatus.DEAD for child in node.children)
    ]
    return DeadEnds(
        _ids(stuck), _ids(node for node in stuck if node.prune_reason == REFUTED), _ids(exhausted), _ids(abandoned)
    )


def _above(nodes: Iterable[Node[Any]]) -> set[Node[Any]]:
    """``nodes`` and all from which one of them can be reached."""
    found: set[Node[Any]] = set()
    stack = list(nodes)
    while stack:
        node = stack.pop()
        if node not in found:
            found.add(node)
            stack += [edge.parent for edge in node.parents]
    return found


def _ids(nodes: Iterable[Node[Any]]) -> frozenset[str]:
    return frozenset(node.node_id for node in nodes)
