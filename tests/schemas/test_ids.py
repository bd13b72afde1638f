"""Ids are pure functions of what they name: key order, process and hash seed do not matter; every named part does."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracemill.schemas import ids

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)


def reordered(value):
    if isinstance(value, dict):
        return {key: reordered(value[key]) for key in reversed(list(value))}
    return [reordered(item) for item in value] if isinstance(value, list) else value


@given(JSON)
def test_key_order_does_not_matter(value):
    assert ids.digest("x", value) == ids.digest("x", reordered(value))
    assert json.loads(ids.canonical_json(value)) == value


@given(st.lists(st.text(), max_size=4), st.lists(st.text(), max_size=4))
def test_lists_of_parts_that_differ_have_ids_that_differ(a, b):
    assert (ids.digest("x", *a) == ids.digest("x", *b)) == (a == b)
    assert ids.digest("x", *a) != ids.digest("y", *a)


def test_ids_are_the_same_in_every_process():
    code = (
        "from tracemill.schemas import ids\n"
        "print(ids.problem_id('What  is\\n1+1?', 'answer', {'b': 1, 'a': [2, {'d': 'é', 'c': None}]}),"
        " ids.attempt_id('p', 'm', 'f', 's', {'y': 1, 'x': 2}, 0, '3'), ids.derive_seed(7, '3/0', 1))"
    )
    said = {
        subprocess.run(
            [sys.executable, "-c", code], env={"PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True
        ).stdout.strip()
        for seed in ("0", "12345")
    }
    here = " ".join(
        [
            ids.problem_id("What is 1+1?", "answer", {"a": [2, {"c": None, "d": "é"}], "b": 1}),
            ids.attempt_id("p", "m", "f", "s", {"x": 2, "y": 1}, 0, "3"),
            str(ids.derive_seed(7, "3/0", 1)),
        ]
    )
    assert said == {here}


def test_a_problem_is_its_prompt_and_check_without_the_gold():
    same = ids.problem_id("Add 1 and 1", "answer", {"gold": "2", "unit": "cm"})
    assert same == ids.problem_id("  Add 1\n and\t1 ", "answer", {"unit": "cm", "gold": "3"})
    assert same != ids.problem_id("Add 1 and 1", "puzzle", {"unit": "cm"})
    assert same != ids.problem_id("Add 1 and 1", "answer", {"unit": "m"})


def test_a_longer_limit_is_the_same_sampling_and_the_same_request():
    assert ids.sampling_id({"top_p": 1.0, "max_tokens": 5}) == ids.sampling_id({"top_p": 1.0, "max_tokens": 9})
    keys = [ids.request_key("m", "chat", "hi", {"top_p": 1.0, "max_tokens": n}, 1, 0) for n in (5, 9)]
    assert keys[0] == keys[1]
    assert keys[0] != ids.request_key("m", "chat", "hi", {"top_p": 1.0}, 2, 0)
    assert keys[0] != ids.request_key("m", "chat", "hi", {"top_p": 1.0}, 1, 1)
    assert keys[0] != ids.request_key("m", "completion", "hi", {"top_p": 1.0}, 1, 0)


def test_equal_texts_of_two_attempts_are_two_traces():
    assert ids.trace_id("a_1", "same") != ids.trace_id("a_2", "same")
    assert ids.text_hash("same") == ids.text_hash("same")


@given(st.integers(0, 2**62), st.text(max_size=8), st.integers(0, 1000))
def test_a_seed_fits_every_engine(base, path, draw):
    assert 0 <= ids.derive_seed(base, path, draw) < 2**31


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_json_cannot_hold_has_no_id(value):
    with pytest.raises(ValueError, match="JSON"):
        ids.digest("x", value)
