"""A tree drawn as text: of the state of a proof what is left to show is seen."""

from __future__ import annotations

import json

import pytest

from tracemill.tasks.domains.lean import Lean, Proof
from tracemill.tasks.drawing import drawing, shown


@pytest.mark.parametrize(
    ("goals", "seen"),
    [
        (("n : Nat\n⊢ n = 0", "⊢ p ∧\n  q"), "⊢ n = 0 | ⊢ p ∧\n  q"),
        ((), "nothing is left"),
    ],
)
def test_of_a_proof_the_targets_are_shown(goals, seen):
    assert shown(Lean(None, None).show(Proof(("simp",), goals))) == seen


@pytest.mark.parametrize("state", [None, "", "30:[5, 3, 2]", "[1]", '"goals"', "12", json.dumps({"goals": [1]})])
def test_any_other_state_is_shown_as_it_is(state):
    assert shown(state) == state


def test_a_refuted_state_is_drawn_with_its_reason():
    def row(node_id, status, reason=None):
        state = Lean(None, None).show(Proof((), ("⊢ p",)))
        more = {"value": None, "mc_k": None, "mc_correct": None, "visits": 1, "tokens": 0, "prune_reason": reason}
        return {
            "node_id": node_id,
            "status": status,
            "step": "left",
            "state": state,
            "created_order": len(node_id),
            **more,
        }

    lines = [*drawing([row("0", "expanded"), row("0,0", "dead", "refuted")], [{"parent": "0", "child": "0,0"}])]
    assert lines == ["0  ⊢ p   [1 visit]", "`- left  ->  ⊢ p   [1 visit, dead end: refuted]"]
