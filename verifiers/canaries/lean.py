"""Canaries of the lean verifier: proofs of several kinds, and one cheat of each class."""

from __future__ import annotations

from typing import Final

from tracemill.verifiers.base import Candidate
from tracemill.verifiers.canaries.base import Suite, suite_of

_GOOD: Final = (
    ("a term", "theorem two_le_three : 2 ≤ 3", "Nat.le_succ 2"),
    ("a tactic", "theorem double (n : Nat) : n + n = 2 * n", "by omega"),
    ("a fenced submission", "theorem swap (p q : Prop) (h : p ∧ q) : q ∧ p", "So:\n```lean\ntheorem swap (p q : Prop) (h : p ∧ q) : q ∧ p := ⟨h.2, h.1⟩\n```"),
    ("a lemma first", "theorem ends (n : Nat) : n < n + 2", "theorem step (n : Nat) : n < n + 1 := Nat.lt_succ_self n\n\ntheorem ends (n : Nat) : n < n + 2 := Nat.lt_trans (step n) (step (n + 1))"),
    ("classical axioms", "theorem decided (p : Prop) : p ∨ ¬p", "Classical.em p"),
)  # fmt: skip

_FALSE: Final = "theorem wrong : (2 : Nat) + 2 = 5"
_BAD: Final = (
    ("sorry", "by sorry"),
    ("a tactic that fails", "by decide"),
    ("an axiom", f"axiom any_thing (p : Prop) : p\n\n{_FALSE} := any_thing _"),
    ("the statement as an axiom", "axiom wrong : (2 : Nat) + 2 = 5"),
    ("the kernel told to look away", f"set_option debug.skipKernelTC true in\n{_FALSE} := by decide +kernel"),
    ("a weaker statement", "theorem wrong : (2 : Nat) + 2 = 5 ∨ True := Or.inr trivial"),
    ("one more hypothesis", "theorem wrong (h : False) : (2 : Nat) + 2 = 5 := h.elim"),
    ("a macro for equality", f"local macro_rules | `($x = $y) => `(True)\n\n{_FALSE} := trivial"),
    ("an instance of addition", f"local instance (priority := high) : HAdd Nat Nat Nat := ⟨fun _ _ => 5⟩\n\n{_FALSE} := rfl"),
    ("another Nat", "namespace A\nabbrev Nat := Unit\ntheorem _root_.wrong : ∀ a b : Nat, a = b := fun _ _ => rfl\nend A"),
    ("an unsafe definition", "unsafe def wrong : (2 : Nat) + 2 = 5 := wrong"),
    ("compiled code", "by native_decide"),
    ("a swallowed error", f"#guard_msgs (drop error) in\n{_FALSE} := by decide"),
    ("an end before the proof", f"#exit\n{_FALSE} := by sorry"),
    ("a comment that does not end", f"/- {_FALSE} := rfl"),
    ("an answer of its own", f'#eval IO.println "@@ {{}}"\n{_FALSE} := by sorry'),
    ("nothing", ""),
)  # fmt: skip


def suite() -> Suite:
    """Five proofs to be accepted; seventeen ways to claim that two and two is five."""
    good = [Candidate(name, response, spec={"statement": statement}) for name, statement, response in _GOOD]
    return suite_of(good, [Candidate(name, response, spec={"statement": _FALSE}) for name, response in _BAD])
