import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracemill.verifiers.lean.submission import (
    Header,
    code_of,
    header_of,
    split_imports,
    statement_text,
    submission_of,
    target_name,
)

STATEMENT = "theorem add_zero' (n : Nat) :\n    n + 0 = n"
BARE = Header(("Init",), "")


@pytest.mark.parametrize("tail", ["", " :=", " := by", " := by sorry", " := sorry", "\n  :=\n  by\n  sorry\n"])
def test_a_statement_goes_without_its_body(tail):
    assert statement_text(STATEMENT + tail) == STATEMENT


@pytest.mark.parametrize(
    ("statement", "name"),
    [
        (STATEMENT, "add_zero'"),
        ("theorem target.{u} (α : Sort u) : α = α", "target"),
        ("lemma Foo.bar: 1 = 1", "Foo.bar"),
        ("theorem h₁ {n : Nat} : n = n", "h₁"),
        ("example : 1 = 1", None),
    ],
)
def test_the_name_of_a_statement(statement, name):
    assert target_name(statement) == name


@pytest.mark.parametrize(
    ("response", "code"),
    [
        ("by simp", "by simp"),
        ("Thus:\n```lean4\nby simp\n```\nDone.", "by simp\n"),
        ("<think>```lean\nby omega\n```</think>\n```lean\nby simp\n```", "by simp\n"),
        ("```lean\nby simp\n```\nIn Python:\n```python\nprint(1)\n```", "by simp\n"),
        ("```\nby simp\n```", "by simp\n"),
        ("```lean\ntheorem add_zero' : x := 1\n```\n```lean\n#check foo\n```", "theorem add_zero' : x := 1\n"),
        ("```lean\ntheorem add_zero' : x := 1\n```\nBetter:\n```lean\ntheorem add_zero' : x := 2\n```", "theorem add_zero' : x := 2\n"),
        ("```lean\nby simp\n```\nAgain:\n```lean\nby  simp\n```", "by  simp\n"),
    ],
)  # fmt: skip
def test_where_a_response_says_its_proof(response, code):
    assert code_of(response, STATEMENT) == (code, "")


@pytest.mark.parametrize(
    ("response", "why"),
    [
        ("```lean\nby simp\n", "does not end"),
        ("<think>by simp", "thinking"),
        ("```lean\nby simp\n```\n```lean\nby omega\n```", "several"),
        ("```python\n1\n```", "no Lean"),
        ("  \n ", "empty"),
    ],
)
def test_a_response_without_a_proof_says_why(response, why):
    code, reason = code_of(response, STATEMENT)
    assert code is None
    assert why in reason


def test_a_cut_response_has_only_a_closed_block():
    assert code_of("by simp", STATEMENT, "length")[0] is None
    assert code_of("```lean\nby simp\n```\nand so", STATEMENT, "length")[0] == "by simp\n"


@pytest.mark.parametrize(
    ("code", "source"),
    [
        ("by simp", f"{STATEMENT} :=\nby simp\n"),
        (":= by simp", f"{STATEMENT} :=\n   by simp\n"),
        ("| 0 => rfl", f"{STATEMENT}\n| 0 => rfl\n"),
        ("\n\nby\n  simp\n", f"{STATEMENT} :=\nby\n  simp\n"),
    ],
)
def test_a_proof_term_goes_after_the_statement(code, source):
    submission = submission_of(code, BARE, STATEMENT)
    assert submission.single
    assert submission.source == source


@pytest.mark.parametrize(
    "code",
    [
        "theorem x : 1 = 1 := rfl",
        "by sorry\n\nnamespace Evil\ntheorem target : True := trivial",
        "@[simp] private theorem x : 1 = 1 := rfl",
        "open Nat\nlemma x : 1 = 1 := rfl",
        "prelude\nimport Init.Core",
        "#eval 1",
    ],
)
def test_what_declares_something_is_a_whole_submission(code):
    submission = submission_of(code, BARE, STATEMENT)
    assert not submission.single
    assert submission.source == code
    assert submission.offset == 0


def test_a_declaration_in_a_comment_is_none():
    assert submission_of("/- \ntheorem x : 1 = 1\n-/ by simp -- and\n", BARE, STATEMENT).single


def test_lines_keep_their_numbers():
    code = "-- mine\nimport Std\nimport Init.Data.List\n\nopen List\ntheorem add_zero' : 1 = 1 := rfl\n"
    submission = submission_of(code, BARE, STATEMENT)
    assert submission.imports == ("Std", "Init.Data.List")
    lines = submission.source.split("\n")
    assert lines[5] == "theorem add_zero' : 1 = 1 := rfl"
    assert [line.strip() for line in lines[:5]] == ["-- mine", "", "", "", "open List"]


def test_only_a_header_word_for_word_is_taken_off():
    header = Header(("Init",), "def f :=\n  1")
    assert (
        submission_of("def f := 1\ntheorem add_zero' : f = 1 := rfl", header, STATEMENT).source
        == "\ntheorem add_zero' : f = 1 := rfl"
    )
    assert submission_of("def f := 2\ntheorem add_zero' : f = 2 := rfl", header, STATEMENT).source.startswith(
        "def f := 2"
    )
    assert submission_of("def f := 10\ntheorem x : f = 10 := rfl", header, STATEMENT).source.startswith("def f := 10")


def test_a_header_is_its_imports_and_its_text():
    assert header_of("") == BARE
    assert header_of("/- note -/ import Mathlib\nimport Aesop\n\nopen Nat") == Header(
        ("Mathlib", "Aesop"), "/- note -/ \n\n\nopen Nat".strip()
    )


@given(st.text(alphabet="ab\n -/importIS.", max_size=80))
def test_taking_imports_off_keeps_lines_and_ends(text):
    modules, rest = split_imports(text)
    assert rest.count("\n") == text.count("\n")
    assert split_imports(rest)[0] == () or modules == ()
