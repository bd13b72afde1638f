"""Pairs of a run: what may be in one, the caps, the controls, and no dependence on order."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from typing import Any

import pytest

from tracemill.schemas.errors import StoreError
from tracemill.tasks.mining import attempts, build, pairs
from tracemill.tasks.mining.build import PAIRS, mine
from tracemill.tasks.queries import connect
from tracemill.tasks.store import RunStore


def mined(run: RunStore, spec: Any, validation: float) -> list[Any]:
    """Pairs alone."""

    async def nobody(texts: Any) -> list[Any]:
        raise AssertionError("nothing is to be verified")

    return asyncio.run(mine(run, spec.model_copy(update={"make": []}), validation, nobody))


def rows(run: RunStore, query: str = "SELECT * FROM pairs ORDER BY pair_id") -> list[dict[str, Any]]:
    with connect([run]) as connection:
        return list(connection.sql(query).to_arrow_table().to_pylist())


def texts(rng: random.Random, count: int) -> list[str]:
    base = [f"step {n}: {rng.randrange(50)} + {rng.randrange(50)} is {rng.randrange(100)}." for n in range(12)]
    return ["\n\n".join([*rng.sample(base, 10), f"end {n}"]) for n in range(count)]


def filled(maker, problem_of, *, problems: int = 6, each: int = 12, seed: int = 0) -> tuple[RunStore, dict[str, str]]:
    """A run of several problems; and the outcome of every trace."""
    rng, run, outcomes = random.Random(seed), maker.start(), {}
    for number in range(problems):
        attempts_ = [(text, rng.choice(["correct", "incorrect"])) for text in texts(rng, each)]
        found = maker.add(run, problem_of(f"problem {number}"), attempts_)
        outcomes |= {trace: outcome for trace, (_, outcome) in zip(found, attempts_, strict=True)}
    return run, outcomes


def test_ic_joins_incorrect_with_correct_of_one_problem_and_cc_stays(maker, problem_of, spec):
    run, outcomes = filled(maker, problem_of)
    mined(run, spec(), 0.0)
    with connect([run]) as connection:
        problem = dict(connection.execute("SELECT trace_id, problem_id FROM traces").fetchall())
    found = rows(run)
    assert {row["kind"] for row in found} == {"ic", "cc"}
    for row in found:
        assert outcomes[row["right_id"]] == "correct"
        assert problem[row["wrong_id"]] == problem[row["right_id"]]
        assert row["pair_id"] == pairs.pair_id(row["wrong_id"], row["right_id"], row["kind"])
        if row["kind"] == "ic":
            assert outcomes[row["wrong_id"]] == "incorrect"
            assert 0 <= row["similarity"] <= 1
            assert 0 < row["weight"] <= 1
            assert row["feedback"]
        else:
            assert row["wrong_id"] == row["right_id"]
            assert row["similarity"] == 1
            assert row["feedback"] is None
    assert len({row["pair_id"] for row in found}) == len(found)


def test_what_is_not_plainly_right_or_wrong_is_in_no_pair_and_is_counted(maker, problem_of, spec):
    run = maker.start()
    good, bad = ("so it is 7 after all", "correct"), ("so it is 8 after all", "incorrect")
    left = {
        "timeout": {"text": "t", "outcome": "timeout"},
        "unparsed": {"text": "u", "outcome": "unparsed"},
        "error": {"text": "e", "outcome": "error"},
        "unverified": {"text": "n"},
        "truncated": {"text": "so it is 9 after", "outcome": "incorrect", "finish_reason": "length"},
        "superseded": {"text": "so it is 10", "outcome": "incorrect", "drop": ("sample", "superseded")},
        "set_apart": {"text": "so it is 11", "outcome": "incorrect", "drop": ("verify", "needs_execution")},
        "kind_rationalised": {"text": "it is 7, as told", "outcome": "correct", "kind": "rationalised"},
        "kind_rollout": {"text": "is 7", "outcome": "correct", "kind": "rollout"},
        "duplicate_text": {"text": bad[0], "outcome": "incorrect"},
    }
    found = maker.add(run, problem_of(), [good, bad, *left.values()])
    lonely = maker.add(run, problem_of("other"), [("it is 3", "incorrect")])
    mined(run, spec(), 0.0)
    used = {row[side] for row in rows(run) for side in ("wrong_id", "right_id")}
    assert found[0] in used
    assert len(used) == 2
    assert used <= {found[0], found[1], found[-1]}  # of two equal texts the one with the smaller id
    counts = rows(run, f"SELECT * FROM funnel WHERE stage = '{PAIRS}'")
    assert {row["reason"]: row["dropped"] for row in counts} == dict.fromkeys(left, 1) | {"no_partner": 1}
    assert {(row["rows_in"], row["rows_out"]) for row in counts} == {(13, 2)}
    assert lonely[0] not in used


def test_only_one_policy_and_one_round_apart_unless_the_recipe_says_so(maker, problem_of, spec):
    run = maker.start()
    attempts_ = [
        {"text": "we add 3 and 4 to 8", "outcome": "incorrect", "round": 1},
        {"text": "we add 3 and 4 to 7", "outcome": "correct", "round": 2},
        {"text": "we add 3 and 4 to 7, yes", "outcome": "correct", "round": 3},
        {"text": "we add 3 and 4 to 7, no doubt", "outcome": "correct", "policy_id": maker.other.policy_id, "round": 1},
    ]
    wrong, near, far, other = maker.add(run, problem_of(), attempts_)
    mined(run, spec(controls=0), 0.0)
    assert [(row["wrong_id"], row["right_id"], row["on_policy"]) for row in rows(run)] == [(wrong, near, True)]
    mined(run, spec(controls=0, same_policy=False, round_gap=5, uses_per_trace=5), 0.0)
    assert {(row["right_id"], row["on_policy"]) for row in rows(run)} == {(near, True), (far, False), (other, False)}


def test_caps_and_the_share_of_controls_hold_for_every_problem(maker, problem_of, spec):
    run, _ = filled(maker, problem_of, problems=8, each=24)
    mined(run, spec(pairs_per_problem=5, uses_per_trace=1, controls=0.3), 0.0)
    found = rows(run, "SELECT p.*, t.problem_id FROM pairs p JOIN traces t ON t.trace_id = p.right_id")
    by_problem: dict[str, list[dict[str, Any]]] = {}
    for row in found:
        by_problem.setdefault(row["problem_id"], []).append(row)
    for group in by_problem.values():
        changed = [row for row in group if row["kind"] == "ic"]
        assert len(changed) == 5
        assert len(group) - len(changed) >= 0.3 * len(group)
        used = Counter(row[side] for row in changed for side in ("wrong_id", "right_id"))
        assert set(used.values()) == {1}


def test_a_problem_without_enough_right_attempts_gives_fewer_pairs(maker, problem_of, spec):
    run = maker.start()
    rng = random.Random(0)
    maker.add(run, problem_of(), [(text, "incorrect") for text in texts(rng, 9)] + [(texts(rng, 1)[0], "correct")])
    mined(run, spec(uses_per_trace=9, controls=0.2), 0.0)
    assert Counter(row["kind"] for row in rows(run)) == {"ic": 4, "cc": 1}


def test_pairs_of_a_problem_depend_on_its_attempts_alone(maker, problem_of, spec):
    """Not on their order, on the shards that they lie in, or on what other problems there are."""
    rng = random.Random(5)
    mixed = [(text, rng.choice(["correct", "incorrect"])) for text in texts(rng, 20)]
    listed = [{"text": text, "outcome": outcome, "round": n % 2} for n, (text, outcome) in enumerate(mixed)]

    def found(name: str, others: int, order: list[dict[str, Any]]) -> set[str]:
        run = maker.start(name)
        for number in range(others):
            maker.add(run, problem_of(f"other {number}"), [("a b c d", "correct"), ("a b c e", "incorrect")])
        target = maker.add(run, problem_of(), order)
        mined(run, spec(), 0.0)
        return {row["pair_id"] for row in rows(run) if row["wrong_id"] in target}

    first = found("one", 0, listed)
    assert first
    assert found("two", 9, listed) == first


def test_no_trace_is_in_two_splits(maker, problem_of, spec):
    run, _ = filled(maker, problem_of, problems=30, each=6)
    mined(run, spec(), 0.4)
    splits: dict[str, set[str]] = {}
    for row in rows(run):
        for side in ("wrong_id", "right_id"):
            splits.setdefault(row[side], set()).add(row["split"])
    assert all(len(found) == 1 for found in splits.values())
    assert set().union(*splits.values()) == {"train", "validation"}


def test_mining_again_does_nothing_and_new_verdicts_make_a_new_build(maker, problem_of, spec):
    run, _ = filled(maker, problem_of, problems=3)
    first = mined(run, spec(), 0.0)
    before = rows(run)
    assert mined(run, spec(), 0.0) == first
    maker.add(run, problem_of("late"), [("it is 3, so", "incorrect"), ("it is 4, so", "correct")])
    mined(run, spec(), 0.0)
    after = rows(run)
    assert len(after) == len(before) + 2
    assert {row["pair_id"] for row in before} < {row["pair_id"] for row in after}
    mined(run, spec(beta=0.0, pairs_per_problem=1), 0.0)
    assert Counter(row["kind"] for row in rows(run)) == {"ic": 4, "cc": 4}


def test_a_build_that_is_killed_counts_not_and_goes_on(maker, problem_of, spec, monkeypatch):
    whole, _ = filled(maker, problem_of, problems=6)
    mined(whole, spec(), 0.0)
    monkeypatch.setattr(attempts, "BLOCK_ROWS", 20)
    monkeypatch.setattr(attempts, "_PART_BYTES", 2000)
    killed, _ = filled(type(maker)(maker.root / "killed"), problem_of, problems=6)
    real, calls = build.mine_block, []

    def dying(*arguments: Any) -> Any:
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return real(*arguments)

    monkeypatch.setattr(build, "mine_block", dying)
    with pytest.raises(KeyboardInterrupt):
        mined(killed, spec(), 0.0)
    assert rows(killed) == []
    mined(killed, spec(), 0.0)
    assert len(calls) == 3 + len(killed.commits("mine")) - 2 - 2  # the two blocks that were there are not mined again
    assert rows(killed, "SELECT * EXCLUDE (run) FROM pairs ORDER BY pair_id") == rows(
        whole, "SELECT * EXCLUDE (run) FROM pairs ORDER BY pair_id"
    )


def test_blocks_are_whole_problems(maker, problem_of, spec, monkeypatch):
    monkeypatch.setattr(attempts, "BLOCK_ROWS", 10)
    monkeypatch.setattr(attempts, "_PART_BYTES", 20_000)
    run, outcomes = filled(maker, problem_of, problems=7, each=9)
    with connect([run]) as connection, attempts.pooled(run, connection, spec()) as pool:
        blocks = [block["problem_id"].to_pylist() for block in pool.blocks()]
    assert len(blocks) > 2
    assert sum(map(len, blocks)) == pool.attempts == len(outcomes)
    seen = [set(block) for block in blocks]
    assert sum(map(len, seen)) == len(set().union(*seen)) == 7


def test_a_disk_that_is_full_leaves_the_older_build(maker, problem_of, spec, monkeypatch):
    run, _ = filled(maker, problem_of, problems=3)
    mined(run, spec(), 0.0)
    before = rows(run)
    monkeypatch.setattr(RunStore, "commit", lambda *_, **__: (_ for _ in ()).throw(StoreError("no space left")))
    with pytest.raises(StoreError):
        mined(run, spec(seed=1), 0.0)
    assert rows(run) == before


def test_one_problem_with_very_many_attempts_is_looked_at_in_part(maker, problem_of, spec, monkeypatch):
    monkeypatch.setattr(attempts, "PER_PROBLEM", 10)
    run, _ = filled(maker, problem_of, problems=1, each=40)
    with connect([run]) as connection, attempts.pooled(run, connection, spec()) as pool:
        assert pool.left_out == {"over_limit": 30}
        assert pool.attempts == 10


def test_a_pair_knows_the_first_wrong_step_and_who_says_so(maker, problem_of, spec):
    run = maker.start()
    wrong = ["We add.\n\n3 + 4 = 8.\n\nSo 8 it is", "We add 3 and 4.\n\nThat is 9\n\nSo 9 it is", "It is\n\nwrong"]
    right = [f"We add them up {n}.\n\n3 + 4 = 7.\n\nSo 7 it is" for n in range(3)]
    found = maker.add(
        run, problem_of(), [(text, "incorrect") for text in wrong] + [(text, "correct") for text in right]
    )
    mined(run, spec(), 0.0)
    told = {
        row["wrong_id"]: (row["first_error_step"], row["first_error_source"])
        for row in rows(run)
        if row["kind"] == "ic"
    }
    assert told == {found[0]: (1, "consensus"), found[1]: (1, "divergence"), found[2]: (None, None)}
    labels = rows(run, "SELECT trace_id, step, label, source, agreed FROM step_labels ORDER BY ALL")
    assert {row["trace_id"] for row in labels} == {found[0], found[1]}
    assert [(r["step"], r["label"]) for r in labels if r["trace_id"] == found[1]] == [(0, "right"), (1, "wrong")]
    assert {r["source"] for r in labels if r["trace_id"] == found[0]} == {"arithmetic", "divergence", "consensus"}


def test_the_numbers_of_programs_and_proofs_are_no_results(maker, problem_of, spec):
    run = maker.start()
    texts = [("x = 1\n\nreturn x * 90", "incorrect"), *((f"return {n}\n\nreturn {n + 1}", "correct") for n in range(4))]
    maker.add(run, problem_of(), [{"text": t, "outcome": o, "verdict": {"verifier": "code"}} for t, o in texts])
    mined(run, spec(), 0.0)
    assert {row["first_error_step"] for row in rows(run) if row["kind"] == "ic"} == {None}


def test_a_right_answer_by_a_wrong_process_is_found_wherever_it_is(maker, problem_of, spec):
    run = maker.start()
    found = maker.add(
        run, problem_of(), [("First 3 + 4 = 8.\n\nTake one off: 7", "correct"), ("So 3 + 4 = 7.\n\nIt is 7", "correct")]
    )
    mined(run, spec(), 0.0)
    assert rows(run, "SELECT trace_id, process_ok, first_wrong_step FROM process WHERE outcome = 'correct'") == [
        {"trace_id": found[0], "process_ok": False, "first_wrong_step": 0}
    ]
