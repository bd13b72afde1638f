"""Sibling preferences of the run's search trees: steps behind one prefix, by how the searches beyond them ended (rStar-Math's
process preferences, arXiv 2501.04519; algorithms §2.14).

What must stay true: an end is right where the search's own exact check or the problem's verifier said so, never by a value that
a model gave; one tree is in memory at a time; a node is named by its tree and its place in it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

import duckdb

from tracemill.schemas.enums import NodeStatus
from tracemill.tasks.mining.preferences import siblings

#: Trees of one part of a build.
PART: Final = 1000
_BATCH: Final = 8192

Row = dict[str, Any]

_NODES: Final = """
SELECT n.tree_id, t.problem_id, n.node_id, n.step, n.status, n.terminal, n.mc_k, n.mc_correct,
    starts_with(n.state, '{"steps"') AS is_text
FROM nodes n JOIN trees t ON t.tree_id = n.tree_id
WHERE n.status <> 'rejected' AND t.problem_id NOT IN (SELECT subject_id FROM drops WHERE stage = 'problem')
ORDER BY n.tree_id, n.created_order
"""


def node_of(tree: str, node: str) -> str:
    """The name of a node in ``preferences``."""
    return f"{tree}:{node}"


def trees_of(connection: duckdb.DuckDBPyConnection) -> Iterator[list[Row]]:
    """The nodes of each tree, those of one tree together, in the order in which they were created."""
    held: list[Row] = []
    for batch in connection.sql(_NODES).to_arrow_reader(_BATCH):
        for row in batch.to_pylist():
            if held and held[0]["tree_id"] != row["tree_id"]:
                yield held
                held = []
            held.append(row)
    if held:
        yield held


def sibling_rows(nodes: Iterable[Mapping[str, Any]], split: str) -> list[Row]:
    """The preferences of one tree. A node's q is the share of right ones among the ends and rollouts beyond it."""
    by_id = {row["node_id"]: row for row in nodes}
    right, wrong = Counter[str](), Counter[str]()
    for name, row in by_id.items():
        good, bad = _ends(row)
        while name:
            right[name] += good
            wrong[name] += bad
            name = name.rpartition(",")[0]
    children: dict[str, list[Row]] = {}
    for name, row in by_id.items():
        ends = right[name] + wrong[name]
        parent = name.rpartition(",")[0]
        if parent in by_id and ends:
            named = node_of(row["tree_id"], name)
            one = {"node_id": named, "q": right[name] / ends, "right": right[name] > 0, "wrong": wrong[name] > 0}
            children.setdefault(parent, []).append(one)
    found = []
    for parent, group in children.items():
        if len(group) > 1:
            found += siblings(by_id[parent]["problem_id"], split, _prefix(by_id, parent), group)
    return found


def _ends(row: Mapping[str, Any]) -> tuple[int, int]:
    """(right, wrong) ends that a node is, or that rollouts from it came to."""
    good, tried = row["mc_correct"] or 0, row["mc_k"] or 0
    if row["terminal"] and row["status"] == NodeStatus.GOAL:
        return 1, 0
    if row["terminal"] and row["status"] == NodeStatus.DEAD:
        return 0, 1
    return good, tried - good


def _prefix(by_id: Mapping[str, Mapping[str, Any]], node: str) -> str:
    """The steps that lead to ``node``: a text as it was said, steps of a domain on lines of their own."""
    parts = node.split(",")
    steps = [by_id[",".join(parts[: n + 1])]["step"] for n in range(1, len(parts))]
    return "".join(steps if by_id[node]["is_text"] else (f"{step}\n" for step in steps))
