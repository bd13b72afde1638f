"""Over a package of the same shape as lean_dojo 4.20: ``Dojo``, its results and its exceptions, as its source declares them."""

import sys
from dataclasses import dataclass, field
from types import ModuleType

import pytest

from tracemill.schemas.errors import DataError, UsageError
from tracemill.verifiers.lean.dojo import DojoEnvironment


@dataclass(frozen=True)
class State:
    pp: str
    id: int = field(compare=False)
    message: str | None = field(default=None, compare=False)


@dataclass(frozen=True)
class Finished:
    tactic_state_id: int
    message: str | None = None


@dataclass(frozen=True)
class GivenUp:
    pass


@dataclass(frozen=True)
class Wrong:
    error: str


class Dojo:
    entered = 0

    def __init__(self, entry, timeout=600, additional_imports=(), build_deps=True):
        self.entry, self.timeout = entry, timeout
        self.next = 0

    def __enter__(self):
        if self.entry == "missing":
            raise sys.modules["lean_dojo"].DojoInitError("no such theorem")
        type(self).entered += 1
        return self, State("⊢ a\n\n⊢ b", 0)

    def __exit__(self, *exc):
        self.entry = None

    def run_tac(self, state, tactic):
        assert self.entry is not None, "used after its end"
        assert isinstance(state, State)
        self.next += 1
        if tactic == "first":
            return State(state.pp.partition("\n\n")[2], self.next)
        if tactic == "late":
            raise sys.modules["lean_dojo"].DojoTacticTimeoutError
        if tactic == "crash":
            raise sys.modules["lean_dojo"].DojoCrashError("OOM")
        return {"done": Finished(self.next), "sorry": GivenUp()}.get(tactic, Wrong(f"unknown {tactic}"))


@pytest.fixture
def package(monkeypatch):
    module = ModuleType("lean_dojo")
    module.Dojo, module.TacticState, module.ProofFinished, module.ProofGivenUp, module.LeanError = (
        Dojo,
        State,
        Finished,
        GivenUp,
        Wrong,
    )
    for name in ("DojoCrashError", "DojoTacticTimeoutError", "DojoInitError"):
        setattr(module, name, type(name, (Exception,), {}))
    monkeypatch.setitem(sys.modules, "lean_dojo", module)
    Dojo.entered = 0


def test_each_result_has_its_outcome(package):
    with DojoEnvironment("a theorem") as lean:
        start = lean.start()
        assert start.goals == ("⊢ a", "⊢ b")
        one, done, given_up, wrong = lean.step(start, ["first", "done", "sorry", "x"])
    assert one.state.goals == ("⊢ b",)
    assert one.state.tactics == ("first",)
    assert (done.done, given_up.done, wrong.done) == (True, False, False)
    assert (given_up.error, wrong.error) == ("the proof uses sorry", "unknown x")


@pytest.mark.parametrize("tactic", ["late", "crash"])
def test_a_lost_dojo_is_entered_again_and_the_state_replayed(package, tactic):
    with DojoEnvironment("a theorem") as lean:
        state = lean.step(lean.start(), ["first"])[0].state
        lost, after = lean.step(state, [tactic, "done"])
    assert lost.error is not None
    assert lost.timeout is (tactic == "late")
    assert after.done
    assert Dojo.entered == 2


def test_equal_goals_have_one_key_in_both_environments(package):
    with DojoEnvironment("a theorem") as lean:
        start = lean.start()
        lean.reset()
        assert lean.start().key == start.key
        assert lean.step(start, ["first"])[0].state.key != start.key


def test_a_theorem_that_cannot_be_entered_is_a_data_error(package):
    with pytest.raises(DataError, match="no such theorem"):
        DojoEnvironment("missing").start()


def test_without_the_package_the_mend_is_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "lean_dojo", None)
    with pytest.raises(UsageError, match=r"tracemill\[lean\]"):
        DojoEnvironment("a theorem")
