"""Monte-Carlo tree search (algorithms §2.12): UCT or PUCT, virtual loss in fixed batches, transpositions.

What must stay true: the root's visits are the iterations made; a node has at least as many visits as its out-edges
together; values stay between the least and the greatest backed up. A batch of ``parallel`` leaves is selected one after
the other under virtual loss, asked as one, and backed up in the order of selection; so the same answers give the same
tree. An end counts by its verified reward, never by an estimate.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Literal

from tracemill.schemas.enums import NodeStatus, TreeStatus
from tracemill.tasks.search.drive import Work
from tracemill.tasks.search.growth import Growth
from tracemill.tasks.search.tree import Edge, Node

SOURCE = "mcts_mean"


@dataclass(frozen=True, slots=True)
class Mcts:
    """``k`` children of each leaf (None: all). A leaf is valued by the tree's value (playouts, a heuristic, an oracle) when it
    is first selected, and expanded then.

    ``selection`` is UCT (V + exploration * sqrt(2 ln N / n), an unvisited child first) or PUCT (Q + exploration * P *
    sqrt(N) / (1 + n), an unvisited child at its parent's mean), with the ``mean`` of the backed-up values or their ``max``.
    """

    iterations: int = 100
    k: int | None = None
    selection: Literal["uct", "puct"] = "uct"
    backup: Literal["mean", "max"] = "mean"
    exploration: float = 0.7
    parallel: int = 1
    stop_at_goal: bool = False
    name: str = "mcts"

    def grow(self, growth: Growth[Any]) -> Work[TreeStatus]:
        walk = _Walk(self)
        done = 0
        while done < self.iterations:
            batch = [walk.select(growth.tree.root) for _ in range(min(self.parallel, self.iterations - done))]
            leaves = [path[-1].child if path else growth.tree.root for path in batch]
            fresh = list(dict.fromkeys(leaf for leaf in leaves if leaf.status is NodeStatus.OPEN))
            if fresh:
                offers = yield from growth.offer(fresh, self.k, value=False)
                made = dict(zip(fresh, offers, strict=True))
                yield from walk.estimate(growth, [leaf for leaf in fresh if leaf not in walk.total])
            else:
                growth.purse.check()  # nothing new is asked, and the clock runs all the same
                made = {}
            for leaf in leaves:
                growth.visit(leaf, count=False)
                for offer in made.pop(leaf, ()):
                    growth.admit(offer)
            for path, leaf in zip(batch, leaves, strict=True):
                walk.back_up(growth.tree.root, path, leaf)
            done += len(batch)
            if self.stop_at_goal and growth.tree.goals():
                return TreeStatus.SOLVED
        return TreeStatus.SOLVED if growth.tree.goals() else TreeStatus.FINISHED


@dataclass(slots=True)
class _Walk:
    """What selection and backup keep beside the tree: sums and maxima of backed-up values, virtual visits, first estimates."""

    search: Mcts
    total: dict[Node[Any], float] = field(default_factory=dict)
    best: dict[Node[Any], float] = field(default_factory=dict)
    virtual: Counter[Node[Any]] = field(default_factory=Counter)
    first: dict[Node[Any], float] = field(default_factory=dict)

    def estimate(self, growth: Growth[Any], leaves: list[Node[Any]]) -> Work[None]:
        yield from growth.estimate(leaves)
        for leaf in leaves:
            self.first[leaf] = leaf.value if leaf.value is not None else 0.0

    def select(self, root: Node[Any]) -> list[Edge[Any]]:
        """The path to the next leaf, which gets a virtual visit of value 0."""
        path: list[Edge[Any]] = []
        node, on_path = root, {root}
        while node.status is NodeStatus.EXPANDED:
            edges = [e for e in node.edges if e.child.status is not NodeStatus.REJECTED and e.child not in on_path]
            if not edges:
                break
            edge = self._best(node, edges)
            path.append(edge)
            node = edge.child
            on_path.add(node)
        for passed in (root, *(edge.child for edge in path)):
            self.virtual[passed] += 1
        return path

    def back_up(self, root: Node[Any], path: list[Edge[Any]], leaf: Node[Any]) -> None:
        value = leaf.reward if leaf.reward is not None else self.first.get(leaf, 0.0)
        for node in (root, *(edge.child for edge in path)):
            self.virtual[node] -= 1
            node.visits += 1
            self.total[node] = self.total.get(node, 0.0) + value
            self.best[node] = max(self.best.get(node, value), value)
            node.value = self.total[node] / node.visits
            node.value_source = SOURCE
        for edge in path:
            edge.visits += 1
            edge.value = value if edge.value is None else max(edge.value, value)

    def _best(self, node: Node[Any], edges: list[Edge[Any]]) -> Edge[Any]:
        if self.search.selection == "uct":
            unvisited = next((e for e in edges if not self._visits(e.child)), None)
            if unvisited is not None:
                return unvisited
            log = 2.0 * math.log(max(self._visits(node), 1))
            c = self.search.exploration
            return max(edges, key=lambda e: self._value(e.child) + c * math.sqrt(log / self._visits(e.child)))
        priors = _priors(edges)
        scale = self.search.exploration * math.sqrt(max(self._visits(node), 1))
        mean = self._value(node) if self._visits(node) else 0.0
        places = range(len(edges))

        def score(i: int) -> float:
            child = edges[i].child
            visits = self._visits(child)
            return (self._value(child) if visits else mean) + scale * priors[i] / (1 + visits)

        return edges[max(places, key=score)]

    def _visits(self, node: Node[Any]) -> int:
        return node.visits + self.virtual[node]

    def _value(self, node: Node[Any]) -> float:
        """The mean with virtual visits as zeros, or the maximum as if they were not there."""
        if self.search.backup == "max":
            return self.best.get(node, 0.0)
        return self.total.get(node, 0.0) / max(self._visits(node), 1)


def _priors(edges: list[Edge[Any]]) -> list[float]:
    """The policy's probabilities, normalised over the children that there are; uniform where it does not say."""
    if any(edge.logprob is None for edge in edges):
        return [1.0 / len(edges)] * len(edges)
    top = max(edge.logprob or 0.0 for edge in edges)
    weights = [math.exp((edge.logprob or 0.0) - top) for edge in edges]
    total = math.fsum(weights)
    return [weight / total for weight in weights]
