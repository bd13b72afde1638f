"""Trees to rows of ``trees``, ``nodes`` and ``edges``, and back: nothing that a search or a linearizer reads is lost."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from tracemill.schemas.enums import NodeStatus, TreeStatus
from tracemill.schemas.errors import DataError
from tracemill.schemas.ids import canonical_json
from tracemill.tasks.search.tree import ROOT, TERMINAL, Edge, Node, Plot, Tree

S = TypeVar("S")
Row = dict[str, Any]


def tree_row(tree: Tree[Any]) -> Row:
    """The row of ``trees``."""
    plot, best = tree.plot, tree.best_leaf
    return {
        "tree_id": tree.tree_id,
        "problem_id": plot.problem_id,
        "policy_id": plot.policy_id,
        "strategy": plot.strategy,
        "parameters": canonical_json(plot.parameters),
        "seed": plot.seed,
        "status": tree.status.value,
        "budgets": canonical_json(tree.budgets),
        "tokens": tree.tokens,
        "best_leaf": None if best is None else best.node_id,
    }


def node_rows(tree: Tree[S], show: Callable[[S], str]) -> list[Row]:
    """The rows of ``nodes``, in the order of creation."""
    tree_id = tree.tree_id
    return [
        {
            "tree_id": tree_id,
            "node_id": node.node_id,
            "depth": node.depth,
            "step": node.step,
            "state": show(node.state),
            "state_key": node.key,
            "value": node.value,
            "value_source": node.value_source,
            "mc_k": node.mc_k,
            "mc_correct": node.mc_correct,
            "visits": node.visits,
            "status": node.status.value,
            "terminal": node.terminal,
            "prune_reason": node.prune_reason,
            "created_order": node.created,
            "visited_at": list(node.visited),
            "tokens": node.tokens,
        }
        for node in tree.nodes.values()
    ]


def edge_rows(tree: Tree[Any]) -> list[Row]:
    """The rows of ``edges``, by parent in the order of creation."""
    tree_id = tree.tree_id
    return [
        {
            "tree_id": tree_id,
            "parent": edge.parent.node_id,
            "child": edge.child.node_id,
            "action": edge.action,
            "prior": edge.logprob,
            "visits": edge.visits,
            "value": edge.value,
        }
        for node in tree.nodes.values()
        for edge in node.edges
    ]


def tree_of(
    tree: Mapping[str, Any],
    nodes: Iterable[Mapping[str, Any]],
    edges: Sequence[Mapping[str, Any]],
    read: Callable[[str], S],
) -> Tree[S]:
    """The tree that the rows were made of. Raises ``DataError`` where they are not the rows of one tree."""
    import json

    plot = Plot(
        tree["problem_id"], tree["policy_id"], tree["strategy"], json.loads(tree["parameters"]), int(tree["seed"] or 0)
    )
    ordered = sorted(nodes, key=lambda row: row["created_order"])
    if not ordered or ordered[0]["node_id"] != ROOT:
        raise DataError("the tree has no root", where=f"tree {tree['tree_id']}")
    made: dict[str, Node[S]] = {}
    for row in ordered:
        made[row["node_id"]] = _node(row, read(row["state"] or ""))
    grown = Tree(plot, made[ROOT].state, budgets=json.loads(tree["budgets"]))
    grown.status = TreeStatus(tree["status"])
    grown.root, grown.nodes = made[ROOT], made
    grown.by_key = {}
    for node in made.values():
        if node.key is not None and node.status is not NodeStatus.REJECTED:
            grown.by_key.setdefault(node.key, node)
    for row in edges:
        try:
            parent, child = made[row["parent"]], made[row["child"]]
        except KeyError as error:
            raise DataError(f"an edge names the unknown node {error}", where=f"tree {tree['tree_id']}") from error
        edge = Edge(parent, child, row["action"] or "", row["prior"], row["visits"], row["value"])
        parent.edges.append(edge)
        child.parents.append(edge)
    for node in made.values():
        node.parents.sort(key=lambda edge: edge.parent.node_id != node.node_id.rpartition(",")[0])
        new = [edge.child.node_id.rpartition(",") for edge in node.edges]
        node.kept = sum(p == node.node_id and not i.startswith("-") for p, _, i in new)
        node.rejected = sum(p == node.node_id and i.startswith("-") for p, _, i in new)
    grown.clock = 1 + max(max([node.created, *node.visited]) for node in made.values())
    return grown


def _node(row: Mapping[str, Any], state: S) -> Node[S]:
    status = NodeStatus(row["status"])
    reward = None
    if row["terminal"]:
        by_value = row["value_source"] == TERMINAL
        reward = float(row["value"]) if by_value else float(status is NodeStatus.GOAL)
    return Node(
        state,
        row["step"],
        row["state_key"],
        row["node_id"],
        row["depth"],
        row["tokens"],
        row["created_order"],
        reward,
        row["value"],
        row["value_source"],
        row["mc_k"],
        row["mc_correct"],
        row["visits"],
        status,
        row["prune_reason"],
        list(row["visited_at"]),
    )
