"""Monte-Carlo labels and the binary search against their closed forms (algorithms §2.9, §2.10)."""

from __future__ import annotations

import itertools
import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracemill.tasks.steps.base import FirstError, Source, Steps
from tracemill.tasks.steps.labels import first_wrong, located, process_ok, rolled, solvable
from tracemill.tasks.steps.monte_carlo import ALWAYS, NEVER, Count, agree, first_wrong_step, values


def exact(error: int):
    async def estimate(done: int) -> Count:
        return Count(int(done <= error), 1)

    return estimate


@given(st.integers(1, 200), st.data())
async def test_the_search_finds_the_error_within_its_bound(steps, data):
    error = data.draw(st.integers(0, steps - 1))
    said = await first_wrong_step(exact(error), steps)
    assert said.error == FirstError(error, Source.MC_SEARCH)
    assert len(said.counts) <= math.floor(math.log2(steps)) + 1
    assert said.violations == 0


@pytest.mark.parametrize(("steps", "mean"), [(8, 3.1), (16, 4.1), (32, 5.0), (64, 6.0)])
async def test_mean_cost_over_all_places(steps, mean):
    """§2.10, cost oracle."""
    costs = [len((await first_wrong_step(exact(error), steps)).counts) for error in range(steps)]
    assert sum(costs) / steps == pytest.approx(mean, abs=0.07)
    assert max(costs) == math.floor(math.log2(steps)) + 1


@pytest.mark.parametrize(
    ("p", "k", "share"),
    [
        (0.1, 4, 0.20),
        (0.1, 8, 0.38),
        (0.1, 16, 0.68),
        (0.1, 32, 0.93),
        (0.3, 4, 0.60),
        (0.3, 8, 0.89),
        (0.3, 16, 0.99),
        (0.6, 4, 0.95),
    ],
)
async def test_accuracy_of_the_search(p, k, share):
    """§2.10, accuracy oracle: T = 16, a uniform error, p the chance of a right continuation before it."""
    rng, hits, count = random.Random(0), 0, 8000
    for n in range(count):
        error = n % 16

        async def estimate(done: int, error: int = error) -> Count:
            return Count(sum(rng.random() < p for _ in range(k)) if done <= error else 0, k)

        said = await first_wrong_step(estimate, 16)
        hits += said.error is not None and said.error.step == error
    assert hits / count == pytest.approx(share, abs=0.02)


async def test_no_dead_prefix_means_no_find_and_contradictions_are_counted():
    async def alive(done: int) -> Count:
        return Count(1, 4)

    assert (await first_wrong_step(alive, 8)).error is None

    async def odd(done: int) -> Count:
        return Count(0 if done == 4 else 1, 1)

    assert (await first_wrong_step(odd, 8)).violations == 0
    found = await first_wrong_step(odd, 8)
    counts = {**found.counts, 6: Count(1, 1)}
    assert type(found)(found.error, counts).violations == 1


async def test_hard_labels_saturate_as_k_grows():
    """§2.9: P(hard = 1) = 1 - (1 - p)^N; p = .1: .34 (4), .57 (8), .82 (16), .97 (32)."""
    rng = random.Random(1)
    for k, share in ((4, 0.34), (8, 0.57), (16, 0.82), (32, 0.97)):

        async def estimate(done: int, k: int = k) -> Count:
            return Count(sum(rng.random() < 0.1 for _ in range(k)), k)

        hard = []
        for _ in range(4000):
            counts, why = await values(estimate, 2, False, k)
            if why is None:
                hard.append(counts[0].hard)
        assert sum(hard) / len(hard) == pytest.approx(share, abs=0.03)


@given(st.integers(1, 8), st.booleans(), st.integers(2, 8), st.data())
async def test_labels_of_rollouts(steps, right, k, data):
    """§2.9: soft in {0, 1/k .. 1}; hard = soft > 0; the last step has the outcome exactly; nothing where MC(problem) is 0 or 1."""
    counts = {done: data.draw(st.integers(0, k)) for done in range(steps)}

    async def estimate(done: int) -> Count:
        return Count(counts[done], k)

    found, why = await values(estimate, steps, right, k)
    if counts[0] in (0, k):
        assert (found, why) == ([], ALWAYS if counts[0] else NEVER)
        return
    assert [count.correct for count in found] == [*(counts[done] for done in range(1, steps)), k if right else 0]
    spans = tuple((i, i + 1) for i in range(steps))
    rows = rolled(Steps("t", "x" * steps, spans, "given"), found)
    for row in rows:
        assert row["soft"] in [n / k for n in range(k + 1)]
        assert (row["label"] == "right") == (row["soft"] > 0)
    assert rows[-1]["soft"] == float(right)


def test_only_labels_that_agree_with_a_judge_are_kept():
    counts = [Count(2, 4), Count(0, 4), Count(0, 4)]
    assert agree(counts, FirstError(1, Source.JUDGE))
    assert not agree(counts, FirstError(0, Source.JUDGE))
    assert not agree(counts, None)
    assert agree([Count(1, 4)], None)


STEPS = Steps("t_1", "abcd", ((0, 1), (1, 2), (2, 3), (3, 4)), "line")


def test_a_first_error_labels_nothing_after_it():
    rows = located(STEPS, FirstError(2, Source.ARITHMETIC))
    assert [(row["step"], row["label"]) for row in rows] == [(0, "right"), (1, "right"), (2, "wrong")]
    assert {(row["trace_id"], row["segmenter"], row["source"]) for row in rows} == {("t_1", "line", "arithmetic")}
    assert first_wrong(rows) == 2


def test_a_right_answer_by_a_wrong_process_is_told():
    bad = located(STEPS, FirstError(1, Source.ARITHMETIC))
    doubtful = located(STEPS, FirstError(1, Source.JUDGE))
    assert process_ok("correct", bad) is False
    assert process_ok("correct", doubtful) is None
    assert process_ok("correct", [row | {"agreed": True} for row in doubtful]) is False
    assert process_ok("correct", solvable(STEPS, [True] * 4)) is True
    assert process_ok("incorrect", solvable(STEPS, [True] * 4)) is False


def test_every_row_has_a_key_of_its_own():
    rows = itertools.chain(
        located(STEPS, FirstError(2, Source.ARITHMETIC)),
        located(STEPS, FirstError(2, Source.DIVERGENCE)),
        rolled(STEPS, [Count(1, 2)] * 4),
        solvable(STEPS, [True] * 4),
    )
    keys = [(row["trace_id"], row["segmenter"], row["step"], row["source"]) for row in rows]
    assert len(set(keys)) == len(keys)
