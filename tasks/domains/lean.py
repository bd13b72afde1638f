"""Proofs by tactics: a state is the goals that are left, a step a tactic.

What must stay true: equal goals are one state, however they were reached; a tactic that changes nothing, or fails, is no step; a
proof is a goal only by the ``lean`` verifier, which sees the whole theorem anew. ``proved`` goes up the tree by itself: a state
holds all goals that are left, so whatever leads to a goal is proved (``linearize.base.winning_ids``).
"""

from __future__ import annotations

import inspect
import json
import math
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from tracemill.schemas.enums import NodeStatus, TreeStatus
from tracemill.schemas.errors import DataError
from tracemill.schemas.records import Problem
from tracemill.tasks.domains.base import Draw, Rollout, Step
from tracemill.tasks.domains.lean_propose import mixed
from tracemill.tasks.domains.lean_refute import is_refuted, refutation
from tracemill.tasks.domains.lean_tactics import Names, portfolio
from tracemill.tasks.search.ends import REFUTED
from tracemill.tasks.search.rng import SplitMix
from tracemill.tasks.search.tree import Tree
from tracemill.verifiers.lean.tactics import TacticProver, TacticState, canonical_goals, script

Proposed = Sequence[tuple[str, float | None]]
#: From the goals and a number to at most so many (tactic, log-probability), by an engine for one; at once or awaited.
Propose = Callable[[tuple[str, ...], int, Draw], Awaitable[Proposed] | Proposed]


@dataclass(frozen=True, slots=True)
class Proof:
    """The tactics so far and the goals that they leave; none when it is finished."""

    tactics: tuple[str, ...]
    goals: tuple[str, ...]


@dataclass(slots=True)
class Lean:
    """The domain of one theorem at a time, on ``prover``. ``verify`` gives the reward of a finished proof's text.

    ``propose`` asks somebody else for tactics (and, where the portfolio is to be tried ``beside`` them, half the weight is
    theirs); without it they are the built-in portfolio's, with or without the ``finishing`` ones, and those that ``simp``.
    ``refute`` looks for a counterexample to the first goal before anything else is tried on a state (``lean_refute``).
    ``most`` is the longest proof in tactics. ``calls`` counts the tactics that were tried, those of refutation too;
    with a ``budget`` of them a state is given no more than are left, and the search ends then.

    ``notes`` say of a state, by its key, why it has no steps or not all of them: ``refuted``, ``calls`` or ``most``.
    """

    prover: TacticProver
    verify: Callable[[str], float]
    finishing: bool = True
    simp: bool = True
    propose: Propose | None = None
    beside: bool = False
    refute: bool = True
    most: int = 24
    budget: int | None = None
    calls: int = 0
    name: str = "lean"
    step_tokens: int | None = None
    rollout_tokens: int | None = None
    statement: str = ""
    header: str = ""
    notes: dict[str | None, str] = field(default_factory=dict)
    _names: Names = field(default_factory=Names, repr=False)
    _held: dict[tuple[str, ...], TacticState] = field(default_factory=dict, repr=False)
    _open: set[str] = field(default_factory=set, repr=False)

    @property
    def spent(self) -> TreeStatus | None:
        """The status of a tree that may try no more tactics."""
        return TreeStatus.CALL_BUDGET if self.budget is not None and self.calls >= self.budget else None

    def initial(self, problem: Problem) -> Proof:
        """Raises ``DataError`` for a problem without a statement, or with one that Lean does not take."""
        statement = problem.spec.get("statement")
        if not isinstance(statement, str):
            raise DataError("the problem has no Lean statement", where=f"problem {problem.problem_id}")
        self.statement, self.header = statement, str(problem.spec.get("header") or "")
        self._held.clear()
        self.notes.clear()
        self._open.clear()
        self._names = Names.of(self.header)
        self.prover.reset()
        return self._proof(self.prover.start(self.statement, self.header))

    def expand(self, state: Proof, k: int | None, draw: Draw) -> Any:
        """Every tactic that leads on; at most the ``k`` likeliest of the portfolio that do, the likeliest first."""
        if self.propose is not None:
            return self._proposed(state, k, draw)
        return self._portfolio(state, k)

    def terminal(self, state: Proof) -> float | None:
        if state.goals:
            return None
        return self.verify(script(self.statement, state.tactics))

    def value(self, state: Proof, draw: Draw) -> float:
        """In (0, 1]: fewer and shorter goals are better."""
        return 1.0 / (1.0 + len(state.goals) + sum(map(len, state.goals)) / 400.0)

    def rollout(self, state: Proof, draw: Draw) -> Rollout:
        """Random steps of the portfolio, weighed as it weighs them, to an end."""
        rng = SplitMix(draw.seed)
        while state.goals and len(state.tactics) < self.most:
            steps = self._portfolio(state, None)
            if not steps:
                return Rollout(0.0, text="\n".join(state.tactics))
            state = steps[rng.below(len(steps))].state
        return Rollout(self.terminal(state) or 0.0, text="\n".join(state.tactics))

    def key(self, state: Proof) -> str | None:
        return canonical_goals("\n\n".join(state.goals)) if state.goals else None

    def show(self, state: Proof) -> str:
        return json.dumps({"tactics": list(state.tactics), "goals": list(state.goals)}, ensure_ascii=False)

    def read(self, text: str) -> Proof:
        found = json.loads(text)
        return Proof(tuple(found["tactics"]), tuple(found["goals"]))

    def _portfolio(self, state: Proof, k: int | None) -> list[Step[Proof]]:
        if self._refuted(state):
            return []
        steps = self._steps(state, self._likeliest(state))
        return steps if k is None else steps[:k]

    def _likeliest(self, state: Proof) -> list[tuple[str, float]]:
        """The portfolio as (tactic, log-probability), the likeliest first."""
        found = portfolio(state.goals, finishing=self.finishing, simp=self.simp, names=self._names)
        total = math.fsum(weight for _, weight in found)
        return [(tactic, math.log(weight / total)) for tactic, weight in sorted(found, key=lambda item: -item[1])]

    def _refuted(self, state: Proof) -> bool:
        """Whether Lean proves that the first goal is false; known states are not asked about again."""
        key = self.key(state)
        if not self.refute or key is None or self.spent is not None:
            return False
        if key not in self._open:
            tactic = refutation(state.goals)
            if tactic is not None:
                self.calls += 1
                (outcome,) = self.prover.step(self._here(state), [tactic])
                if outcome.state is not None and is_refuted(state.goals, outcome.state.goals):
                    self.notes[key] = REFUTED
                    return True
            self._open.add(key)
        return self.notes.get(key) == REFUTED

    def _proposed(self, state: Proof, k: int | None, draw: Draw) -> Any:
        assert self.propose is not None
        if k is None:
            raise DataError("an engine has no list of all tactics", where="k", mend="say how many are wanted")
        if not state.goals or len(state.tactics) >= self.most or self._refuted(state):
            return self._steps(state, [])
        given = self.propose(state.goals, k, draw)
        return self._awaited(state, k, given) if inspect.isawaitable(given) else self._taken(state, k, given)

    async def _awaited(self, state: Proof, k: int, given: Awaitable[Proposed]) -> list[Step[Proof]]:
        return self._taken(state, k, await given)

    def _taken(self, state: Proof, k: int, given: Proposed) -> list[Step[Proof]]:
        if not self.beside:
            return self._steps(state, list(dict(given).items()))
        known = [(tactic, logprob) for tactic, logprob in given if logprob is not None]
        return self._steps(state, mixed(known, self._likeliest(state)))[:k]

    def _steps(self, state: Proof, tactics: Sequence[tuple[str, float | None]]) -> list[Step[Proof]]:
        key = self.key(state)
        if not state.goals or self.notes.get(key) == REFUTED:
            return []
        if len(state.tactics) >= self.most:
            self.notes[key] = "most"
            return []
        if self.budget is not None and self.calls + len(tactics) > self.budget:
            self.notes[key] = "calls"
            tactics = tactics[: max(0, self.budget - self.calls)]
        self.calls += len(tactics)
        seen = {key}
        steps = []
        outcomes = self.prover.step(self._here(state), [tactic for tactic, _ in tactics])
        for (tactic, logprob), outcome in zip(tactics, outcomes, strict=True):
            if outcome.done:
                after = Proof((*state.tactics, tactic), ())
            elif outcome.state is not None:
                after = self._proof(outcome.state)
            else:
                continue
            if self.key(after) not in seen:
                seen.add(self.key(after))
                steps.append(Step(tactic, after, logprob))
        return steps

    def _here(self, state: Proof) -> TacticState:
        return self._held.get(state.tactics) or TacticState(self.statement, self.header, state.goals, state.tactics)

    def _proof(self, state: TacticState) -> Proof:
        self._held[state.tactics] = state
        return Proof(state.tactics, state.goals)


def mark(tree: Tree[Proof], domain: Lean) -> None:
    """Write into ``tree`` why states have no steps, or not all of them; one that was not tried to the end is not dead."""
    for node in tree.nodes.values():
        reason = domain.notes.get(node.key) if node.key is not None else None
        if reason is not None and node.status in (NodeStatus.DEAD, NodeStatus.EXPANDED):
            node.prune_reason = reason
            if reason != REFUTED and not node.edges:
                node.status = NodeStatus.PRUNED
