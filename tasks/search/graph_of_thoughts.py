"""Graph of Thoughts (arXiv 2308.09687; algorithms §2.18): operations over thoughts that form a directed acyclic graph.

What must stay true: a node is made after all its parents, so the graph is acyclic and its order of creation is
topological; an aggregate has at least two parents; a thought that is not kept stays in the tree, pruned.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from tracemill.schemas.enums import NodeStatus, TreeStatus
from tracemill.schemas.errors import UsageError
from tracemill.tasks.search.drive import Work
from tracemill.tasks.search.growth import Growth
from tracemill.tasks.search.tree import Node

NOT_BEST: Final = "not_best"
NOT_VALID: Final = "not_valid"
REPLACED: Final = "replaced"

Verb = Literal["generate", "score", "improve", "validate_and_improve", "aggregate", "keep_best", "keep_valid"]
#: Generate, improve what is not right, join the best, improve once more.
PLAN: Final[tuple[tuple[Verb, int], ...]] = (
    ("generate", 4),
    ("score", 1),
    ("keep_best", 3),
    ("aggregate", 2),
    ("score", 1),
    ("keep_best", 1),
    ("validate_and_improve", 3),
)


@dataclass(frozen=True, slots=True)
class GraphOfThoughts:
    """Carries out ``plan``: (operation, number) pairs over the current thoughts, at first the root.

    ``generate`` k children of each; ``score`` each; ``improve`` each n times, the better of the two kept;
    ``validate_and_improve`` only those that are no goal, until they are or n times; ``aggregate`` all of them n times, beside
    them; ``keep_best`` n; ``keep_valid`` goals alone, where there is one. The domain has ``improve`` and ``aggregate``.
    """

    plan: tuple[tuple[Verb, int], ...] = PLAN
    stop_at_goal: bool = True
    name: str = "got"

    def __post_init__(self) -> None:
        known = set(Verb.__args__)  # type: ignore[attr-defined]
        for verb, number in self.plan:
            if verb not in known or number < 1:
                raise UsageError(
                    f"no operation {verb!r} x {number}",
                    where="strategy.parameters.plan",
                    mend=f"pairs of an operation and a number from 1 on; known: {', '.join(sorted(known))}",
                )

    def grow(self, growth: Growth[Any]) -> Work[TreeStatus]:
        thoughts = [growth.tree.root]
        for verb, number in self.plan:
            thoughts = yield from self._do(growth, verb, number, thoughts)
            if not thoughts:
                break
            if self.stop_at_goal and any(thought.goal for thought in thoughts):
                return TreeStatus.SOLVED
        return TreeStatus.SOLVED if growth.tree.goals() else TreeStatus.FINISHED

    def _do(self, growth: Growth[Any], verb: Verb, number: int, thoughts: list[Node[Any]]) -> Work[list[Node[Any]]]:
        if verb == "generate":
            for thought in thoughts:
                growth.visit(thought)
            made = yield from growth.expand(thoughts, number, value=False)
            return list(dict.fromkeys(child for some in made for child in some))
        if verb == "score":
            yield from growth.estimate(thoughts)
            return thoughts
        if verb in ("improve", "validate_and_improve"):
            for _ in range(number):
                thoughts = yield from self._improved(growth, thoughts)
            return thoughts
        if verb == "aggregate":
            if len(thoughts) < 2:
                return thoughts
            domain: Any = growth.domain
            joined = yield from growth.derive(domain.aggregate, [thoughts] * number)
            return [*thoughts, *joined]
        if verb == "keep_valid":
            valid = [thought for thought in thoughts if thought.goal]
            return self._kept(growth, thoughts, valid or thoughts, NOT_VALID)
        ranked = sorted(thoughts, key=_worth, reverse=True)
        return self._kept(growth, thoughts, ranked[:number], NOT_BEST)

    def _improved(self, growth: Growth[Any], thoughts: Sequence[Node[Any]]) -> Work[list[Node[Any]]]:
        """Each thought, or its improvement where it is no goal and was not worth more."""
        poor = [thought for thought in thoughts if not thought.goal]
        if not poor:
            return list(thoughts)
        domain: Any = growth.domain
        for thought in poor:
            growth.visit(thought)
        better = yield from growth.derive(domain.improve, [[thought] for thought in poor])
        instead = dict(zip([id(thought) for thought in poor], better, strict=False))
        kept = []
        for thought in thoughts:
            other = instead.get(id(thought))
            if other is not None and (thought.value is None or _worth(other) >= _worth(thought)):
                kept.append(other)
                continue
            if other is not None:
                self._prune(growth, other, REPLACED)
            kept.append(thought)
        return kept

    def _kept(
        self, growth: Growth[Any], thoughts: Sequence[Node[Any]], kept: list[Node[Any]], reason: str
    ) -> list[Node[Any]]:
        chosen = {id(thought) for thought in kept}
        for thought in thoughts:
            if id(thought) not in chosen:
                self._prune(growth, thought, reason)
        return kept

    def _prune(self, growth: Growth[Any], thought: Node[Any], reason: str) -> None:
        if thought.status is NodeStatus.OPEN:  # an end keeps what was found of it
            growth.prune(thought, reason)


def _worth(node: Node[Any]) -> float:
    return node.value if node.value is not None else 0.0
