"""Best-first search: the most promising open node is expanded next.

By ``value``; by ``logprob``, the sum of the log-probabilities of the steps that lead to a node (LeanDojo's ReProver,
algorithms §2.16); or by ``both``, that sum plus ``mix`` times the logarithm of the value. ``length`` divides the sum by the
depth to that power (BFS-Prover, arXiv 2502.03438), so that deep nodes are not passed over for their depth alone; 0 does
nothing. Equal nodes are expanded in the order of their creation.
"""

from __future__ import annotations

import heapq
import math
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
    by: Literal["value", "logprob", "both"] = "value"
    parallel: int = 1
    stop_at_goal: bool = True
    mix: float = 2.0
    length: float = 0.0
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
                    heapq.heappush(heap, (-self._worth(total, child), child.created, total, child))
            if self.stop_at_goal and growth.tree.goals():
                return TreeStatus.SOLVED
        return TreeStatus.SOLVED if growth.tree.goals() else TreeStatus.EXHAUSTED

    def _worth(self, total: float, node: Node[Any]) -> float:
        value = node.value or 0.0
        total /= max(node.depth, 1) ** self.length
        if self.by == "value":
            return value
        return total if self.by == "logprob" else total + self.mix * math.log(max(value, 1e-9))
