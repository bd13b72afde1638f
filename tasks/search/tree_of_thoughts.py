"""Tree of Thoughts (arXiv 2305.10601; algorithms §2.17), breadth-first or depth-first.

How thoughts are had (each sampled, or all proposed in one answer) is the domain's; how they are judged is either each by
itself, by the tree's value (``n_eval`` votes: sure, likely, impossible), or all of a level together, by ``n_eval`` votes for
the best. A thought whose key was seen in its level before is a duplicate: worth 0, and nothing is asked about it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from tracemill.schemas.enums import NodeStatus, TreeStatus
from tracemill.tasks.search.drive import Work
from tracemill.tasks.search.growth import Growth
from tracemill.tasks.search.tree import Node

BREADTH: Final = "breadth"
THRESHOLD: Final = "threshold"
DUPLICATE: Final = "duplicate"


@dataclass(frozen=True, slots=True)
class TreeOfThoughts:
    """``k`` thoughts of each state, ``depth`` levels. ``bfs`` keeps the best ``b`` of a level; ``dfs`` looks at children from
    the best on and not at those worth less than ``threshold``.
    """

    order: Literal["bfs", "dfs"] = "bfs"
    k: int = 5
    b: int = 5
    n_eval: int = 3
    depth: int = 4
    judge: Literal["value", "vote"] = "value"
    threshold: float = 0.01
    stop_at_goal: bool = True
    name: str = "tot"

    def grow(self, growth: Growth[Any]) -> Work[TreeStatus]:
        if self.order == "dfs":
            return (yield from self._deep(growth))
        level = [growth.tree.root]
        for _ in range(self.depth):
            thoughts = yield from self._thoughts(growth, level)
            if self.stop_at_goal and growth.tree.goals():
                return TreeStatus.SOLVED
            ranked = sorted(thoughts, key=_worth, reverse=True)
            for node in ranked[self.b :]:
                growth.prune(node, DUPLICATE if node.value_source == DUPLICATE else BREADTH)
            level = ranked[: self.b]
            if not level:
                break
        return TreeStatus.SOLVED if growth.tree.goals() else TreeStatus.EXHAUSTED

    def _deep(self, growth: Growth[Any]) -> Work[TreeStatus]:
        stack = [growth.tree.root]
        while stack:
            node = stack.pop()
            if node.depth >= self.depth:
                continue
            children = yield from self._thoughts(growth, [node])
            if self.stop_at_goal and growth.tree.goals():
                return TreeStatus.SOLVED
            kept = []
            for child in children:
                if _worth(child) < self.threshold:
                    growth.prune(child, DUPLICATE if child.value_source == DUPLICATE else THRESHOLD)
                else:
                    kept.append(child)
            stack += sorted(kept, key=_worth, reverse=True)[::-1]
        return TreeStatus.SOLVED if growth.tree.goals() else TreeStatus.EXHAUSTED

    def _thoughts(self, growth: Growth[Any], level: Sequence[Node[Any]]) -> Work[list[Node[Any]]]:
        """The judged children of ``level`` that go on, each once."""
        for node in level:
            growth.visit(node)
        offers = yield from growth.offer(level, self.k, value=False)
        children = list(dict.fromkeys(growth.admit(offer) for some in offers for offer in some))
        live = [child for child in children if child.status is NodeStatus.OPEN]
        seen: set[str] = set()
        fresh = []
        for child in live:
            if child.key is not None and child.key in seen:
                child.value, child.value_source = 0.0, DUPLICATE
            else:
                fresh.append(child)
                seen |= {child.key} if child.key is not None else set()
        if self.judge == "value":
            yield from growth.estimate(fresh)
        elif fresh:
            yield from self._vote(growth, fresh)
        return live

    def _vote(self, growth: Growth[Any], nodes: Sequence[Node[Any]]) -> Work[None]:
        """Each node's value is its share of the votes; the first node bears their price."""
        growth.purse.check()
        count, each, reserved = growth.purse.reserve(self.n_eval, growth.domain.rollout_tokens, nodes=False)
        states = [node.state for node in nodes]
        choose: Any = growth.domain
        calls = [(choose.choose, (states, growth.draw(nodes[0], each, at=i))) for i in range(count or 0)]
        answers: list[tuple[int | None, int]] = yield calls
        used = sum(tokens for _, tokens in answers)
        growth.purse.settle(reserved, used)
        nodes[0].tokens += used
        votes = Counter(place for place, _ in answers if place is not None and 0 <= place < len(nodes))
        for place, node in enumerate(nodes):
            node.value, node.value_source = votes[place] / max(len(answers), 1), "vote"


def _worth(node: Node[Any]) -> float:
    return node.value if node.value is not None else 0.0
