"""A search as data: nodes and edges with everything that the search knew of them.

What must stay true: nothing is ever removed (losing branches stay, with their reason); a node's tokens count all work done
for it, so a tree's tokens are the sum of its nodes'; one clock orders creations and visits, so the search can be told
again as it was executed. Several parents are allowed: a node's first parent is the one that created it, and its id is the
path of child indices through first parents (``0,2,1``; the root is ``0``). A rejected child's index is negative.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Generic, TypeVar

from tracemill.schemas import ids
from tracemill.schemas.enums import NodeStatus, TreeStatus

S = TypeVar("S")
ROOT: Final = "0"
#: The source of the value of an end that was not valued otherwise: its reward.
TERMINAL: Final = "terminal"


@dataclass(slots=True, eq=False)
class Edge(Generic[S]):
    """A step from ``parent`` to ``child``. ``value`` is the best value backed up through it, None where nothing was."""

    parent: Node[S]
    child: Node[S]
    action: str
    logprob: float | None = None
    visits: int = 0
    value: float | None = None


@dataclass(slots=True, eq=False)
class Node(Generic[S]):
    """A state as the search saw it. ``created`` is -1 until the node is in the tree; ``reward`` is a terminal's."""

    state: S
    step: str = ""
    key: str | None = None
    node_id: str = ROOT
    depth: int = 0
    tokens: int = 0
    created: int = -1
    reward: float | None = None
    value: float | None = None
    value_source: str | None = None
    mc_k: int | None = None
    mc_correct: int | None = None
    visits: int = 0
    status: NodeStatus = NodeStatus.OPEN
    prune_reason: str | None = None
    visited: list[int] = field(default_factory=list)
    parents: list[Edge[S]] = field(default_factory=list)
    edges: list[Edge[S]] = field(default_factory=list)
    drawn: int = 0  # how many steps were drawn from here
    kept: int = 0
    rejected: int = 0

    @property
    def terminal(self) -> bool:
        return self.reward is not None

    @property
    def goal(self) -> bool:
        return self.status is NodeStatus.GOAL

    @property
    def children(self) -> list[Node[S]]:
        """The children that entered the search, in the order of their creation; merged ones included."""
        return [edge.child for edge in self.edges if edge.child.status is not NodeStatus.REJECTED]

    @property
    def parent(self) -> Node[S] | None:
        """The parent that created this node; None for the root, even where a step leads back to it."""
        return self.parents[0].parent if self.parents and self.node_id != ROOT else None

    def lineage(self) -> list[Node[S]]:
        """The nodes from the root to this one, both included, through first parents."""
        found = [self]
        while (above := found[-1].parent) is not None:
            found.append(above)
        return found[::-1]

    def actions(self) -> tuple[str, ...]:
        """The steps from the root to this node."""
        return tuple(node.step for node in self.lineage()[1:])


@dataclass(frozen=True, slots=True)
class Plot:
    """What a tree is grown for, by what and with which seed: all that identifies it. ``policy_id`` is the engine's."""

    problem_id: str
    policy_id: str
    strategy: str
    parameters: Mapping[str, Any]
    seed: int

    @property
    def tree_id(self) -> str:
        return ids.digest("tree", self.problem_id, self.policy_id, self.strategy, self.parameters, self.seed)


class Tree(Generic[S]):
    """A growing tree. ``nodes`` maps ids to nodes in the order of their creation."""

    def __init__(self, plot: Plot, root: S, key: str | None = None, budgets: Mapping[str, Any] | None = None) -> None:
        self.plot = plot
        self.budgets: Mapping[str, Any] = dict(budgets or {})
        self.status = TreeStatus.FINISHED
        self.clock = 0
        self.nodes: dict[str, Node[S]] = {}
        self.by_key: dict[str, Node[S]] = {}
        self.root: Node[S] = Node(root, key=key)
        self._place(self.root)

    @property
    def tree_id(self) -> str:
        return self.plot.tree_id

    @property
    def tokens(self) -> int:
        return sum(node.tokens for node in self.nodes.values())

    def tick(self) -> int:
        """The next place on the tree's clock."""
        now = self.clock
        self.clock += 1
        return now

    def link(self, parent: Node[S], child: Node[S], action: str, logprob: float | None = None) -> Edge[S]:
        """An edge from ``parent``; a ``child`` that is not in the tree yet is placed there, below ``parent``.

        A second link of the same pair gives the edge that is there.
        """
        if child.created >= 0:
            for edge in child.parents:
                if edge.parent is parent:
                    return edge
        edge = Edge(parent, child, action, logprob)
        if child.created < 0:
            if child.status is NodeStatus.REJECTED:
                parent.rejected += 1
                child.node_id = f"{parent.node_id},{-parent.rejected}"
            else:
                child.node_id = f"{parent.node_id},{parent.kept}"
                parent.kept += 1
            child.depth = parent.depth + 1
            child.step = action
            self._place(child)
        child.parents.append(edge)
        parent.edges.append(edge)
        return edge

    def visit(self, node: Node[S], *, count: bool = True) -> None:
        """The search moves to ``node``; ``count`` adds to its visits too."""
        node.visited.append(self.tick())
        if count:
            node.visits += 1

    def moves(self) -> list[Node[S]]:
        """The nodes that the search moved to, in order; a node comes as often as it was moved to."""
        found = [(at, node) for node in self.nodes.values() for at in node.visited]
        return [node for _, node in sorted(found, key=lambda item: item[0])]

    def goals(self) -> list[Node[S]]:
        return [node for node in self.nodes.values() if node.goal]

    def leaves(self) -> Iterator[Node[S]]:
        """The terminals that entered the search."""
        return (n for n in self.nodes.values() if n.terminal and n.status is not NodeStatus.REJECTED)

    @property
    def best_leaf(self) -> Node[S] | None:
        """The terminal of the highest reward, then value, then the oldest; None where the search reached no end."""
        return max(
            self.leaves(),
            key=lambda n: (n.reward or 0.0, n.value if n.value is not None else float("-inf"), -n.created),
            default=None,
        )

    def _place(self, node: Node[S]) -> None:
        node.created = self.tick()
        self.nodes[node.node_id] = node
        if node.key is not None and node.status is not NodeStatus.REJECTED:
            self.by_key.setdefault(node.key, node)
