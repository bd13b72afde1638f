"""Preferences, repair turns, selections and critiques: what may be in one."""

from __future__ import annotations

import itertools
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracemill.tasks.mining.critiques import CORRECT, INCORRECT, copies, critique, critiques, kept
from tracemill.tasks.mining.drawn import Attempt, Drawn, Pair
from tracemill.tasks.mining.preferences import OUTCOME, STEP, preferences, siblings, step_prefix
from tracemill.tasks.mining.selections import selections
from tracemill.tasks.mining.turns import AGAIN, CHAIN, Turn, chain, conversations, repairs, weight
from tracemill.tasks.segment import segment
from tracemill.tasks.steps.base import FirstError, Source, Steps

HEAD = "We add 3 and 4.\n\n"


def attempt(name: str, text: str, *, policy: str = "m_1", round_: int = 0) -> Attempt:
    spans, segmenter = segment(text)
    return Attempt(Steps(f"t_{name}", text, tuple(spans), segmenter), policy, round_, None)


def pair(n: int, *, step: int = 1, source: Source = Source.ARITHMETIC, policy: str = "m_1", head: str = HEAD) -> Pair:
    wrong = attempt(f"wrong{n}", f"{head}3 + 4 = {8 + n}.\n\nSo {8 + n}.", policy=policy)
    right = attempt(f"right{n}", f"{HEAD}3 + 4 = 7.\n\nSo 7 it is, {n}.")
    return Pair(wrong, right, 0.5, f"The answer {8 + n} is not correct.", FirstError(step, source), 1)


def drawn(*pairs: Pair) -> Drawn:
    return Drawn("p_1", "What is 3 + 4?", "7", "train", pairs, [p.right for p in pairs])


def test_an_outcome_preference_has_a_right_and_a_wrong_trace_of_one_problem():
    rows = preferences(drawn(pair(0), pair(1, policy="m_2")))
    outcome = [row for row in rows if row["kind"] == OUTCOME]
    assert [(row["chosen_id"], row["rejected_id"], row["on_policy"]) for row in outcome] == [
        ("t_right0", "t_wrong0", True),
        ("t_right1", "t_wrong1", False),
    ]
    assert {row["problem_id"] for row in rows} == {"p_1"}
    assert len({row["preference_id"] for row in rows}) == len(rows)


def test_a_step_preference_has_one_prefix_up_to_the_first_error():
    (row,) = [row for row in preferences(drawn(pair(0))) if row["kind"] == STEP]
    assert row["prefix"] == HEAD
    for other in (pair(0, step=2), pair(0, step=0), pair(0, source=Source.JUDGE), pair(0, head="We sum 3 and 4.\n\n")):
        assert step_prefix(other) is None


CHILD = st.fixed_dictionaries({"q": st.floats(-1, 1), "right": st.booleans(), "wrong": st.booleans()})


@given(st.lists(CHILD, max_size=8))
def test_siblings_share_a_prefix_and_q_decides(children):
    """§2.14: two best against two worst; the best reached a right end, the worst a wrong one; q_pos > q_neg."""
    named = {f"n_{i}": child | {"node_id": f"n_{i}"} for i, child in enumerate(children)}
    rows = siblings("p_1", "train", "so far", list(named.values()))
    assert len(rows) <= 4
    for row in rows:
        one, other = named[row["chosen_id"]], named[row["rejected_id"]]
        assert one["q"] > other["q"]
        assert row["weight"] == one["q"] - other["q"]
        assert one["right"]
        assert other["wrong"]
        assert not other["right"]
        assert row["prefix"] == "so far"


def test_a_repair_is_the_attempt_the_finding_and_the_right_one():
    asked = [{"role": "user", "content": "What is 3 + 4?"}]
    (row,) = repairs(drawn(pair(0), pair(1)), asked, most=1)
    assert row["subject_ids"] == ["t_wrong0", "t_right0"]
    assert [message["role"] for message in row["messages"]] == ["user", "assistant", "user", "assistant"]
    assert row["messages"][2]["content"] == f"The answer 8 is not correct.\n\n{AGAIN}"
    assert "7" not in row["messages"][2]["content"]
    assert row["weight"] == 1.0
    assert asked == [{"role": "user", "content": "What is 3 + 4?"}]


def test_a_chain_goes_through_the_wrong_attempts_to_the_correction_of_the_nearest():
    """§2.25: a row for every turn after the first, each with its weight; exp((0 - 1) / 0.5) of one that is wrong again."""
    asked = [{"role": "user", "content": "What is 3 + 4?"}]
    rows = chain(drawn(pair(0), pair(1), pair(1), pair(2)), asked, most=3)
    assert [row["subject_ids"] for row in rows] == [["t_wrong1", "t_wrong0"], ["t_wrong1", "t_wrong0", "t_right0"]]
    assert [row["weight"] for row in rows] == [pytest.approx(0.1353, abs=1e-4), 1.0]
    assert {row["kind"] for row in rows} == {CHAIN}
    assert [m["role"] for m in rows[-1]["messages"]] == ["user", *["assistant", "user"] * 2, "assistant"]
    assert not any("7" in m["content"].partition(AGAIN)[0] for m in rows[-1]["messages"][2:5:2])
    assert not {row["turn_id"] for row in rows} & {r["turn_id"] for r in repairs(drawn(pair(0)), asked, 1)}
    assert len(chain(drawn(*(pair(n) for n in range(9))), asked, most=5)) == 4
    assert chain(drawn(pair(0), pair(0)), asked, most=5) == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=6))
def test_turns_stop_after_a_success_and_weights_lie_in_0_to_1(values):
    """§2.25."""
    turns = [Turn(f"t_{n}", f"text {n}", value, "wrong") for n, value in enumerate(values)]
    rows = conversations(drawn(pair(0)), [{"role": "user", "content": "?"}], turns, True)
    first = next((n for n, value in enumerate(values) if value >= 1), len(values) - 1)
    assert len(rows) == first
    for place, row in enumerate(rows, 1):
        assert 0 < row["weight"] <= 1
        assert row["weight"] == pytest.approx(weight(values[place]))
        assert row["subject_ids"] == [f"t_{n}" for n in range(place + 1)]
        assert row["messages"][-1] == {"role": "assistant", "content": f"text {place}"}


def test_a_group_has_both_classes_and_its_pick_is_right():
    """§2.31."""
    held = drawn(*(pair(n) for n in range(6)))
    places: Counter[float] = Counter()
    for seed in range(400):
        for row in selections(held, seed, 3):
            traces = row["subject_ids"]
            assert 2 <= len(traces) <= 16
            assert len(set(traces)) == len(traces)
            assert {trace.startswith("t_right") for trace in traces} == {True, False}
            picked = int(row["messages"][1]["content"].removeprefix("Right: solution "))
            assert traces[picked - 1].startswith("t_right")
            shown = row["messages"][0]["content"]
            for number, trace in enumerate(traces, 1):
                found = next(a for p in held.pairs for a in (p.wrong, p.right) if a.trace_id == trace)
                assert f"## Solution {number}\n\n{found.text}" in shown
            places[(picked - 1) / (len(traces) - 1)] += 1
    total = sum(places.values())
    assert sum(place * n for place, n in places.items()) / total == pytest.approx(
        0.5, abs=0.04
    )  # no position is favoured


def test_a_problem_of_one_class_gives_no_group_and_no_preference():
    empty = Drawn("p_1", "?", "7", "train", [], [pair(0).right])
    assert selections(empty, 0, 3) == []
    assert preferences(empty) == []


def test_critiques_of_arithmetic_agree_with_their_labels():
    rows = critiques(drawn(pair(0), pair(1), pair(2, source=Source.DIVERGENCE)))
    assert Counter(row["label"] for row in rows) == {INCORRECT: 2, CORRECT: 2}
    assert all(row["agrees"] and row["verdict"] == row["label"] for row in rows)
    assert "3 + 4 = 8" in rows[0]["text"]


LABELS = st.sampled_from([CORRECT, INCORRECT])


@given(st.lists(st.tuples(LABELS, LABELS), max_size=30))
def test_kept_critiques_agree_and_are_balanced(said):
    """§2.7: agree with the label; yes and no at most 60 to 40."""
    rows = [critique(f"t_{n}", "words", verdict, label) for n, (verdict, label) in enumerate(said)]
    found = kept(rows)
    counts = Counter(row["label"] for row in found)
    assert all(row["agrees"] for row in found)
    if found:
        assert max(counts.values()) <= 0.6 * len(found)


def test_a_critique_that_copies_the_reference_is_not_kept():
    reference = "First we add three and four to get seven and then we double it to fourteen."
    copied = critique("t_1", f"Note: {reference}", CORRECT, CORRECT)
    own = critique("t_2", "It adds three and four.", CORRECT, CORRECT)
    bad = critique("t_3", "No.", INCORRECT, INCORRECT)
    assert [row["subject_id"] for row in kept([copied, own, bad], reference)] == ["t_2", "t_3"]
    assert not copies("three and four", reference)


def test_ids_tell_kinds_apart():
    held = drawn(pair(0))
    ids = [row["turn_id"] for row in itertools.chain(repairs(held, [], 1), selections(held, 0, 1))]
    assert len(set(ids)) == 2
