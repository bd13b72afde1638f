r"""A search told line by line, in the grammar of Stream of Search (arXiv 2404.03683; algorithms §2.19).

    Current State: {state}, Operations: [{steps so far}]
    Exploring Operation: {step}, Resulting Numbers: {numbers}
    Generated Node #{id}: {state} Operation: {step}
    Moving to Node #{id}
    {number},{target} unequal: No Solution    |    {number},{target} equal: Goal Reached
    No solution found.

What must stay true: every child that entered the search is told where it was made, every move in the order in which it was
made (and one more wherever a child is told of a node that the search did not stand on); the text ends at the first goal,
or when the search had nothing left; a search that was cut has no stream. In other domains than Countdown states and steps
are written as JSON strings, one line an event all the same.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from tracemill.schemas.enums import NodeStatus, SegmentKind, TreeStatus
from tracemill.schemas.errors import DataError
from tracemill.tasks.domains.base import Domain
from tracemill.tasks.linearize.base import Linearizer, Place, Stream, Untellable, Writer, winning_ids
from tracemill.tasks.search.tree import Node, Tree

NAME: Final = "stream_of_search"
#: Domains whose states and steps are short and have no line breaks: ``62:[40, 83]`` and ``83-40=43``.
PLAIN: Final = frozenset({"countdown", "game24"})
CUT: Final = frozenset({TreeStatus.NODE_BUDGET, TreeStatus.TOKEN_BUDGET, TreeStatus.CALL_BUDGET, TreeStatus.TIME_CUT})
#: Searches that end without a word when nothing is left.
SILENT: Final = "dfs"
NOTHING: Final = "No solution found."

#: A JSON string, or in plain wording whatever has no quotation mark.
_TEXT: Final = r'"(?:[^"\\]|\\.)*"|[^"]+?'
STATE_LINE: Final = re.compile(rf"Current State: (?:{_TEXT}), Operations: \[.*\]")
_MOVE: Final = re.compile(r"Moving to Node #(?P<id>\d+(?:,\d+)*)")
EXPLORE_LINE: Final = re.compile(
    rf"Exploring Operation: (?P<step>{_TEXT}), Resulting (?:Numbers|State): (?P<result>{_TEXT})"
)
MADE_LINE: Final = re.compile(rf"Generated Node #(?P<id>\d+(?:,\d+)*): (?P<state>{_TEXT}) Operation: (?P<step>{_TEXT})")
END_LINE: Final = re.compile(rf"(?:{_TEXT}) (?:unequal: No Solution|equal: Goal Reached)")


@dataclass(frozen=True, slots=True)
class Wording:
    """How the states and steps of a domain are written."""

    plain: bool

    def current(self, state: str, steps: tuple[str, ...]) -> str:
        said = [f"'{step}'" if self.plain else json.dumps(step) for step in steps]
        return f"Current State: {self._quoted(state)}, Operations: [{', '.join(said)}]\n"

    def exploring(self, step: str, state: str) -> str:
        if self.plain:
            return f"Exploring Operation: {step}, Resulting Numbers: {state.partition(':')[2]}\n"
        return f"Exploring Operation: {json.dumps(step)}, Resulting State: {json.dumps(state)}\n"

    def made(self, node_id: str, state: str, step: str) -> str:
        return f"Generated Node #{node_id}: {self._quoted(state)} Operation: {self._quoted(step)}\n"

    def end(self, state: str, goal: bool) -> str:
        said = self._quoted(state)
        if self.plain:
            target, _, number = state.partition(":")
            said = f"{number[1:-1]},{target}"
        return f"{said} equal: Goal Reached\n" if goal else f"{said} unequal: No Solution\n"

    def _quoted(self, text: str) -> str:
        return text if self.plain else json.dumps(text)


def write(
    tree: Tree[Any],
    domain: Domain[Any],
    *,
    skip: frozenset[str] = frozenset(),
    options: Mapping[str, Any] | None = None,
) -> Stream:
    """Tell ``tree``. Raises ``Untellable`` for a search that a budget cut before it reached a goal."""
    if tree.status in CUT and not tree.goals():
        raise Untellable("search_cut")
    telling = Telling(tree, domain, winning_ids(tree))
    for move, node in events(tree, skip):
        if telling.event(move, node):
            return telling.stream()
    telling.nothing()
    return telling.stream()


def events(tree: Tree[Any], skip: frozenset[str], *, ends: bool = False) -> list[tuple[bool, Node[Any]]]:
    """(whether it is a move, node), in the order of the tree's clock; nothing of the subtrees in ``skip``.

    Moves to ends are left out unless ``ends``; so is a move back from a skipped subtree to where the search stood before it.
    """
    found: list[tuple[int, bool, Node[Any]]] = []
    hidden: set[str] = set()
    for node in tree.nodes.values():
        parent = node.parent
        if (parent is not None and parent.node_id in hidden) or node.node_id in skip:
            hidden.add(node.node_id)
        if node.status is NodeStatus.REJECTED:
            continue
        if parent is not None:
            found.append((node.created, False, node))
        if ends or not node.terminal:
            found += [(at, True, node) for at in node.visited]
    told: list[tuple[bool, Node[Any]]] = []
    here, left = tree.root, False
    for _, move, node in sorted(found, key=lambda item: item[0]):
        if node.node_id in hidden:
            left = True
            continue
        if move:
            if left and node is here and told:
                left = False
                continue
            here = node
        left = False
        told.append((move, node))
    return told


class Telling:
    """The text so far, and the node that it stands on."""

    def __init__(self, tree: Tree[Any], domain: Domain[Any], winning: frozenset[str]) -> None:
        self.tree, self.winning = tree, winning
        self.words = Wording(domain.name in PLAIN)
        self.show = domain.show
        self.writer = Writer()
        self.here: Node[Any] | None = None
        self.backtracks = self.dead_ends = 0

    def event(self, move: bool, node: Node[Any]) -> bool:
        """Tell of a move to ``node``, or of its making; whether it is the goal."""
        if self.here is None:
            self.here = self.tree.root
            self.writer.add(self._current(self.here), SegmentKind.SETUP, self.here.node_id)
            self.writer.told.append(self.here.node_id)
            if move and node is self.here:
                return False
        if move:
            self._move(node)
            return False
        parent = node.parent
        assert parent is not None
        if parent is not self.here:
            self._move(parent)
        kind = self._kind(node)
        shown = self.show(node.state)
        self.writer.told.append(node.node_id)
        self.writer.add(self.words.exploring(node.step, shown), kind, node.node_id)
        if not node.terminal:
            self.writer.add(self.words.made(node.node_id, shown, node.step), kind, node.node_id)
            return False
        self.dead_ends += not node.goal
        last = SegmentKind.FINAL if node.goal else SegmentKind.VERIFY
        self.writer.add(self.words.end(shown, node.goal), last, node.node_id)
        return node.goal

    def nothing(self) -> None:
        if self.tree.plot.strategy != SILENT:
            self.writer.add(NOTHING + "\n", SegmentKind.FINAL, self.tree.root.node_id)

    def stream(self, name: str = NAME) -> Stream:
        return self.writer.stream(
            name, backtracks=self.backtracks, dead_ends=self.dead_ends, masked=(SegmentKind.SETUP,)
        )

    def _move(self, node: Node[Any]) -> None:
        forward = node.parent is self.here
        self.backtracks += not forward
        kind = self._kind(node) if forward else SegmentKind.BACKTRACK
        self.writer.add(f"Moving to Node #{node.node_id}\n{self._current(node)}", kind, node.node_id)
        self.writer.told.append(node.node_id)
        self.here = node

    def _current(self, node: Node[Any]) -> str:
        return self.words.current(self.show(node.state), node.actions())

    def _kind(self, node: Node[Any]) -> SegmentKind:
        return SegmentKind.EXPLORE_OK if node.node_id in self.winning else SegmentKind.EXPLORE_BAD


def parse(text: str) -> tuple[Place, ...]:
    """The nodes that ``text`` visits and looks at, in order, each as its steps from the root.

    Raises ``DataError`` for a line out of place or not of the grammar; what the lines claim of numbers is the validator's.
    """
    places: dict[str, Place] = {"0": ()}
    here: Place | None = None
    expected: Place | None = ()
    child: Place = ()
    told: list[Place] = []
    for number, line in enumerate(text.splitlines(), 1):
        if (said := STATE_LINE.fullmatch(line)) is not None and expected is not None:
            here, expected = expected, None
            told.append(here)
        elif here is None or expected is not None:
            raise _bad(number, line)
        elif (said := _MOVE.fullmatch(line)) is not None and said["id"] in places:
            expected = places[said["id"]]
        elif (said := EXPLORE_LINE.fullmatch(line)) is not None:
            child = (*here, unquoted(said["step"]))
            told.append(child)
        elif (said := MADE_LINE.fullmatch(line)) is not None and said["id"] not in places:
            places[said["id"]] = child
        elif END_LINE.fullmatch(line) is None and line != NOTHING:
            raise _bad(number, line)
    if here is None or expected is not None:
        raise DataError("the stream ends in the middle of a move", where=f"line {text.count(chr(10))}")
    return tuple(told)


def unquoted(text: str) -> str:
    if not text.startswith('"'):
        return text
    try:
        found = json.loads(text)
    except ValueError:
        return text
    return str(found)


def _bad(number: int, line: str) -> DataError:
    return DataError(f"not a line that can stand here: {line[:80]!r}", where=f"line {number}")


LINEARIZER: Final = Linearizer(NAME, write, parse)
