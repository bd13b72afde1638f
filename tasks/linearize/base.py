"""What a linearizer is: a pure function from a tree to text, with a parser from the text back to the visited path.

What must stay true of every stream: its segments partition the text; parsing the text gives the nodes that it tells of, in
order, each as its steps from the root. A stream is told whole or not at all: where it must be shorter, whole dead
subtrees go, and it never ends in the middle of a search.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias

from tracemill.schemas import ids
from tracemill.schemas.enums import SegmentKind
from tracemill.tasks.domains.base import Domain
from tracemill.tasks.search.tree import Node, Tree

#: A node as its steps from the root.
Place: TypeAlias = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Segment:
    """A part of the text, [start, end) in code points, and the node that it is about."""

    start: int
    end: int
    kind: SegmentKind
    node_id: str


@dataclass(frozen=True, slots=True)
class Stream:
    """A search told as text. ``told`` are the ids of the nodes that it visits, in order; ``loss_spans`` are [start, end)."""

    linearizer: str
    text: str
    segments: tuple[Segment, ...]
    loss_spans: tuple[tuple[int, int], ...]
    told: tuple[str, ...]
    backtracks: int
    dead_ends: int

    def stream_id(self, tree_id: str) -> str:
        return stream_id(tree_id, self.linearizer, self.text)

    def row(self, tree_id: str, verified: bool) -> dict[str, Any]:
        """The row of ``streams``."""
        return {
            "stream_id": self.stream_id(tree_id),
            "tree_id": tree_id,
            "trace_ids": None,
            "linearizer": self.linearizer,
            "text": self.text,
            "segments": [
                {"start": s.start, "end": s.end, "kind": s.kind.value, "node_id": s.node_id} for s in self.segments
            ],
            "loss_spans": [{"start": start, "end": end} for start, end in self.loss_spans],
            "backtracks": self.backtracks,
            "dead_ends": self.dead_ends,
            "verified": verified,
            "parameters": None,
        }


class Write(Protocol):
    """Tell ``tree``; ``skip`` are ids of nodes whose subtrees are left out. Raises ``Untellable`` where it cannot be told."""

    def __call__(
        self,
        tree: Tree[Any],
        domain: Domain[Any],
        *,
        skip: frozenset[str] = frozenset(),
        options: Mapping[str, Any] = ...,
    ) -> Stream: ...


@dataclass(frozen=True, slots=True)
class Linearizer:
    """``parse`` gives the visited path of a text that ``write`` wrote, and raises ``DataError`` for any other."""

    name: str
    write: Write
    parse: Callable[[str], tuple[Place, ...]]


class Untellable(Exception):
    """This tree has no such stream; the message is the ``drops`` reason."""


@dataclass(slots=True)
class Writer:
    """Text as it grows, cut into segments; neighbouring segments of one kind about one node are one."""

    parts: list[str] = field(default_factory=list)
    segments: list[Segment] = field(default_factory=list)
    told: list[str] = field(default_factory=list)
    size: int = 0

    def add(self, text: str, kind: SegmentKind, node_id: str) -> None:
        if not text:
            return
        start, self.size = self.size, self.size + len(text)
        self.parts.append(text)
        if self.segments and self.segments[-1].kind is kind and self.segments[-1].node_id == node_id:
            start = self.segments.pop().start
        self.segments.append(Segment(start, self.size, kind, node_id))

    def stream(self, linearizer: str, *, backtracks: int, dead_ends: int, masked: Sequence[SegmentKind] = ()) -> Stream:
        """The finished stream; segments of the kinds in ``masked`` carry no loss."""
        spans: list[tuple[int, int]] = []
        for segment in self.segments:
            if segment.kind in masked:
                continue
            if spans and spans[-1][1] == segment.start:
                spans[-1] = (spans[-1][0], segment.end)
            else:
                spans.append((segment.start, segment.end))
        return Stream(
            linearizer,
            "".join(self.parts),
            tuple(self.segments),
            tuple(spans),
            tuple(self.told),
            backtracks,
            dead_ends,
        )


def stream_id(tree_id: str, linearizer: str, text: str) -> str:
    """A telling of a tree; one shortened is another stream."""
    return ids.digest("stream", tree_id, linearizer, ids.text_hash(text))


def visited_path(tree: Tree[Any], stream: Stream) -> tuple[Place, ...]:
    """What parsing ``stream`` must give."""
    places: dict[str, Place] = {}
    for node_id in stream.told:
        if node_id not in places:
            places[node_id] = tree.nodes[node_id].actions()
    return tuple(places[node_id] for node_id in stream.told)


def winning_ids(tree: Tree[Any]) -> frozenset[str]:
    """The ids of all nodes that lie on a path to a goal, through any parent."""
    found: set[str] = set()
    stack: list[Node[Any]] = tree.goals()
    while stack:
        node = stack.pop()
        if node.node_id not in found:
            found.add(node.node_id)
            stack += [edge.parent for edge in node.parents]
    return frozenset(found)
