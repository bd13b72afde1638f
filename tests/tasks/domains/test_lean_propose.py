"""Tactics from an engine: what is taken for one, what never is, and how much each weighs."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracemill.tasks.domains.lean_propose import LINES, asking, is_tactic, mixed, tactics_of, weighed
from tracemill.tasks.engines.base import Completion
from tracemill.tasks.templates import Template


def said(text, **more):
    return Completion(text, "stop", **more)


def test_thoughts_fences_bullets_and_comments_are_passed_over():
    text = """<think>
simp
</think>
```lean
1. intro h
- `exact ⟨h.2, h.1⟩`  -- swap them
by omega
intro h
rcases h with h | h;
```"""
    assert tactics_of(text) == ["intro h", "exact ⟨h.2, h.1⟩", "omega", "rcases h with h | h"]


@pytest.mark.parametrize(
    "line",
    [
        "sorry",
        "exact sorry",
        "exact (sorryAx _ false)",
        "admit",
        "native_decide",
        "decide; stop",
        "run_tac Lean.logInfo m",
        "theorem t : True := trivial",
        "open Nat in simp",
        "set_option maxHeartbeats 0 in simp",
        "exact unsafe f",
        "#eval IO.Process.exit 1",
        "macro_rules | `(tactic| x) => `(tactic| y)",
        'exact include_str "/etc/passwd"',
        "exact Lean.ofReduceBool a b rfl",
        "exact h) (simp",
        "exact ⟨h, k)",
        "intro «sorry»",
        "simp /- open comment",
        "simp\u2028sorry",
        "x" * 201,
        "⊢ p ∧ q",
        "",
    ],
)
def test_what_could_end_a_proof_without_one_or_run_code_is_no_tactic(line):
    assert not is_tactic(line)
    assert tactics_of(f"simp\n{line}")[:1] == ["simp"]
    assert line not in tactics_of(line)


@pytest.mark.parametrize(
    "line",
    [
        "intro h",
        "exact ⟨h.2, h.1⟩",
        "rw [← Nat.add_assoc] at h ⊢",
        "induction n with | zero => rfl | succ n ih => simp [ih]",
        "constructor <;> intro h",
        "infer_instance",
        "exact absurd ‹_› h",
        "apply Classical.byContradiction; intro hn",
        "· exact h",
        "have endpoint := h.left",
    ],
)
def test_tactics_are_tactics(line):
    assert tactics_of(line) == [line]


@given(st.text(alphabet=st.sampled_from('ab (){}[]⟨⟩\n;`"#-/sory<think>1.'), max_size=120))
def test_whatever_an_answer_says_only_whole_lines_with_closed_brackets_are_taken(text):
    found = tactics_of(text)
    assert len(found) == len(set(found)) <= LINES
    for tactic in found:
        assert is_tactic(tactic)
        assert tactic in text
        assert "\n" not in tactic
        assert tactic.count("(") == tactic.count(")")


def test_an_answer_weighs_what_its_tokens_did_and_its_lines_share_it():
    sure = said("intro h\nsimp", logprob_sum=-2.0, completion_tokens=20)
    unsure = said("simp", logprob_sum=-10.0, completion_tokens=10)
    broken = said("omega", error="no answer")
    found = dict(weighed([sure, unsure, broken]))
    share = math.exp(-0.1) / 2, math.exp(-0.1) / 2 + math.exp(-1.0)
    assert found == pytest.approx({"intro h": math.log(share[0] / sum(share)), "simp": math.log(share[1] / sum(share))})
    assert weighed([sure, unsure])[0][0] == "simp"
    assert weighed([]) == []


def test_without_log_probabilities_answers_are_counted():
    assert dict(weighed([said("simp"), said("simp"), said("omega")])) == pytest.approx(
        {"simp": math.log(2 / 3), "omega": math.log(1 / 3)}
    )


def test_two_proposers_have_half_of_the_weight_each():
    found = dict(mixed([("simp", 0.0)], [("simp", math.log(0.5)), ("rfl", math.log(0.5))]))
    assert {tactic: math.exp(logprob) for tactic, logprob in found.items()} == pytest.approx(
        {"simp": 0.75, "rfl": 0.25}
    )
    assert mixed([], [("rfl", 0.0)]) == [("rfl", 0.0)]


def test_the_goals_are_asked_about_after_the_problem_without_shots():
    asked = asking(Template("t", shots=(("q", "a"),), prefill="So"))
    assert (asked.name, asked.shots, asked.prefill) == ("t+tactics", (), "")
    assert "{{goals}}" in asked.then
