"""A tree as a long thought: the way to the goal with short excursions (Journey Learning, arXiv 2410.18982; algorithms §2.20).

On the way to the goal each node may first try up to ``excursions`` children that lead away; an excursion follows one
random child at a time down to an end that was verified wrong, or that had no way on, and comes back. What must stay
true: every step of the way is told once, in order; the last segment is the goal.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any, Final

from tracemill.tasks.domains.base import Domain
from tracemill.tasks.linearize.base import Linearizer, Stream, Untellable
from tracemill.tasks.linearize.prose import Teller, failing_ids, own_children, parse
from tracemill.tasks.search.rng import SplitMix, mix
from tracemill.tasks.search.tree import Node, Tree

NAME: Final = "journey"
SHORTCUT: Final = "shortcut"
NO_GOAL: Final = "no_goal"


def write(
    tree: Tree[Any],
    domain: Domain[Any],
    *,
    skip: frozenset[str] = frozenset(),
    options: Mapping[str, Any] | None = None,
) -> Stream:
    """Tell ``tree``. Options: ``excursions`` (1), ``reasons`` (node id -> why it is wrong), ``loss``, ``seed``.

    Raises ``Untellable`` for a tree without a goal.
    """
    teller = Teller(NAME, tree, domain, options or {})
    tell(teller, skip)
    return teller.stream()


def write_shortcut(
    tree: Tree[Any],
    domain: Domain[Any],
    *,
    skip: frozenset[str] = frozenset(),
    options: Mapping[str, Any] | None = None,
) -> Stream:
    """The way to the goal alone: the twin of every stream in paragraphs."""
    teller = Teller(SHORTCUT, tree, domain, {**(options or {}), "excursions": 0})
    tell(teller, skip)
    return teller.stream()


def goal_of(tree: Tree[Any]) -> Node[Any]:
    """The goal that a stream ends with. Raises ``Untellable`` where there is none."""
    best = tree.best_leaf
    if best is None or not best.goal or best is tree.root:
        raise Untellable(NO_GOAL)
    return best


def tell(teller: Teller, skip: frozenset[str]) -> None:
    """The way to the goal with its excursions; ``teller.step`` and its kin may be of a subclass."""
    path = goal_of(teller.tree).lineage()
    failing = failing_ids(teller.tree)
    rng = SplitMix(mix(teller.tree.plot.seed, int(teller.options.get("seed", 0)), 1))
    most = int(teller.options.get("excursions", 1))

    def away(node: Node[Any]) -> list[Node[Any]]:
        return [c for c in own_children(node) if c.node_id in failing and c.node_id not in teller.winning]

    for node, following in pairwise(path):
        for child in rng.sample(away(node), most):
            excursion = [child]
            while further := away(excursion[-1]):
                excursion.append(further[rng.below(len(further))])
            if any(passed.node_id in skip for passed in excursion):
                continue
            for passed in excursion:
                teller.step(passed)
            if excursion[-1].terminal:
                teller.evaluate(excursion[-1])
            teller.back(excursion[-1], node)
        teller.step(following)


LINEARIZER: Final = Linearizer(NAME, write, parse)
TWIN: Final = Linearizer(SHORTCUT, write_shortcut, parse)
