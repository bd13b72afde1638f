import pytest

from tracemill.verifiers.lean.snippet import Snippet, snippet_of


@pytest.mark.parametrize(
    ("lean", "header", "statement", "proof"),
    [
        ("theorem t : 1 = 1 := rfl", "", "theorem t : 1 = 1", ":= rfl"),
        ("open Nat\n\ntheorem t (n : Nat := 3) : n = n := by\n  rfl\n", "open Nat", "theorem t (n : Nat := 3) : n = n", ":= by\n  rfl"),
        ("theorem t : ∀ n : Nat, n = n\n  | 0 => rfl\n  | n + 1 => rfl", "", "theorem t : ∀ n : Nat, n = n", "| 0 => rfl\n  | n + 1 => rfl"),
        ("example : 1 = 1 := rfl", "", "theorem snippet : 1 = 1", ":= rfl"),
        ("def f := 1 -- theorem\n@[simp] theorem t : f = 1 := rfl\n\nend\n#check t", "def f := 1 -- theorem", "@[simp] theorem t : f = 1", ":= rfl"),
        ("variable (p q : Prop)\nexample (h : p) : p ∨ q := Or.inl h", "variable (p q : Prop)", "theorem snippet (h : p) : p ∨ q", ":= Or.inl h"),
        ("theorem t : /- := -/ 1 = 1 := rfl", "", "theorem t : /- := -/ 1 = 1", ":= rfl"),
    ],
)  # fmt: skip
def test_one_theorem_is_taken_apart(lean, header, statement, proof):
    assert snippet_of(lean) == Snippet(header, statement, proof)


@pytest.mark.parametrize(
    "lean",
    [
        "",
        "def f := 1",
        "theorem a : 1 = 1 := rfl\ntheorem b : 2 = 2 := rfl",
        "theorem a : 1 = 1 := rfl\n\ndef f := 1",
        "/- theorem a : 1 = 1 := rfl -/",
        "theorem a : 1 = 1",
        "example := rfl",
        "variable (h : 1 = 2)\nexample : 1 = 2 := h",
    ],
)
def test_what_is_not_one_theorem_gives_nothing(lean):
    assert snippet_of(lean) is None
