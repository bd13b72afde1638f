"""Tactics one at a time, for search: goals in, tactics out, states that can be told apart by their text.

    with TacticEnvironment() as lean:                     # one Lean process, about a gigabyte; not for two threads at once
        state = lean.start("theorem t (p q : Prop) (hp : p) (hq : q) : p ∧ q")
        for outcome in lean.step(state, ["constructor", "exact ⟨hp, hq⟩"]):
            outcome.state      # the state after it (a TacticState), None where the tactic failed or nothing is left to prove
            outcome.done       # True: no goal is left, the kernel accepts the term, and it uses no sorry
            outcome.error      # why it failed, else None
        lean.script(statement, ["exact ⟨hp, hq⟩"])        # the proof as text, for the verifier: it alone gives a verdict

What must stay true: a state never changes, so any number of tactics may be tried on it, in any order, and a search may go back to any.
``TacticState.key`` is equal for equal goals, however they were reached: names of metavariables are replaced by their order. A
state outlives the process that made it: one that is gone (recycled, stuck, or dropped by ``reset``) is made again by its tactics. ``done`` is a hint for
the search and no verdict. The interface is ``TacticProver``; a LeanDojo ``Dojo`` implements it too (``verifiers/lean/dojo.py``).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, Self

from tracemill.schemas.errors import DataError
from tracemill.schemas.ids import digest
from tracemill.verifiers.lean import choose
from tracemill.verifiers.lean.backend import Backend
from tracemill.verifiers.lean.policy import Policy
from tracemill.verifiers.lean.process import LeanLost, LeanProcess
from tracemill.verifiers.lean.submission import header_of, statement_text

#: Seconds for one tactic or one batch that is quick (of one that is not, each tactic is tried by itself), and for the statement at the start.
TACTIC_LIMIT: Final = 10.0
START_LIMIT: Final = 60.0
HEARTBEATS: Final = 200_000

_METAVARIABLE: Final = re.compile(r"\?([mu])(?:vs?)?\.?(\d+)")


@dataclass(frozen=True, slots=True)
class TacticState:
    """Goals that are left to prove, first goal first, as Lean prints them.

    ``tactics`` lead here from ``statement`` (on top of ``header``); ``handle`` is the back end's own name of the state.
    """

    statement: str
    header: str
    goals: tuple[str, ...]
    tactics: tuple[str, ...] = ()
    handle: tuple[int, int] = field(default=(0, 0), compare=False, repr=False)

    @property
    def text(self) -> str:
        """All goals, for a prompt."""
        return "\n\n".join(self.goals)

    @property
    def key(self) -> str:
        """The same for equal goals under one statement's header."""
        return digest("tactic", self.header, canonical_goals(self.text))


@dataclass(frozen=True, slots=True)
class TacticOutcome:
    """What one tactic did: ``state``, or ``done``, or ``error`` (with ``timeout`` where its time was over)."""

    tactic: str
    state: TacticState | None = None
    done: bool = False
    error: str | None = None
    timeout: bool = False


class TacticProver(Protocol):
    """What search needs of a proof assistant."""

    def start(self, statement: str, header: str = "") -> TacticState: ...

    def step(self, state: TacticState, tactics: Sequence[str]) -> list[TacticOutcome]: ...

    def reset(self) -> None: ...

    def close(self) -> None: ...


def canonical_goals(text: str) -> str:
    """The goals with their metavariables numbered in order of appearance: Lean's own numbers depend on how it got there."""
    seen: dict[str, int] = {}

    def name(found: re.Match[str]) -> str:
        return f"?{found[1]}{seen.setdefault(found[0], len(seen))}"

    return _METAVARIABLE.sub(name, text)


def script(statement: str, tactics: Sequence[str]) -> str:
    """The theorem with these tactics as its proof; a tactic of several lines keeps its layout."""
    body = "\n".join("  " + tactic.strip("\n").replace("\n", "\n  ") for tactic in tactics)
    return f"{statement_text(statement)} := by\n{body or '  skip'}\n"


class TacticEnvironment:
    """The checker's tactic states, in one process that starts with the first call."""

    def __init__(
        self, backend: Backend | None = None, *, limit: float = TACTIC_LIMIT, heartbeats: int = HEARTBEATS
    ) -> None:
        self._lean = LeanProcess(backend or choose.backend("auto", install=True), Policy())
        self._limit, self._heartbeats = limit, heartbeats
        self._generation = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    @property
    def process(self) -> LeanProcess:
        """The process, for its memory and CPU time."""
        return self._lean

    def start(self, statement: str, header: str = "") -> TacticState:
        """The state before the first tactic, with the statement's binders introduced under their names.

        Raises DataError for a statement or header that this Lean cannot read.
        """
        return self._made(statement_text(statement), header, ())

    def step(self, state: TacticState, tactics: Sequence[str]) -> list[TacticOutcome]:
        """What each tactic, tried on ``state`` by itself, makes of it; in order. A tactic never raises."""
        if not tactics:
            return []
        try:
            return self._step(state, tactics)
        except LeanLost as lost:
            if len(tactics) == 1:
                return [TacticOutcome(tactics[0], error=f"Lean was ended: {lost.detail}", timeout=lost.cause == "time")]
        # one of them cost the process: each by itself, so that only that one fails
        return [outcome for tactic in tactics for outcome in self.step(state, [tactic])]

    def reset(self) -> None:
        """Forget all states (they are made again when they are used): call it between problems."""
        if self._lean.alive:
            self._lean.ask({"cmd": "reset"}, self._limit)
            self._generation += 1

    def close(self) -> None:
        self._lean.close()

    @staticmethod
    def script(statement: str, tactics: Sequence[str]) -> str:
        """``script`` of this module."""
        return script(statement, tactics)

    def _step(self, state: TacticState, tactics: Sequence[str]) -> list[TacticOutcome]:
        answers = self._ask_step(state, tactics)
        if answers is None:
            state = self._made(state.statement, state.header, state.tactics)
            answers = self._ask_step(state, tactics)
        if answers is None:
            raise LeanLost("died", "the state cannot be made again")
        return [self._outcome(state, tactic, answer) for tactic, answer in zip(tactics, answers, strict=True)]

    def _ask_step(self, state: TacticState, tactics: Sequence[str]) -> list[dict[str, Any]] | None:
        """The answers, None where the process does not know the state (any more)."""
        self._lean.ready()
        if state.handle[0] != self._era():
            return None
        request = {
            "cmd": "step",
            "state": state.handle[1],
            "tactics": list(tactics),
            "maxHeartbeats": self._heartbeats,
        }
        answer = self._lean.ask(request, self._limit)
        if answer.get("gone"):
            return None
        if answer.get("timeout"):
            raise LeanLost("time", f"over {self._limit:g} s")
        steps = answer.get("steps")
        if not isinstance(steps, list) or len(steps) != len(tactics):
            raise LeanLost("died", str(answer.get("exception", "no answer")))
        return steps

    def _outcome(self, state: TacticState, tactic: str, answer: dict[str, Any]) -> TacticOutcome:
        if not answer.get("ok"):
            return TacticOutcome(tactic, error=str(answer.get("error", "no answer")))
        if answer.get("done"):
            return TacticOutcome(tactic, done=True)
        return TacticOutcome(tactic, self._state(state.statement, state.header, (*state.tactics, tactic), answer))

    def _made(self, statement: str, header: str, tactics: tuple[str, ...]) -> TacticState:
        apart = header_of(header)
        request = {
            "cmd": "goals",
            "imports": list(apart.imports),
            "header": apart.text,
            "statement": statement,
            "tactics": list(tactics),
            "maxHeartbeats": max(self._heartbeats, HEARTBEATS),  # the header is no tactic
        }
        self._lean.ready()
        answer = self._lean.ask(request, START_LIMIT)
        if not answer.get("ok") or "state" not in answer:
            why = answer.get("error") or answer.get("exception") or "it is over its time"
            raise DataError(f"Lean cannot begin with it: {why}", where=statement.partition("\n")[0][:120])
        return self._state(statement, header, tactics, answer)

    def _state(self, statement: str, header: str, tactics: tuple[str, ...], answer: dict[str, Any]) -> TacticState:
        return TacticState(statement, header, tuple(answer["goals"]), tactics, (self._era(), int(answer["state"])))

    def _era(self) -> int:
        """Changes whenever states are lost."""
        return self._generation * 1_000_000 + self._lean.starts
