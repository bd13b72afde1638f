"""Counterexamples: values are chosen where the text says that they make the goal false, and Lean alone decides."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracemill.tasks.domains.lean_refute import NAME, TRIED, is_refuted, refutation, truth

NAMES = ("p", "q", "r")


def test_the_values_that_make_it_false_are_tried():
    tactic = refutation(("x : Nat\nh : x ≤ 1\n⊢ x = 0",))
    assert "(@f 1 ?_)" in tactic
    assert "(@f 0 ?_)" not in tactic
    assert "(@f 2 ?_)" not in tactic


@pytest.mark.parametrize(
    "goal",
    [
        "x : Nat\n⊢ ?w = x",
        "x : Nat := 3\n⊢ x = 4",
        "p q : Prop\nh : p ∧ q\n⊢ q",
        "x : Nat\n⊢ x + 0 = x",
    ],
)
def test_nothing_is_tried_where_nothing_can_be_false(goal):
    assert refutation((goal,)) is None


def test_hidden_names_are_named_first():
    tactic = refutation(("x✝ : Nat\nh✝ : x✝ ≤ 1\n⊢ x✝ = 0",))
    assert "rename_i hidden0 hidden1; revert hidden0 hidden1" in tactic
    assert "✝" not in tactic


def test_at_most_so_many_are_tried():
    many = "a b c d e f g h : Nat\n⊢ P a b c d e f g h"
    assert refutation((many,)).count("absurd") == TRIED


def test_only_what_lean_has_proved_counts():
    before = ("p : Prop\n⊢ p", "⊢ q")
    assert is_refuted(before, (f"{NAME} : ¬∀ (p : Prop), p\n⊢ False", "⊢ q"))
    assert not is_refuted(before, (f"p : Prop\n{NAME} : ¬p\n⊢ False", "⊢ q"))
    assert not is_refuted(before, (f"{NAME} : ¬∀ (p : Prop), p\n⊢ False",))


def formulas():
    connectives = st.sampled_from(["∧", "∨", "→", "↔"])
    return st.recursive(
        st.sampled_from([*NAMES, "True", "False"]),
        lambda inner: st.one_of(
            inner.map(lambda one: f"¬({one})"),
            st.tuples(inner, connectives, inner).map(lambda t: f"({t[0]}) {t[1]} ({t[2]})"),
        ),
        max_leaves=8,
    )


def holds(text, values):
    """The same by Python's own reading of it."""
    for sign, word in (("¬", " not "), ("∧", " and "), ("∨", " or "), ("↔", " == "), ("→", " <= ")):
        text = text.replace(sign, word)
    return bool(eval(text, {}, values))  # noqa: S307 (our own formula)


@given(formulas())
def test_propositions_are_judged_as_they_are(text):
    for chosen in itertools.product([True, False], repeat=len(NAMES)):
        values = dict(zip(NAMES, chosen, strict=True))
        expected = holds(_closed(text), values)
        assert truth(text, {name: str(value) for name, value in values.items()}) is expected


def _closed(text):
    """``¬(...)`` in brackets of its own: Python binds ``not`` loosely."""
    while (at := text.find("¬(")) >= 0:
        depth = 0
        for end in range(at + 1, len(text)):
            depth += (text[end] == "(") - (text[end] == ")")
            if depth == 0:
                break
        text = f"{text[:at]}( not {text[at + 1 : end + 1]}){text[end + 1 :]}"
    return text


@given(st.integers(0, 9), st.integers(0, 9))
def test_numbers_are_judged_as_they_are(a, b):
    values = {"a": str(a), "b": str(b)}
    assert truth("a + 2 * b ≤ b * 3", values) is (a + 2 * b <= b * 3)
    assert truth("a - b = 0", values) is (a <= b)
    assert truth("¬ (a = b) ∧ Nat.succ a > b", values) is (a != b and a + 1 > b)
    assert truth("a % b = 0", values) is None
    assert truth("∃ x, x = a", values) is None
