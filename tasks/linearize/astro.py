"""A tree as search in words: wrong ends first, then the right one (ASTRO, arXiv 2507.00417; algorithms §2.21).

The wrong ends are those of the highest value, told in the order in which they leave the way to the goal, so that each step
of the way is told once. After each stands an evaluation and a "go back" that names, by number and first words, the step
that the two neighbouring ends share last.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from tracemill.schemas.enums import NodeStatus
from tracemill.tasks.domains.base import Domain
from tracemill.tasks.linearize.base import Linearizer, Stream
from tracemill.tasks.linearize.journey import goal_of
from tracemill.tasks.linearize.prose import Teller, meet, parse
from tracemill.tasks.search.tree import Node, Tree

NAME: Final = "astro"


def write(
    tree: Tree[Any],
    domain: Domain[Any],
    *,
    skip: frozenset[str] = frozenset(),
    options: Mapping[str, Any] | None = None,
) -> Stream:
    """Tell ``tree``. Options: ``wrong`` (3), the most wrong ends; ``reasons``, ``loss``, ``seed``.

    Raises ``Untellable`` for a tree without a goal.
    """
    teller = Teller(NAME, tree, domain, options or {}, quotes=True)
    goal = goal_of(tree)
    ends = sorted(wrong_ends(tree, teller.winning), key=_quality)
    most = int(teller.options.get("wrong", 3))
    chosen = [end for end in ends[max(0, len(ends) - most) :] if not any(n.node_id in skip for n in end.lineage())]
    chosen.sort(key=lambda end: (meet(end, goal).depth, [int(part) for part in end.node_id.split(",")]))
    teller.through([*chosen, goal])
    teller.evaluate(goal)
    return teller.stream()


def wrong_ends(tree: Tree[Any], winning: frozenset[str]) -> list[Node[Any]]:
    """The ends that were verified wrong, or had no way on, with nothing of the tree below them."""
    return [
        node
        for node in tree.nodes.values()
        if node.status is NodeStatus.DEAD and not node.children and node.parents and node.node_id not in winning
    ]


def _quality(end: Node[Any]) -> tuple[float, float, int, int]:
    above = end.parent
    value = above.value if above is not None and above.value is not None else 0.0
    return (end.reward or 0.0, value, end.visits, -end.created)


LINEARIZER: Final = Linearizer(NAME, write, parse)
