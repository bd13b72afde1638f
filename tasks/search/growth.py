"""Growing one tree: the only way in which a search asks its domain, spends its budgets and changes its tree.

A search is *offered* children and *admits* or *rejects* each; what it leaves undecided is rejected as ``unexplored`` at the
end, so nothing that was paid for is missing from the tree. Draws are seeded by the tree's seed and counted, so the same
answers give the same tree.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Generic, Literal, Protocol, TypeVar

from tracemill.schemas.enums import NodeStatus, TreeStatus
from tracemill.tasks.domains.base import Domain, Draw, Step
from tracemill.tasks.search.budget import Budgets, Purse, Spent
from tracemill.tasks.search.drive import Work
from tracemill.tasks.search.rng import mix
from tracemill.tasks.search.tree import TERMINAL, Node, Plot, Tree
from tracemill.tasks.search.values import Estimate, Own, Value

S = TypeVar("S")

#: ``none`` keeps duplicates; ``siblings`` merges equal children of one parent; ``states`` equal states of the whole tree.
Merge = Literal["none", "siblings", "states"]
UNEXPLORED: Final = "unexplored"
LOOKAHEAD: Final = "lookahead"


class Search(Protocol):
    """An algorithm with its parameters; ``grow`` grows the tree and says how it ended."""

    @property
    def name(self) -> str: ...

    def grow(self, growth: Growth[Any]) -> Work[TreeStatus]: ...


@dataclass(slots=True, eq=False)
class Offer(Generic[S]):
    """A child that the search may take: a new node, or one that is in the tree already."""

    parent: Node[S]
    node: Node[S]
    action: str
    logprob: float | None


class Growth(Generic[S]):
    """One tree being grown on ``domain``. ``value`` estimates every offered child; None leaves them without a value."""

    def __init__(
        self,
        domain: Domain[S],
        tree: Tree[S],
        *,
        budgets: Budgets | None = None,
        value: Value | None = None,
        merge: Merge = "none",
        clock: Callable[[], float] | None = None,
    ) -> None:
        self.domain = domain
        self.tree = tree
        self.value = value
        self.merge = merge
        self.purse = Purse(budgets or Budgets()) if clock is None else Purse(budgets or Budgets(), clock)
        self.purse.nodes = len(tree.nodes)
        self._pending: dict[int, Offer[S]] = {}
        self._draws = 0

    def draw(
        self, node: Node[S], max_tokens: int | None = None, *, greedy: bool = False, at: int | None = None
    ) -> Draw:
        """What the next step from ``node`` (or its draw number ``at``) is drawn with."""
        self._draws += 1
        return Draw(mix(self.tree.plot.seed, self._draws), node.drawn if at is None else at, max_tokens, greedy)

    def visit(self, node: Node[S], *, count: bool = True) -> None:
        """The search moves to ``node``; what it admits next is told from there. ``count`` adds to the node's visits."""
        self.tree.visit(node, count=count)

    def offer(
        self, nodes: Sequence[Node[S]], k: int | None, *, greedy: bool = False, value: bool = True
    ) -> Work[list[list[Offer[S]]]]:
        """At most ``k`` children of each of ``nodes`` (None: every one), with rewards and values, all asked as one batch.

        A node may stand in ``nodes`` more than once: each place is a draw of its own.
        Raises ``Spent`` where nothing may be asked any more; a node for which too little is left gets no children and
        stays open.
        """
        if k is None and self.domain.step_tokens is not None:
            raise ValueError(f"steps of the domain {self.domain.name!r} have a price: say how many are wanted")
        self._check()
        found: list[list[Offer[S]]] = [[] for _ in nodes]
        fresh: dict[str, Node[S]] = {}
        new: list[Node[S]] = []
        todo = list(enumerate(nodes))
        while todo:
            todo = yield from self._ask(todo, k, greedy, found, fresh, new)
            if todo:  # what the others did not use may be enough for these
                try:
                    self._check()
                except Spent:
                    break
        yield from self._judge(new, value)
        return found

    def admit(self, offer: Offer[S]) -> Node[S]:
        """Take ``offer`` into the search."""
        self._pending.pop(id(offer), None)
        self.tree.link(offer.parent, offer.node, offer.action, offer.logprob)
        return offer.node

    def reject(self, offer: Offer[S], reason: str) -> None:
        """Keep ``offer`` in the tree as a child that the search never looked at, unless its node is offered elsewhere too."""
        self._pending.pop(id(offer), None)
        if offer.node.created < 0 and not (
            self.merge == "states" and any(other.node is offer.node for other in self._pending.values())
        ):
            offer.node.status = NodeStatus.REJECTED
            offer.node.prune_reason = reason
            self.tree.link(offer.parent, offer.node, offer.action, offer.logprob)

    def expand(self, nodes: Sequence[Node[S]], k: int | None, *, value: bool = True) -> Work[list[list[Node[S]]]]:
        """``offer``, with every child admitted in the domain's order."""
        offers = yield from self.offer(nodes, k, value=value)
        return [[self.admit(offer) for offer in some] for some in offers]

    def peek(self, nodes: Sequence[Node[S]]) -> Work[list[Node[S] | None]]:
        """The likeliest next node of each, looked at and set aside: it costs, it stays in the tree, it is never a child."""
        before = [node.status for node in nodes]
        offers = yield from self.offer(nodes, 1, greedy=True)
        for node, status in zip(nodes, before, strict=True):
            node.status = status
        for some in offers:
            for offer in some:
                self.reject(offer, LOOKAHEAD)
        return [some[0].node if some else None for some in offers]

    def prune(self, node: Node[S], reason: str) -> None:
        """Cut a node that was in the search."""
        node.status = NodeStatus.PRUNED
        node.prune_reason = reason

    def estimate(self, nodes: Sequence[Node[S]], value: Value | None = None) -> Work[list[float]]:
        """The values of ``nodes`` by ``value`` (the tree's own by default), written to them; an end's is its reward, as a rule."""
        by = value or self.value or Own()
        asked: list[tuple[Node[S], int, int]] = []
        calls = []
        for node in nodes:
            if node.terminal and not by.ends:
                continue
            count, each, reserved = self.purse.reserve(
                by.calls_each, self.domain.rollout_tokens if by.costs else None, nodes=False
            )
            made = node.mc_k or 0
            calls += [by.call(self.domain, node.state, self.draw(node, each, at=made + i)) for i in range(count or 0)]
            asked.append((node, count or 0, reserved))
        answers = (yield calls) if calls else []
        at = 0
        for node, count, reserved in asked:
            if count == 0:  # the budget left no playout: the node stays without a value
                continue
            estimate = by.fold(answers[at : at + count])
            at += count
            self.purse.settle(reserved, estimate.tokens)
            self._note(node, estimate, by.source)
        return [node.value if node.value is not None else 0.0 for node in nodes]

    def derive(
        self, function: Callable[[list[S], Draw], Any], groups: Sequence[Sequence[Node[S]]]
    ) -> Work[list[Node[S]]]:
        """One new node of each group of parents, by ``function`` of their states, with rewards and values; never merged.

        ``function`` answers with a ``Step`` of at most ``rollout_tokens`` tokens. Raises ``Spent`` where nothing may be asked
        any more; what too little is left for is not made, so fewer nodes than groups may come back.
        """
        self.purse.check()
        asked: list[tuple[Sequence[Node[S]], int]] = []
        calls = []
        for parents in groups:
            count, each, reserved = self.purse.reserve(1, self.domain.rollout_tokens)
            if count == 0:
                break
            first = parents[0]
            calls.append((function, ([parent.state for parent in parents], self.draw(first, each))))
            first.drawn += 1
            asked.append((parents, reserved))
        answers: list[Step[S]] = yield calls
        made: list[Node[S]] = []
        for (parents, reserved), step in zip(asked, answers, strict=True):
            self.purse.settle(reserved, step.tokens)
            self.purse.nodes += self.purse.budgets.nodes is None  # else it was counted when it was set aside
            node = Node(step.state, step.action, self.domain.key(step.state), tokens=step.tokens)
            for parent in parents:
                self.tree.link(parent, node, step.action, step.logprob)
                if parent.status is NodeStatus.OPEN:
                    parent.status = NodeStatus.EXPANDED
            made.append(node)
        yield from self._judge(made, True)
        return made

    def _check(self) -> None:
        """Raise ``Spent`` where a budget is spent, the domain's own included (``Domain.spent``, where it has one)."""
        self.purse.check()
        status = getattr(self.domain, "spent", None)
        if status is not None:
            self.purse.spent = status
            raise Spent(status)

    def finish(self, status: TreeStatus) -> Tree[S]:
        """Reject what is undecided and close the tree."""
        for offer in list(self._pending.values()):
            self.reject(offer, UNEXPLORED)
        if status in (TreeStatus.EXHAUSTED, TreeStatus.FINISHED) and self.purse.spent is not None:
            status = self.purse.spent
        self.tree.status = status
        return self.tree

    def _ask(
        self,
        nodes: Sequence[tuple[int, Node[S]]],
        k: int | None,
        greedy: bool,
        found: list[list[Offer[S]]],
        fresh: dict[str, Node[S]],
        new: list[Node[S]],
    ) -> Work[list[tuple[int, Node[S]]]]:
        """One batch of expansions; returns the places and nodes that too little was left for."""
        purse, domain = self.purse, self.domain
        asked: list[tuple[int, Node[S], int | None, int]] = []
        calls = []
        left: list[tuple[int, Node[S]]] = []
        for place, node in nodes:
            count, each, reserved = purse.reserve(k, domain.step_tokens)
            if count == 0:
                left.append((place, node))
                continue
            calls.append((domain.expand, (node.state, count, self.draw(node, each, greedy=greedy))))
            asked.append((place, node, count, reserved))
            node.drawn += count or 0
        answers: list[Sequence[Step[S]]] = yield calls
        for (place, node, count, reserved), steps in zip(asked, answers, strict=True):
            node.status = NodeStatus.EXPANDED if steps or node.edges else NodeStatus.DEAD
            offers = found[place]
            before = len(new)
            if self.merge == "siblings":
                fresh = {edge.child.key: edge.child for edge in node.edges if edge.child.key is not None}
            for step in steps:
                if count is None and purse.nodes_left is not None and len(new) - before >= purse.nodes_left:
                    purse.spent = TreeStatus.NODE_BUDGET
                    break
                offer, made = self._offer(node, step, fresh)
                if not made and any(other.node is offer.node for other in offers):
                    continue  # one parent's child that comes again
                self._pending[id(offer)] = offer
                offers.append(offer)
                if made:
                    new.append(offer.node)
            purse.settle(reserved, sum(step.tokens for step in steps))
            purse.nodes += len(new) - before - (count if count is not None and purse.budgets.nodes is not None else 0)
        return left

    def _offer(self, parent: Node[S], step: Step[S], fresh: dict[str, Node[S]]) -> tuple[Offer[S], bool]:
        key = self.domain.key(step.state)
        if key is not None and self.merge != "none":
            known = fresh.get(key) or (self.tree.by_key.get(key) if self.merge == "states" else None)
            if known is not None:
                known.tokens += step.tokens
                return Offer(parent, known, step.action, step.logprob), False
        node = Node(step.state, step.action, key, tokens=step.tokens)
        if key is not None and self.merge != "none":
            fresh[key] = node
        return Offer(parent, node, step.action, step.logprob), True

    def _judge(self, new: Sequence[Node[S]], value: bool) -> Work[None]:
        if not new:
            return
        rewards = yield [(self.domain.terminal, (node.state,)) for node in new]
        for node, reward in zip(new, rewards, strict=True):
            if reward is not None:
                node.reward = node.value = reward
                node.value_source = TERMINAL
                node.status = NodeStatus.GOAL if reward >= 1.0 else NodeStatus.DEAD
        if value and self.value is not None:
            yield from self.estimate(new)

    def _note(self, node: Node[S], estimate: Estimate, source: str) -> None:
        node.value, node.value_source = estimate.value, source
        node.tokens += estimate.tokens
        if estimate.rollouts is not None:
            node.mc_k = (node.mc_k or 0) + estimate.rollouts
            node.mc_correct = (node.mc_correct or 0) + (estimate.correct or 0)


def grown(search: Search, growth: Growth[S]) -> Work[Tree[S]]:
    """Grow a whole tree; a spent budget ends it as any other end does."""
    root = growth.tree.root
    try:
        yield from growth._judge([root], False)
        status = TreeStatus.SOLVED if root.goal else TreeStatus.EXHAUSTED
        if not root.terminal:
            status = yield from search.grow(growth)
    except Spent as spent:
        status = TreeStatus.SOLVED if growth.tree.goals() else spent.status
    return growth.finish(status)


def plant(domain: Domain[S], plot: Plot, state: S, budgets: Budgets) -> Tree[S]:
    """A tree with nothing but its root."""
    return Tree(plot, state, domain.key(state), budgets.document())
