import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracemill.schemas.errors import DataError
from tracemill.verifiers.lean.tactics import HEARTBEATS, TacticEnvironment, canonical_goals, script


@pytest.fixture
def lean(standin):
    with TacticEnvironment(standin, limit=1.0) as environment:
        yield environment


def test_a_step_gives_a_state_an_end_or_an_error(lean):
    start = lean.start("theorem t : True := by sorry")
    assert start.goals == ("⊢ theorem t : True",)
    added, done, wrong = lean.step(start, ["add ⊢ p", "close", "nonsense"])
    assert added.state.goals == ("⊢ theorem t : True", "⊢ p")
    assert added.state.tactics == ("add ⊢ p",)
    assert (done.done, done.state, done.error) == (True, None, None)
    assert (wrong.done, wrong.state, wrong.error) == (False, None, "unknown tactic nonsense")


def test_a_state_can_be_gone_back_to_any_number_of_times(lean):
    start = lean.start("theorem t : True")
    first = lean.step(start, ["add ⊢ p"])[0].state
    lean.step(first, ["close", "close"])
    assert lean.step(start, ["add ⊢ p"])[0].state == first
    assert lean.step(start, ["add ⊢ p"])[0].state.key == first.key
    assert lean.step(first, ["skip"])[0].state.key == first.key


def test_a_state_outlives_its_process_and_a_reset(lean):
    state = lean.step(lean.start("theorem t : True"), ["add ⊢ p"])[0].state
    lean.process.close()
    assert lean.step(state, ["add ⊢ q"])[0].state.goals == ("⊢ theorem t : True", "⊢ p", "⊢ q")
    lean.reset()
    assert lean.step(state, ["add ⊢ q"])[0].state.goals == ("⊢ theorem t : True", "⊢ p", "⊢ q")


@pytest.mark.parametrize(("tactic", "timeout"), [("HANG", True), ("DIE", False)])
def test_a_tactic_that_costs_the_process_fails_alone(lean, tactic, timeout):
    start = lean.start("theorem t : True")
    before, lost, after = lean.step(start, ["close", tactic, "add ⊢ p"])
    assert before.done
    assert (lost.error is not None, lost.timeout) == (True, timeout)
    assert after.state.goals[-1] == "⊢ p"


def test_a_statement_that_lean_cannot_read_is_a_data_error(lean):
    with pytest.raises(DataError, match="does not elaborate"):
        lean.start("theorem BAD : x")


def test_the_heartbeats_of_a_tactic_do_not_bound_the_header(standin, monkeypatch):
    asked = []
    with TacticEnvironment(standin, limit=1.0, heartbeats=5) as lean:
        ask = lean.process.ask
        monkeypatch.setattr(lean.process, "ask", lambda request, limit: asked.append(request) or ask(request, limit))
        lean.step(lean.start("theorem t : True", "def f := 1"), ["close"])
    assert [request["maxHeartbeats"] for request in asked] == [HEARTBEATS, 5]


def test_no_tactics_ask_nothing(lean):
    assert lean.step(lean.start("theorem t : True"), []) == []


def test_the_script_is_the_proof_as_text():
    text = script("theorem t : p := by\n  sorry", ["intro h", "cases h with\n| inl a => exact a\n| inr b => exact b"])
    assert text == ("theorem t : p := by\n  intro h\n  cases h with\n  | inl a => exact a\n  | inr b => exact b\n")


def test_metavariables_are_numbered_in_order():
    assert canonical_goals("⊢ ?m.17 = ?m.4 ∧ ?m.17 = ?u.3") == canonical_goals("⊢ ?m.2 = ?m.900 ∧ ?m.2 = ?u.1")
    assert canonical_goals("⊢ ?m.1 = ?m.2") != canonical_goals("⊢ ?m.1 = ?m.1")
    assert canonical_goals("case a\nx : Nat\n⊢ ?a = x") == "case a\nx : Nat\n⊢ ?a = x"


@given(st.lists(st.integers(0, 9), min_size=1, max_size=8), st.permutations(range(10)))
def test_renaming_metavariables_does_not_change_the_key(numbers, renaming):
    def goals(names):
        return " ".join(f"?m.{n}" for n in names)

    assert canonical_goals(goals(numbers)) == canonical_goals(goals([renaming[n] for n in numbers]))
