"""Value targets of ReST-MCTS* (arXiv 2406.03816; algorithms §2.13).

v_0 = 0;  w_k = (1 - v_{k-1}) / (m_k + 1) * (1 - 2 r_k);  v_k = max(0, v_{k-1} + w_k), where m_k is the least number of steps
from node k to a correct end and r_k is 1 for a wrong step. A node from which no correct end was found is wrong, and
inherits the distance of its nearest ancestor that is not.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tracemill.schemas.enums import NodeStatus
from tracemill.tasks.search.tree import Tree


def next_value(before: float, distance: int, wrong: bool) -> float:
    """v_k from v_{k-1}, m_k and r_k."""
    return max(0.0, before + (1.0 - before) / (distance + 1) * (-1.0 if wrong else 1.0))


def chain_values(distances: Sequence[int], wrong: Sequence[bool]) -> list[float]:
    """v_1, v_2, ... along one chain."""
    values, value = [], 0.0
    for distance, bad in zip(distances, wrong, strict=True):
        value = next_value(value, distance, bad)
        values.append(value)
    return values


def value_targets(tree: Tree[Any]) -> dict[str, float]:
    """Node id -> v, for every node that entered the search; empty where no goal was found."""
    distance = _distances(tree)
    if tree.root.node_id not in distance:
        return {}
    values = {tree.root.node_id: 0.0}
    inherited = {tree.root.node_id: distance[tree.root.node_id]}
    for node in tree.nodes.values():
        parent = node.parent
        if parent is None or node.status is NodeStatus.REJECTED:
            continue
        wrong = node.node_id not in distance
        inherited[node.node_id] = inherited[parent.node_id] if wrong else distance[node.node_id]
        values[node.node_id] = next_value(values[parent.node_id], inherited[node.node_id], wrong)
    return values


def _distances(tree: Tree[Any]) -> dict[str, int]:
    """Steps to the nearest goal, for every node that has one below it."""
    found: dict[str, int] = {}
    level = tree.goals()
    steps = 0
    while level:
        found |= {node.node_id: steps for node in level}
        steps += 1
        above = {edge.parent.node_id: edge.parent for node in level for edge in node.parents}
        level = [node for node_id, node in above.items() if node_id not in found]
    return found
