"""Choosing among N attempts, against exact numbers and simulated ones."""

from __future__ import annotations

import itertools
import math
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracemill.schemas.enums import Level, Outcome
from tracemill.schemas.recipe import Recipe
from tracemill.schemas.records import Problem
from tracemill.tasks.queries import connect
from tracemill.tasks.selection import Attempt, best_of_n, curves, majority_of_n, peak, weighted_of_n
from tracemill.tasks.store import RunStore
from tracemill.verifiers.base import Judgement, Verifier
from tracemill.verifiers.verdicts import verdict_table

SCORED = st.lists(st.tuples(st.booleans(), st.integers(0, 3)), min_size=1, max_size=7)


def attempts_of(pairs: list[tuple[bool, int]]) -> list[Attempt]:
    return [Attempt(n, correct, float(score)) for n, (correct, score) in enumerate(pairs)]


@given(SCORED, st.data())
def test_best_of_n_is_the_mean_over_all_subsets(pairs: list[tuple[bool, int]], data: st.DataObject) -> None:
    """§1.3: the closed form against every subset, ties shared."""
    attempts = attempts_of(pairs)
    n = data.draw(st.integers(1, len(attempts)))
    values = []
    for subset in itertools.combinations(attempts, n):
        best = max(attempt.score for attempt in subset)
        leaders = [attempt.correct for attempt in subset if attempt.score == best]
        values.append(sum(leaders) / len(leaders))
    if len({score for _, score in pairs}) == len(pairs) or n in (1, len(attempts)):
        assert best_of_n(attempts, n) == pytest.approx(sum(values) / len(values))
    else:  # among equals the closed form takes the whole group's share of right ones, as a random order of them does
        orders = [list(order) for order in itertools.permutations(range(len(attempts)))][:720]
        shuffled = [
            best_of_n([Attempt(i, attempts[i].correct, attempts[i].score - 1e-6 * order.index(i)) for i in order], n)
            for order in orders
        ]
        if len(orders) == math.factorial(len(attempts)):
            assert best_of_n(attempts, n) == pytest.approx(sum(shuffled) / len(shuffled), abs=1e-4)


def test_best_of_n_agrees_with_the_mean_of_random_subsets() -> None:
    """§1.3: PRM800K's evaluator averages 400 subsets; the closed form is exact and cheap."""
    rng = random.Random(1)
    attempts = [Attempt(n, rng.random() < 0.3, rng.gauss(0, 1)) for n in range(300)]
    attempts = [Attempt(a.answer, a.correct, a.score + a.correct) for a in attempts]
    for n in (2, 16, 64):
        draws = [max(rng.sample(attempts, n), key=lambda a: a.score).correct for _ in range(4000)]
        assert best_of_n(attempts, n) == pytest.approx(sum(draws) / len(draws), abs=0.03)


@pytest.mark.parametrize(
    ("distribution", "expected"),
    [
        ([0.4, 0.3, 0.2, 0.1], {1: 0.40, 4: 0.47, 16: 0.64, 64: 0.82, 256: 0.97}),
        ([0.3, 0.4, 0.2, 0.1], {1: 0.30, 4: 0.30, 16: 0.28, 64: 0.17, 256: 0.03}),
    ],
)
def test_majority_rises_to_the_mode_and_no_further(distribution: list[float], expected: dict[int, float]) -> None:
    """The golden table of §2.2: the correct answer is the first."""
    attempts = [Attempt(n, n == 0) for n, share in enumerate(distribution) for _ in range(int(share * 20_000))]
    for k, share in expected.items():
        assert majority_of_n(attempts, k, draws=2000 if k <= 16 else 800) == pytest.approx(share, abs=0.04)


def simulated(count: int, seed: int) -> list[Attempt]:
    """§2.5: correct ~ N(1.5, 1); wrong ~ N(0, 1), but 2 % of them "crazy" ~ N(0, 4); p = 0.2."""
    rng = random.Random(seed)
    attempts = []
    for _ in range(count):
        if rng.random() < 0.2:
            attempts.append(Attempt("right", True, rng.gauss(1.5, 1)))
        else:
            crazy = rng.random() < 0.02
            attempts.append(Attempt(f"wrong {rng.randrange(50)}", False, rng.gauss(0, 4 if crazy else 1)))
    return attempts


def test_best_of_n_rises_and_falls_where_the_score_is_not_the_truth() -> None:
    """The golden curve of §2.5, and its guards: stop at the peak; voting among the top flattens the fall."""
    pools = [simulated(40_000, seed) for seed in (1, 2, 3)]
    curve = {n: sum(best_of_n(pool, n) for pool in pools) / 3 for n in (1, 8, 32, 128, 512, 1024)}
    assert curve == pytest.approx({1: 0.20, 8: 0.58, 32: 0.74, 128: 0.64, 512: 0.28, 1024: 0.09}, abs=0.035)
    attempts = pools[0]
    assert peak(curve) == 32
    voted = {n: weighted_of_n(attempts, n, draws=150, top=n // 8) for n in (32, 128, 512, 1024)}
    assert voted[1024] > 0.95
    assert all(voted[n] > curve[n] for n in (128, 512, 1024))
    probabilities = [Attempt(a.answer, a.correct, 1 / (1 + math.exp(-a.score))) for a in attempts]
    assert weighted_of_n(probabilities, 512, draws=100) > 0.95


def test_votes_need_an_answer_and_share_ties() -> None:
    attempts = [Attempt(None, False), Attempt("a", True), Attempt("b", False)]
    assert majority_of_n(attempts, 3) == 0.5
    assert majority_of_n([Attempt(None, False)] * 3, 3) == 0.0


def test_a_weighted_vote_of_equal_weights_is_a_majority() -> None:
    attempts = [Attempt(n % 3, n % 3 == 0, 1.0) for n in range(30)]
    assert weighted_of_n(attempts, 7, seed=4) == majority_of_n(attempts, 7, seed=4)


@pytest.mark.parametrize(
    "call", [lambda a: best_of_n(a, 3), lambda a: majority_of_n(a, 0), lambda a: weighted_of_n(a, 1)]
)
def test_what_cannot_be_chosen_from_is_refused(call: Any) -> None:
    with pytest.raises(ValueError, match=r"attempts|weight"):
        call([Attempt("a", True, -1.0), Attempt("b", False, 0.5)])


def test_the_curves_of_a_run_hold_a_score_against_the_rules(bench: Any, said: Any, by_rule: Any) -> None:
    problem = Problem("1 + 1?", "answer", "hand", gold="2")
    said_so = [("2", 0.9), ("2.0", 0.8), ("3", 0.7), ("3", 0.6)]
    attempts = [said(a, [by_rule("correct" if a[0] == "2" else "incorrect")]) for a, _ in said_so]
    path = bench.run([(problem, attempts)]).path
    verifier = Verifier("reward", "1", lambda candidate, config: True, level=Level.LEARNED)
    verdicts = [
        verifier.verdict(bench.traces[problem.prompt, place], "i", Judgement(Outcome.CORRECT, "scored", score))
        for place, (_, score) in enumerate(said_so)
    ]
    recipe = Recipe.model_validate({"name": "hand", "problems": [{"kind": "file", "path": "p.jsonl"}]})
    with RunStore.start(path, recipe) as run:
        run.commit("reward", "one", {"verdicts": verdict_table(verdicts)})
        with connect([run]) as connection:
            assert curves(connection, "judge") == {}
            found = curves(connection, "reward")
    assert found["best_of_n"] == pytest.approx({1: 0.5, 2: 5 / 6, 4: 1.0})
    assert found["majority"][4] == 0.5  # two against two
    assert found["weighted"][4] == 1.0
