"""A search told short: the whole of it, less its largest dead subtrees, until it has ``share`` of the length.

Paired with the raw stream of the same tree, never instead of it (Compress-Distill, arXiv 2606.05988; algorithms §C.4). The
way to the goal is always kept, and so is the answer.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from tracemill.tasks.domains.base import Domain
from tracemill.tasks.linearize.base import Linearizer, Stream
from tracemill.tasks.linearize.fit import dead_subtrees, shortened
from tracemill.tasks.linearize.journey import goal_of
from tracemill.tasks.linearize.prose import Teller, failing_ids, own_children, parse
from tracemill.tasks.search.tree import Node, Tree

NAME: Final = "condensed"
SHARE: Final = 0.3


def write(
    tree: Tree[Any],
    domain: Domain[Any],
    *,
    skip: frozenset[str] = frozenset(),
    options: Mapping[str, Any] | None = None,
) -> Stream:
    """Tell ``tree``. Options: ``share`` (0.3) of the raw telling's characters; ``reasons``, ``loss``, ``seed``.

    Raises ``Untellable`` for a tree without a goal.
    """
    given = options or {}
    whole = raw(tree, domain, frozenset(), given)
    most = int(len(whole.text) * float(given.get("share", SHARE)))
    short = shortened(whole, tree, lambda more: raw(tree, domain, more, given), lambda text: len(text) <= most)
    if not skip:
        return short
    dropped = frozenset(dead_subtrees(whole, tree)) - frozenset(dead_subtrees(short, tree))
    return raw(tree, domain, skip | dropped, given)


def raw(tree: Tree[Any], domain: Domain[Any], skip: frozenset[str], options: Mapping[str, Any]) -> Stream:
    """Every dead end, from the root on, each before the step to the goal that stands beside it; then the goal."""
    teller = Teller(NAME, tree, domain, options)
    goal = goal_of(tree)
    failing, path = failing_ids(tree), set(goal.lineage())
    ends: list[Node[Any]] = []
    stack = [tree.root]
    while stack:
        node = stack.pop()
        away = [c for c in own_children(node, skip) if c.node_id in failing and c.node_id not in teller.winning]
        onward = [c for c in own_children(node) if c in path]
        if not away and node.node_id not in teller.winning:
            ends.append(node)
        stack += [*onward, *away[::-1]]
    teller.through([*ends, goal])
    return teller.stream()


LINEARIZER: Final = Linearizer(NAME, write, parse)
