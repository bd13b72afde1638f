"""A search that failed, led to the goal by landmarks (guided stream of search, arXiv 2410.02992; algorithms §2.19).

What must stay true: the search's own work stays as it was; what follows begins at the deepest node that it had made and from
which the goal can still be reached, and every node behind that one is a landmark: a step from which an exact oracle says that
the goal can be reached.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from tracemill.schemas.enums import NodeStatus, TreeStatus
from tracemill.tasks.search.drive import Work
from tracemill.tasks.search.growth import Growth, Search
from tracemill.tasks.search.tree import Node

OFF_PATH: Final = "off_path"


@dataclass(frozen=True, slots=True)
class Guided:
    """``search``, and where nothing was left of it without a goal, the landmarks. ``reaches`` says of a state whether the goal can
    be reached from it. A search that a budget cut is not led on.
    """

    search: Search
    reaches: Callable[[Any], bool]

    @property
    def name(self) -> str:
        return self.search.name

    def grow(self, growth: Growth[Any]) -> Work[TreeStatus]:
        status = yield from self.search.grow(growth)
        if status is not TreeStatus.EXHAUSTED or growth.tree.goals() or growth.purse.spent is not None:
            return status
        node = self._deepest(growth)
        while node is not None:
            growth.visit(node)
            (offers,) = yield from growth.offer([node], None)
            landmark: Node[Any] | None = None
            for offer in offers:
                if landmark is None and (offer.node.goal or self.reaches(offer.node.state)):
                    landmark = growth.admit(offer)
                else:
                    growth.reject(offer, OFF_PATH)
            if landmark is not None and landmark.goal:
                return TreeStatus.SOLVED
            node = landmark
        return status

    def _deepest(self, growth: Growth[Any]) -> Node[Any] | None:
        made = (n for n in growth.tree.nodes.values() if n.status is not NodeStatus.REJECTED and not n.terminal)
        return max((n for n in made if self.reaches(n.state)), key=lambda n: (n.depth, -n.created), default=None)
