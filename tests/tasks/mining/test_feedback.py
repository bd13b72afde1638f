"""Feedback says what went wrong and never what would be right."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from tracemill.tasks.mining.feedback import LONGEST, feedback


def test_an_answer_is_named_as_wrong():
    assert feedback("different", json.dumps({"answer": "8", "decided_by": "number"}), "7") == (
        "The answer 8 is not correct."
    )


def test_errors_of_code_and_proofs_are_told():
    evidence = {"message": "list index out of range", "source": "assert hidden(3) == 4"}
    assert feedback("in a test: raised IndexError", json.dumps(evidence)) == (
        "This attempt is not correct: in a test: raised IndexError.\nlist index out of range"
    )
    messages = [{"line": 3, "column": 7, "severity": "error", "text": "unknown identifier 'foo'"}]
    said = feedback(
        "it does not elaborate", json.dumps({"messages": messages, "answer": "theorem t : True := by\n  foo"})
    )
    assert said == "This attempt is not correct: it does not elaborate.\n3:7: unknown identifier 'foo'"


def test_fields_that_are_not_known_stay_untold():
    assert feedback("below full score", json.dumps({"entry_answer": "7"})) == (
        "This attempt is not correct: below full score."
    )


@given(st.text(min_size=1, max_size=5), st.text(max_size=40), st.text(max_size=40))
def test_the_gold_answer_is_never_told(gold, reason, error):
    said = feedback(reason, json.dumps({"error": error}), gold)
    if gold.strip() and gold.strip() not in "This attempt is not correct.":
        assert gold.strip() not in said


def test_a_long_one_is_cut():
    assert len(feedback("x", json.dumps({"error": "e" * 9000}))) == LONGEST


def test_what_a_program_raised_is_told_and_the_hidden_test_is_not():
    evidence = json.dumps(
        {"args": "[3]", "got": "name 'f' is not defined", "source": "candidate(3) == [3, 5]", "test": 0}
    )
    said = feedback("in a test: raised NameError", evidence)
    assert said == "This attempt is not correct: in a test: raised NameError.\nname 'f' is not defined"
    assert feedback("a wrong value", evidence) == "This attempt is not correct: a wrong value."
