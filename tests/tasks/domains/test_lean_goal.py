"""Goals as Lean shows them: names, types, target, and the outermost connective."""

from __future__ import annotations

import pytest

from tracemill.tasks.domains.lean_goal import bare, read_goal, shape, split


def test_a_goal_is_read_as_lean_shows_it():
    context, target = read_goal("case inl\np q : Prop\nn✝ : Nat\nh : p →\n  q\nx : Nat := 3\n⊢ p ∧\n  q")
    assert context == [(["p", "q"], "Prop"), (["n✝"], "Nat"), (["h"], "p → q"), (["x"], "Nat := 3")]
    assert target == "p ∧ q"


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("p ∧ q ∨ r → s ↔ t", ("↔", "p ∧ q ∨ r → s", "t")),
        ("p → q → r", ("→", "p", "q → r")),
        ("p ∧ q ∨ r", ("∨", "p ∧ q", "r")),
        ("¬p ∨ q", ("∨", "¬p", "q")),
        ("¬(p ∨ q)", ("¬", "", "(p ∨ q)")),
        ("(p ∨ q) ∧ r", ("∧", "(p ∨ q)", "r")),
        ("(p ∨ q)", ("∨", "p", "q")),
        ("∀ (x : Nat), p x → q", ("∀", "(x : Nat)", "p x → q")),
        ("p ∧ ∃ x, q x ∨ r", ("∧", "p", "∃ x, q x ∨ r")),
        ("(fun x => x = 0) = f", ("=", "(fun x => x = 0)", "f")),
        ("a + b ≤ c", ("≤", "a + b", "c")),
        ("IsEven n", ("", "IsEven n", "")),
    ],
)
def test_the_outermost_connective(text, parts):
    assert shape(text) == parts


def test_brackets_are_seen_through():
    assert bare("((p) ∧ (q))") == "(p) ∧ (q)"
    assert split("(a → b) → c", "→") == ["(a → b)", "c"]
