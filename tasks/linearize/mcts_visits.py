"""A Monte-Carlo tree search told as it was executed: every iteration's leaf, what was made there, ends looked at again.

    Current State: {state}, Operations: [{steps so far}]
    Visit {n}: Node #{id}
    Exploring Operation: ... / Generated Node #{id}: ...            (as in ``stream_of_search``, ends too)
    {number},{target} unequal: No Solution                          (where the leaf is an end)
    Solution Node #{id}    |    No solution found.

Unlike ``stream_of_search`` it does not stop at the first goal, because the search did not.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from tracemill.schemas.enums import NodeStatus, SegmentKind
from tracemill.schemas.errors import DataError
from tracemill.tasks.domains.base import Domain
from tracemill.tasks.linearize.base import Linearizer, Place, Stream, Untellable, Writer, winning_ids
from tracemill.tasks.linearize.stream_of_search import (
    CUT,
    END_LINE,
    EXPLORE_LINE,
    MADE_LINE,
    NOTHING,
    PLAIN,
    STATE_LINE,
    Wording,
    events,
    unquoted,
)
from tracemill.tasks.search.tree import Node, Tree

NAME: Final = "mcts_visits"
_VISIT: Final = re.compile(r"Visit (?P<n>\d+): Node #(?P<id>\d+(?:,\d+)*)")
_SOLUTION: Final = re.compile(r"Solution Node #(?P<id>\d+(?:,\d+)*)")


def write(
    tree: Tree[Any],
    domain: Domain[Any],
    *,
    skip: frozenset[str] = frozenset(),
    options: Mapping[str, Any] | None = None,
) -> Stream:
    """Tell every visit of ``tree`` in order. Raises ``Untellable`` for a search that a budget cut before it reached a goal."""
    goals = [node for node in tree.goals() if node.node_id not in skip]
    if tree.status in CUT and not goals:
        raise Untellable("search_cut")
    words, writer, winning = Wording(domain.name in PLAIN), Writer(), winning_ids(tree)
    writer.add(words.current(domain.show(tree.root.state), ()), SegmentKind.SETUP, tree.root.node_id)
    visits = backtracks = dead_ends = 0
    here: Node[Any] | None = None

    def visit(node: Node[Any]) -> None:
        nonlocal here, visits, backtracks
        back = here is not None and node.parent is not here
        kind = SegmentKind.BACKTRACK if back else _kind(node, winning)
        here, visits, backtracks = node, visits + 1, backtracks + back
        writer.told.append(node.node_id)
        writer.add(f"Visit {visits}: Node #{node.node_id}\n", kind, node.node_id)

    for move, node in events(tree, skip, ends=True):
        shown = domain.show(node.state)
        if not move:
            if node.parent is not None and node.parent is not here:
                visit(node.parent)
            writer.told.append(node.node_id)
            said = words.exploring(node.step, shown) + words.made(node.node_id, shown, node.step)
            writer.add(said, _kind(node, winning), node.node_id)
            continue
        visit(node)
        if node.terminal:
            dead_ends += not node.goal
            writer.add(words.end(shown, node.goal), SegmentKind.VERIFY, node.node_id)
        elif node.status is NodeStatus.DEAD:
            dead_ends += 1
    if goals:
        best = min(goals, key=lambda node: node.created)
        writer.told.append(best.node_id)
        writer.add(f"Solution Node #{best.node_id}\n", SegmentKind.FINAL, best.node_id)
    else:
        writer.add(NOTHING + "\n", SegmentKind.FINAL, tree.root.node_id)
    return writer.stream(NAME, backtracks=backtracks, dead_ends=dead_ends, masked=(SegmentKind.SETUP,))


def _kind(node: Node[Any], winning: frozenset[str]) -> SegmentKind:
    return SegmentKind.EXPLORE_OK if node.node_id in winning else SegmentKind.EXPLORE_BAD


def parse(text: str) -> tuple[Place, ...]:
    """The nodes visited and made, in order, and last the solution's; raises ``DataError`` as ``stream_of_search.parse``."""
    places: dict[str, Place] = {"0": ()}
    told: list[Place] = []
    here: Place = ()
    child: Place = ()
    lines = text.splitlines()
    if not lines or STATE_LINE.fullmatch(lines[0]) is None:
        raise DataError("the stream does not begin with a state", where="line 1")
    visits = 0
    for number, line in enumerate(lines[1:], 2):
        if (said := _VISIT.fullmatch(line)) is not None and said["id"] in places and int(said["n"]) == visits + 1:
            visits += 1
            here = places[said["id"]]
            told.append(here)
        elif (said := EXPLORE_LINE.fullmatch(line)) is not None:
            child = (*here, unquoted(said["step"]))
            told.append(child)
        elif (said := MADE_LINE.fullmatch(line)) is not None and said["id"] not in places:
            places[said["id"]] = child
        elif (said := _SOLUTION.fullmatch(line)) is not None and said["id"] in places:
            told.append(places[said["id"]])
        elif END_LINE.fullmatch(line) is None and line != NOTHING:
            raise DataError(f"not a line that can stand here: {line[:80]!r}", where=f"line {number}")
    return tuple(told)


LINEARIZER: Final = Linearizer(NAME, write, parse)
