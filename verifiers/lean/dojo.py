"""LeanDojo's ``Dojo`` behind the same interface as our tactic environment (extra ``lean``; needs a native Lean, git and GitHub).

What must stay true: nothing here gives a verdict. ``Dojo`` says whether its own REPL has no goals left, and ``check_proof`` looks for a warning in
one spelling only, so what search finds goes through the verifier. LeanDojo (4.20.0) is not maintained any more and wants Python < 3.13.

    with DojoEnvironment(theorem) as lean:      # a lean_dojo.Theorem
        state = lean.start()
        outcomes = lean.step(state, ["simp", "omega"])
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any, Self

from tracemill.schemas.errors import DataError, UsageError
from tracemill.verifiers.lean.tactics import TacticOutcome, TacticState


def lean_dojo() -> Any:
    """The package. Raises UsageError where it is not installed."""
    try:
        return importlib.import_module("lean_dojo")
    except ImportError as error:
        raise UsageError(
            f"lean_dojo cannot be imported: {error}",
            where="LeanDojo",
            mend="pip install 'tracemill[lean]' with Python 3.11 or 3.12",
        ) from error


class DojoEnvironment:
    """One theorem of a traced repository. A ``Dojo`` that crashed or ran out of time is entered again, and the state replayed."""

    def __init__(self, theorem: Any, *, limit: int = 600, imports: Sequence[str] = ()) -> None:
        self._package = lean_dojo()
        self._theorem, self._limit, self._imports = theorem, limit, list(imports)
        self._dojo: Any = None
        self._states: dict[tuple[str, ...], Any] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def start(self, statement: str = "", header: str = "") -> TacticState:
        """The theorem's first state; the theorem was named when this was made, so both arguments are only kept.

        Raises DataError where LeanDojo cannot enter it.
        """
        first = self._enter()
        return self._state(statement, header, (), first)

    def step(self, state: TacticState, tactics: Sequence[str]) -> list[TacticOutcome]:
        """What each tactic, tried on ``state`` by itself, makes of it; in order."""
        return [self._one(state, tactic) for tactic in tactics]

    def reset(self) -> None:
        """Forget all states; they are made again when they are used."""
        self.close()

    def close(self) -> None:
        dojo, self._dojo = self._dojo, None
        self._states.clear()
        if dojo is not None:
            dojo.__exit__(None, None, None)

    def _enter(self) -> Any:
        self.close()
        dojo = self._package.Dojo(self._theorem, timeout=self._limit, additional_imports=self._imports)
        try:
            self._dojo, first = dojo.__enter__()
        except self._errors() as error:
            raise DataError(f"LeanDojo cannot enter it: {error}", where=str(self._theorem)[:200]) from error
        self._states[()] = first
        return first

    def _one(self, state: TacticState, tactic: str) -> TacticOutcome:
        try:
            known = self._known(state)  # enters anew where it must
            result = self._dojo.run_tac(known, tactic)
        except self._package.DojoTacticTimeoutError:
            self.close()
            return TacticOutcome(tactic, error=f"over {self._limit} s", timeout=True)
        except self._package.DojoCrashError as error:
            self.close()
            return TacticOutcome(tactic, error=f"Lean was ended: {error}")
        if isinstance(result, self._package.ProofFinished):
            return TacticOutcome(tactic, done=True)
        if isinstance(result, self._package.ProofGivenUp):
            return TacticOutcome(tactic, error="the proof uses sorry")
        if isinstance(result, self._package.LeanError):
            return TacticOutcome(tactic, error=result.error)
        return TacticOutcome(tactic, self._state(state.statement, state.header, (*state.tactics, tactic), result))

    def _known(self, state: TacticState) -> Any:
        """LeanDojo's own state for ours, by replaying its tactics where it is not known any more."""
        if self._dojo is None:
            self._enter()
        for length in range(len(state.tactics) + 1):
            done = state.tactics[:length]
            if done not in self._states:
                made = self._dojo.run_tac(self._states[done[:-1]], done[-1])
                if not isinstance(made, self._package.TacticState):
                    raise DataError("the state cannot be made again", where=" / ".join(done)[:200])
                self._states[done] = made
        return self._states[state.tactics]

    def _state(self, statement: str, header: str, tactics: tuple[str, ...], theirs: Any) -> TacticState:
        self._states[tactics] = theirs
        return TacticState(statement, header, tuple(theirs.pp.split("\n\n")), tactics)

    def _errors(self) -> tuple[type[BaseException], ...]:
        return (self._package.DojoInitError, self._package.DojoCrashError, self._package.DojoTacticTimeoutError)
