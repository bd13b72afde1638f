"""The searches of Stream of Search on one problem, by compiled code: the same tree and the same words, without the nodes.

What must stay true: the row of ``trees`` and the streams are those of the searches and linearizers in Python, byte for byte
(a test compares them). Only the way to the best end is made as nodes; the whole tree is grown again from its row, by
``symbolic_search.regrown``, where anybody wants it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from tracemill.schemas.enums import NodeStatus, TreeStatus
from tracemill.tasks.domains.countdown import Countdown, State
from tracemill.tasks.domains.countdown_instances import INPUTS, WIDTHS
from tracemill.tasks.linearize.base import Segment, Stream
from tracemill.tasks.linearize.stream_of_search import NAME
from tracemill.tasks.search.breadth_first import BreadthFirst
from tracemill.tasks.search.budget import Budgets
from tracemill.tasks.search.depth_first import DepthFirst
from tracemill.tasks.search.growth import Search, plant
from tracemill.tasks.search.tree import Node, Plot, Tree

#: Largest input and target: no product of four overflows, and no target has more factors than there is room for.
LARGEST: Final = 10_000


@dataclass(frozen=True, slots=True)
class Found:
    """``tree`` has no nodes but those on the way to its best end; ``stream`` tells the whole search."""

    tree: Tree[State]
    stream: Stream


def covers(search: Search, domain: Any, budgets: Budgets, state: Any) -> bool:
    """Whether ``found`` does what ``search`` would do from ``state``."""
    plain = search == DepthFirst() or (isinstance(search, BreadthFirst) and search == BreadthFirst(search.width))
    return (
        plain
        and (not isinstance(search, BreadthFirst) or search.width in WIDTHS)
        and domain in (Countdown(value_name="sum"), Countdown(value_name="mult"))
        and budgets == Budgets()
        and len(state.numbers) == INPUTS
        and 2 <= state.target <= LARGEST
        and max(state.numbers) <= LARGEST
    )


def found(search: Search, domain: Countdown, plot: Plot, state: State) -> Found:
    """What ``search`` finds from ``state``. Needs ``covers``; runs in one thread at a time."""
    import numpy as np

    from tracemill.tasks.linearize import compiled  # compiles where that was not done yet
    from tracemill.tasks.linearize.bulk import KINDS, node_id

    room = _room()
    width = search.width if isinstance(search, BreadthFirst) else 0
    room.start[:] = state.numbers
    size, used, goal = compiled.search(
        int(state.target), room.start, domain.value_name == "mult", width, np.uint64(plot.seed), room.factors, room.out, 0,
        room.segments, room.tally, room.way,
    )  # fmt: skip
    segments = tuple(
        Segment(start, end, KINDS[kind], node_id(code)) for start, end, kind, code in room.segments[:used].tolist()
    )
    text = room.out[:size].tobytes().decode("ascii")
    begin = segments[0].end
    stream = Stream(
        NAME, text, segments, ((begin, size),) if begin < size else (), (), int(room.tally[1]), int(room.tally[2])
    )
    tree = plant(domain, plot, state, Budgets())
    tree.status = TreeStatus.SOLVED if goal >= 0 else TreeStatus.EXHAUSTED
    if goal >= 0:
        _place(tree, node_id(int(goal)), room.way.tolist())
    elif room.tally[3]:
        end = Node(state, node_id=node_id(int(room.tally[3])), reward=0.0, status=NodeStatus.DEAD)
        tree.nodes[end.node_id] = end
    return Found(tree, stream)


def _place(tree: Tree[State], goal: str, way: list[list[int]]) -> None:
    """Make the nodes on the way to ``goal`` those of ``tree``."""
    above, ids = tree.root, goal.split(",")
    for depth, (a, sign, b, result, *numbers) in enumerate(way, 1):
        action = f"{a}{'+*-/'[sign]}{b}={result}"
        node = Node(State(tree.root.state.target, tuple(numbers[: INPUTS - depth])), action)
        tree.link(above, node, action)
        node.node_id = ",".join(ids[: depth + 1])
        above = node
    above.status, above.reward = NodeStatus.GOAL, 1.0
    tree.nodes = {node.node_id: node for node in above.lineage()}


@dataclass(frozen=True, slots=True)
class _Room:
    out: Any
    segments: Any
    tally: Any
    way: Any
    factors: Any
    start: Any


@lru_cache(maxsize=1)
def _room() -> _Room:
    import numpy as np

    from tracemill.tasks.linearize import compiled

    return _Room(
        np.empty(compiled.LONGEST, np.uint8),
        np.empty((compiled.MOST_SEGMENTS, 4), np.int64),
        np.empty(4, np.int64),
        np.empty((3, 8), np.int64),
        np.empty(64, np.int64),
        np.empty(INPUTS, np.int64),
    )
