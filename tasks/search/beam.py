"""Beam search and diverse verifier tree search (algorithms §2.11; Snell et al., arXiv 2408.03314; search-and-learn).

In the terms of search-and-learn, a beam of n with width m is ``Beam(width=n // m, k=m)``: each round makes n children and
keeps the best n/m; ends leave the beam. ``Dvts(n, m)`` is n/m subtrees, each greedy over m children. Best-of-n is DVTS with
one child each, step-level guess-and-check a beam of width 1. Pruned steps are in the tree, and in its tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from tracemill.schemas.enums import NodeStatus, TreeStatus
from tracemill.tasks.search.drive import Work
from tracemill.tasks.search.growth import Growth
from tracemill.tasks.search.tree import Node

BEAM: Final = "beam"


@dataclass(frozen=True, slots=True)
class Beam:
    """Keeps ``width`` nodes a round, at most ``k`` children of each (None: all), for ``depth`` rounds.

    With ``lookahead`` a child is scored by the value of the node that so many greedy steps lead to.
    """

    width: int = 1
    k: int | None = 4
    depth: int = 40
    lookahead: int = 0
    stop_at_goal: bool = True
    name: str = "beam"

    def grow(self, growth: Growth[Any]) -> Work[TreeStatus]:
        level = [growth.tree.root]
        for _ in range(self.depth):
            offers = yield from growth.offer(level, self.k)
            children: dict[int, Node[Any]] = {}
            for node, some in zip(level, offers, strict=True):
                growth.visit(node)
                for offer in some:
                    child = growth.admit(offer)
                    children[id(child)] = child
            if self.stop_at_goal and any(child.goal for child in children.values()):
                return TreeStatus.SOLVED
            live = [child for child in children.values() if child.status is NodeStatus.OPEN]
            if not live:
                break
            scores = yield from _ahead(growth, live, self.lookahead)
            ranked = sorted(range(len(live)), key=lambda i: -scores[i])
            for place in ranked[self.width :]:
                growth.prune(live[place], BEAM)
            level = [live[place] for place in ranked[: self.width]]
        return TreeStatus.SOLVED if growth.tree.goals() else TreeStatus.EXHAUSTED


@dataclass(frozen=True, slots=True)
class Dvts:
    """``n // m`` subtrees of the root, each going on with the best of its ``m`` children until it ends."""

    n: int = 4
    m: int = 4
    depth: int = 40
    lookahead: int = 0
    stop_at_goal: bool = False
    name: str = "dvts"

    def __post_init__(self) -> None:
        if self.n < 1 or self.m < 1 or self.n % self.m:
            raise ValueError(f"n ({self.n}) must be a multiple of m ({self.m})")

    def grow(self, growth: Growth[Any]) -> Work[TreeStatus]:
        heads: list[Node[Any]] = [growth.tree.root] * (self.n // self.m)
        for _ in range(self.depth):
            offers = yield from growth.offer(heads, self.m)
            live: list[list[Node[Any]]] = []
            for node, some in zip(heads, offers, strict=True):
                growth.visit(node)
                children = list(dict.fromkeys(growth.admit(offer) for offer in some))
                live.append([child for child in children if child.status is NodeStatus.OPEN])
            if self.stop_at_goal and growth.tree.goals():
                return TreeStatus.SOLVED
            flat = [child for some in live for child in some]
            if not flat:
                break
            scores = yield from _ahead(growth, flat, self.lookahead)
            heads, at = [], 0
            for children in live:
                if children:
                    best = max(range(len(children)), key=lambda i: scores[at + i])
                    for i, child in enumerate(children):
                        if i != best:
                            growth.prune(child, BEAM)
                    heads.append(children[best])
                at += len(children)
        return TreeStatus.SOLVED if growth.tree.goals() else TreeStatus.EXHAUSTED


def best_of_n(n: int = 4, depth: int = 40, stop_at_goal: bool = False) -> Dvts:
    """``n`` independent chains from the root."""
    return Dvts(n, 1, depth, stop_at_goal=stop_at_goal, name="best_of_n")


def guess_and_check(n: int | None = 4, depth: int = 40, stop_at_goal: bool = True) -> Beam:
    """One chain: ``n`` guesses at each step, the best of them kept."""
    return Beam(1, n, depth, stop_at_goal=stop_at_goal, name="guess_and_check")


def _ahead(growth: Growth[Any], nodes: Sequence[Node[Any]], lookahead: int) -> Work[list[float]]:
    """The value of each node, or of the node that ``lookahead`` greedy steps lead to."""
    ends = list(nodes)
    for _ in range(lookahead):
        going = [i for i, end in enumerate(ends) if not end.terminal]
        if not going:
            break
        found = yield from growth.peek([ends[i] for i in going])
        for i, node in zip(going, found, strict=True):
            ends[i] = node or ends[i]
    return [end.value if end.value is not None else 0.0 for end in ends]
