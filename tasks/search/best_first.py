"""Best-first search: the most promising open node is expanded next.

By ``value``, or by ``logprob``, the sum of the log-probabilities of the steps that lead to a node (LeanDojo's ReProver,
algorithms §2.16; no length penalty). Equal nodes are expanded in the order of their creation.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from typing import Any, Literal

from tracemill.schemas.enums import NodeStatus, TreeStatus
from tracemill.tasks.search.drive import Work
from tracemill.tasks.search.growth import Growth
from tracemill.tasks.search.tree import Node


@dataclass(frozen=True, slots=True)
class BestFirst:
    """``parallel`` nodes are expanded in each batch."""

    k: int | None = None
    by: Literal["value", "logprob"] = "value"
    parallel: int = 1
    stop_at_goal: bool = True
    name: str = "best_first"

    def grow(self, growth: Growth[Any]) -> Work[TreeStatus]:
        heap: list[tuple[float, int, float, Node[Any]]] = [(0.0, 0, 0.0, growth.tree.root)]
        while heap:
            batch = [heapq.heappop(heap) for _ in range(min(self.parallel, len(heap)))]
            offers = yield from growth.offer([node for *_, node in batch], self.k)
            for (_, _, so_far, node), some in zip(batch, offers, strict=True):
                growth.visit(node)
                for offer in some:
                    known = offer.node.created >= 0
                    child = growth.admit(offer)
                    if known or child.status is not NodeStatus.OPEN:
                        continue
                    total = so_far + (offer.logprob or 0.0)
                    worth = total if self.by == "logprob" else (child.value or 0.0)
                    heapq.heappush(heap, (-worth, child.created, total, child))
            if self.stop_at_goal and growth.tree.goals():
                return TreeStatus.SOLVED
        return TreeStatus.SOLVED if growth.tree.goals() else TreeStatus.EXHAUSTED
