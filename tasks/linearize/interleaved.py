"""Generation and verification by turns in one stream (algorithms §2.7).

Told as a journey, with a ``<verify>`` block after a step. What must stay true: a block is there only where its verdict is
the label of that prefix; a prefix without a label, or a judgement that does not agree with it, has no block.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from tracemill.schemas.enums import NodeStatus
from tracemill.tasks.domains.base import Domain
from tracemill.tasks.linearize import journey
from tracemill.tasks.linearize.base import Linearizer, Stream
from tracemill.tasks.linearize.prose import Teller, parse
from tracemill.tasks.search.tree import Node, Tree

NAME: Final = "interleaved"
#: The fewest playouts of which none ended right that label a prefix wrong.
PLAYOUTS: Final = 8
WORDS: Final[Mapping[bool, str]] = {
    True: "From here a right end can still be reached.",
    False: "From here no right end can be reached.",
}


def write(
    tree: Tree[Any],
    domain: Domain[Any],
    *,
    skip: frozenset[str] = frozenset(),
    options: Mapping[str, Any] | None = None,
) -> Stream:
    """Tell ``tree``. Options: ``critiques`` (node id -> [words, whether they say it is right]), and those of journey.

    Without critiques the judgement is the search's own: a value in [0, 1], right from 0.5 on.
    """
    teller = _Verifying(NAME, tree, domain, options or {})
    journey.tell(teller, skip)
    return teller.stream()


def label_of(node: Node[Any], winning: frozenset[str]) -> bool | None:
    """Whether the prefix that ends at ``node`` is right; None where nothing is known.

    Right: on the way to a goal, or a playout ended right. Wrong: an end verified wrong, or ``PLAYOUTS`` and more playouts
    that all ended wrong.
    """
    if node.node_id in winning or node.mc_correct:
        return True
    if (node.terminal and node.status is NodeStatus.DEAD) or (node.mc_k or 0) >= PLAYOUTS:
        return False
    return None


def judgement_of(node: Node[Any], critiques: Mapping[str, Any]) -> tuple[str, bool] | None:
    """The words on ``node`` and their verdict; None where nobody judged."""
    if critiques:
        found = critiques.get(node.node_id)
        return None if found is None else (str(found[0]), bool(found[1]))
    if node.value is None or node.terminal or not 0.0 <= node.value <= 1.0:
        return None
    right = node.value >= 0.5
    return WORDS[right], right


@dataclass(slots=True)
class _Verifying(Teller):
    """A teller that verifies each step that it tells, but for the goal, which ends the stream."""

    def step(self, node: Node[Any]) -> None:
        Teller.step(self, node)
        if node.goal:
            return
        judged = judgement_of(node, self.options.get("critiques", {}))
        if judged is not None and judged[1] is label_of(node, self.winning):
            self.verify(node, *judged)


LINEARIZER: Final = Linearizer(NAME, write, parse)
