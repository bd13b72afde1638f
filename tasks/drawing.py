"""A tree drawn as text: branches by parent, the way to a goal marked, what was rejected counted instead of listed.

Steps and states come from models and data sets: they are shown with their control characters written out, and clipped.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from tracemill.schemas.enums import NodeStatus
from tracemill.tasks.reporting.grid import visible
from tracemill.tasks.search.tree import ROOT

#: Nodes drawn at most, and characters of a step and a state.
MOST: Final = 400
STEP: Final = 60
STATE: Final = 40

_MARKS: Final[Mapping[str, str]] = {
    NodeStatus.GOAL: "goal",
    NodeStatus.DEAD: "dead end",
    NodeStatus.PRUNED: "pruned",
    NodeStatus.OPEN: "open",
}


def drawing(nodes: Sequence[Mapping[str, Any]], edges: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Lines of a tree, from its rows of ``nodes`` and ``edges``. ``*`` marks the nodes that lie on a way to a goal."""
    by_id = {row["node_id"]: row for row in nodes}
    if ROOT not in by_id:
        return
    parents: dict[str, list[str]] = defaultdict(list)
    for edge in edges:
        parents[edge["child"]].append(edge["parent"])
    children: dict[str, list[str]] = defaultdict(list)
    rejected: dict[str, Counter[str]] = defaultdict(Counter)
    for row in sorted(nodes, key=lambda row: row["created_order"]):
        above = _first_parent(row["node_id"])
        if row["node_id"] == ROOT:
            continue
        if row["status"] == NodeStatus.REJECTED:
            rejected[above][row["prune_reason"] or "no reason"] += 1
        else:
            children[above].append(row["node_id"])
    winning = _winning(nodes, parents)
    yield f"{_mark(ROOT, winning)}{ROOT}  {_clip(shown(by_id[ROOT]['state']), STATE)}{_facts(by_id[ROOT])}"
    drawn = 1
    stack = [(ROOT, child, "", i == len(children[ROOT]) - 1) for i, child in enumerate(children[ROOT])][::-1]
    yield from _rejected(rejected[ROOT], "", not children[ROOT])
    while stack:
        parent, node_id, indent, last = stack.pop()
        if drawn == MOST:
            yield f"... and {len(by_id) - drawn} more nodes: tracemill sql \"FROM nodes WHERE tree_id = '...'\""
            return
        drawn += 1
        row, below = by_id[node_id], children[node_id]
        also = [other for other in parents[node_id] if other != parent]
        more = f"  (also from {', '.join(also[:3])})" if also else ""
        branch = "`- " if last else "|- "
        yield (
            f"{indent}{branch}{_mark(node_id, winning)}{_clip(row['step'], STEP)}  ->  {_clip(shown(row['state']), STATE)}"
            f"{_facts(row)}{more}"
        )
        inner = indent + ("   " if last else "|  ")
        yield from _rejected(rejected[node_id], inner, not below)
        stack += [(node_id, child, inner, i == len(below) - 1) for i, child in enumerate(below)][::-1]


def shown(state: str | None) -> str | None:
    """What there is to see of a state: of one of a proof what is left to show, of any other the whole of it."""
    try:
        goals = json.loads(state or "")["goals"]
        return " | ".join("⊢" + goal.rpartition("⊢")[2] for goal in goals) or "nothing is left"
    except (ValueError, TypeError, KeyError, AttributeError):
        return state


def _rejected(reasons: Counter[str], indent: str, last: bool) -> Iterator[str]:
    if reasons:
        said = ", ".join(f"{count} {visible(reason)}" for reason, count in sorted(reasons.items()))
        yield f"{indent}{'`' if last else '|'}- ({said}: not looked at)"


def _winning(nodes: Sequence[Mapping[str, Any]], parents: Mapping[str, Sequence[str]]) -> set[str]:
    found: set[str] = set()
    stack = [row["node_id"] for row in nodes if row["status"] == NodeStatus.GOAL]
    while stack:
        node_id = stack.pop()
        if node_id not in found:
            found.add(node_id)
            stack += parents.get(node_id, ())
    return found


def _first_parent(node_id: str) -> str:
    return node_id.rpartition(",")[0]


def _mark(node_id: str, winning: set[str]) -> str:
    return "* " if node_id in winning else ""


def _facts(row: Mapping[str, Any]) -> str:
    facts = [] if row["value"] is None else [f"value {row['value']:.3g}"]
    if row["mc_k"]:
        facts.append(f"{row['mc_correct']} of {row['mc_k']} playouts")
    if row["visits"]:
        facts.append(f"{row['visits']} visit{'s' if row['visits'] > 1 else ''}")
    if row["tokens"]:
        facts.append(f"{row['tokens']} tokens")
    if row["status"] in _MARKS:
        reason = f": {visible(row['prune_reason'])}" if row["prune_reason"] else ""
        facts.append(_MARKS[row["status"]] + reason)
    return f"   [{', '.join(facts)}]" if facts else ""


def _clip(text: str | None, most: int) -> str:
    said = visible(text or "")
    return said if len(said) <= most else said[: most - 3] + "..."
