"""Breadth-first search of Stream of Search (arXiv 2404.03683, algorithms §2.19): one heap for all levels, so best-first-like.

In each round the best ``width`` nodes are taken from the heap; of each one's children the best ``width`` are kept and shown
in a shuffled order. Ends are looked at where they are made and never enter the heap.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from typing import Any, Final

from tracemill.schemas.enums import TreeStatus
from tracemill.tasks.search.drive import Work
from tracemill.tasks.search.growth import Growth, Offer
from tracemill.tasks.search.rng import SplitMix, mix
from tracemill.tasks.search.tree import Node

WIDTH: Final = "width"


@dataclass(frozen=True, slots=True)
class BreadthFirst:
    """Stops at the first goal."""

    width: int = 3
    k: int | None = None
    name: str = "bfs"

    def grow(self, growth: Growth[Any]) -> Work[TreeStatus]:
        rng = SplitMix(mix(growth.tree.plot.seed, 0))
        heap: list[tuple[float, int, Node[Any]]] = [(0.0, 0, growth.tree.root)]
        while heap:
            for _, _, node in [heapq.heappop(heap) for _ in range(min(self.width, len(heap)))]:
                growth.visit(node)
                (offers,) = yield from growth.offer([node], self.k)
                ranked = sorted(offers, key=_value, reverse=True)
                for offer in ranked[self.width :]:
                    growth.reject(offer, WIDTH)
                kept = ranked[: self.width]
                rng.shuffle(kept)
                for offer in kept:
                    known = offer.node.created >= 0
                    child = growth.admit(offer)
                    if child.goal:
                        return TreeStatus.SOLVED
                    if not child.terminal and not known:
                        heapq.heappush(heap, (-_value(offer), child.created, child))
        return TreeStatus.EXHAUSTED


def _value(offer: Offer[Any]) -> float:
    return offer.node.value if offer.node.value is not None else 0.0
