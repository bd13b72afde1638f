"""Depth-first search of Stream of Search (arXiv 2404.03683, algorithms §2.19): children by value, those below ``floor`` cut."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from tracemill.schemas.enums import TreeStatus
from tracemill.tasks.search.drive import Work
from tracemill.tasks.search.growth import Growth, Offer
from tracemill.tasks.search.tree import Node

THRESHOLD: Final = "threshold"


@dataclass(frozen=True, slots=True)
class DepthFirst:
    """Stops at the first goal. A child is looked at when its turn comes, and its parent is visited again before the next."""

    floor: float | None = 0.0
    k: int | None = None
    name: str = "dfs"

    def grow(self, growth: Growth[Any]) -> Work[TreeStatus]:
        stack: list[tuple[Node[Any], list[Offer[Any]]]] = []
        node: Node[Any] | None = growth.tree.root
        while True:
            if node is not None:
                growth.visit(node)
                stack.append((node, (yield from self._kept(growth, node))))
                node = None
            while stack and not stack[-1][1]:
                stack.pop()
            if not stack:
                return TreeStatus.EXHAUSTED
            parent, left = stack[-1]
            if parent.kept:
                growth.visit(parent)
            offer = left.pop()
            known = offer.node.created >= 0  # merged: searched before
            child = growth.admit(offer)
            if child.goal:
                return TreeStatus.SOLVED
            if not child.terminal and not known:
                node = child

    def _kept(self, growth: Growth[Any], node: Node[Any]) -> Work[list[Offer[Any]]]:
        """The children worth a look, the best last."""
        (offers,) = yield from growth.offer([node], self.k)
        kept = []
        for offer in offers:
            if self.floor is not None and _value(offer) < self.floor:
                growth.reject(offer, THRESHOLD)
            else:
                kept.append(offer)
        return sorted(kept, key=_value, reverse=True)[::-1]


def _value(offer: Offer[Any]) -> float:
    return offer.node.value if offer.node.value is not None else 0.0
