"""The simulated policy behaves as its closed forms say. Sources: algorithms.md §B3, §E."""

from __future__ import annotations

import asyncio
import json
import math
import re
import time
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tracemill.schemas.errors import UsageError
from tracemill.schemas.recipe import EngineSpec
from tracemill.schemas.records import Problem
from tracemill.tasks.engines.base import Request, Sampling
from tracemill.tasks.engines.simulated import DEFAULTS, NEW, SEEN, SimulatedEngine
from tracemill.tasks.engines.simulated_text import is_sound, steps_right, wrong_answers

SAMPLING = Sampling(max_tokens=100_000)
BOX = re.compile(r"\\boxed\{(.*)\}\.$")


def engine(**simulation: float) -> SimulatedEngine:
    return SimulatedEngine(EngineSpec(kind="simulated", simulation=simulation))


def problem(number: int, gold: str | None = None) -> Problem:
    return Problem(prompt=f"Problem {number}", verifier="answer", source="t", gold=gold or str(number))


def ask(p: Problem, seed: int, **more: Any) -> Request:
    return Request("a", "chat", SAMPLING, seed, messages=({"role": "user", "content": p.prompt},), problem=p, **more)


def text(made: SimulatedEngine, request: Request) -> str:
    return asyncio.run(made.complete(request)).text


def answers(made: SimulatedEngine, requests: list[Request]) -> list[str]:
    async def run() -> list[str]:
        return [BOX.search((await made.complete(request)).text)[1] for request in requests]  # type: ignore[index]

    return asyncio.run(run())


def test_a_text_is_a_function_of_seed_and_prompt_alone() -> None:
    one, other = engine(text_bytes=900), engine(text_bytes=900)
    first = text(one, ask(problem(1), 5))
    text(other, ask(problem(2), 6))
    assert text(other, replace(ask(problem(1), 5), attempt_id="b", draw=3)) == first
    assert text(one, ask(problem(1), 6)) != first
    assert text(one, ask(problem(3), 5)) != first


@pytest.mark.parametrize("p", [0.0, 0.2, 0.7, 1.0])
def test_pass_at_k_follows_the_closed_form_of_a_known_success(p: float) -> None:
    made, problems, k = engine(success=p, text_bytes=0), 1500, 4
    said = answers(made, [ask(problem(i), seed) for i in range(problems) for seed in range(k)])
    right = [said[j] == str(j // k) for j in range(len(said))]
    for at in (1, k):
        solved = sum(any(right[k * i : k * i + at]) for i in range(problems)) / problems
        expected = 1 - (1 - p) ** at
        assert abs(solved - expected) <= 4 * math.sqrt(expected * (1 - expected) / problems) + 1e-12


def test_coverage_under_beta_difficulty_is_that_of_the_closed_form() -> None:
    made, problems = engine(text_bytes=0, steps=1), 4000  # Beta(.3, 1.2) is the default
    said = answers(made, [ask(problem(i), seed) for i in range(problems) for seed in range(16)])
    right = [said[j] == str(j // 16) for j in range(len(said))]
    for k, golden in ((1, 0.200), (4, 0.399), (16, 0.586)):  # algorithms.md §B3
        closed = 1 - math.exp(
            math.lgamma(1.2 + k) - math.lgamma(1.5 + k) - math.lgamma(1.2) + math.lgamma(1.5)
        )  # 1 - B(a, b + k) / B(a, b)
        assert closed == pytest.approx(golden, abs=5e-4)
        covered = sum(any(right[16 * i : 16 * i + k]) for i in range(problems)) / problems
        assert abs(covered - golden) < 4 * math.sqrt(0.25 / problems)


def test_the_settings_of_steps_leave_the_success_as_it_is() -> None:
    made = engine(success=0.5, step_error=0.6, self_correction=0.1, text_bytes=0)
    said = answers(made, [ask(problem(i), 0) for i in range(4000)])
    rate = sum(answer == str(i) for i, answer in enumerate(said)) / 4000
    assert abs(rate - 0.5) < 4 * math.sqrt(0.25 / 4000)


def test_a_right_text_is_sound_at_its_end_and_a_wrong_one_is_not() -> None:
    made = engine(success=0.5, step_error=0.3, self_correction=0.5)
    for i in range(300):
        whole = text(made, ask(problem(i), 1))
        steps, sound = is_sound(whole)
        assert steps == 8
        assert sound == (BOX.search(whole)[1] == str(i))  # type: ignore[index]
        assert "Wait" in whole or sound == all(steps_right(whole))


def test_step_errors_come_at_their_rate_over_the_mixture_of_outcomes() -> None:
    error, mend, n = 0.2, 0.3, 6
    stationary, rate = mend / (error + mend), 1 - error - mend
    natural = stationary + (1 - stationary) * rate**n  # with this success the conditioned walk is the plain one
    made = engine(success=natural, step_error=error, self_correction=mend, steps=n, text_bytes=0)
    first = [steps_right(text(made, ask(problem(i), 2)))[0] for i in range(4000)]
    assert abs(1 - sum(first) / 4000 - error) < 4 * math.sqrt(error * (1 - error) / 4000)


@pytest.mark.parametrize("step", [1, 4, 7])
def test_the_value_of_a_prefix_is_the_rate_of_its_rollouts(step: int) -> None:
    made, p = engine(success=0.4, step_error=0.2, self_correction=0.2, text_bytes=0), problem(7)
    seen = set()
    for seed in range(60):
        prefix = "\n\n".join(text(made, ask(p, seed)).split("\n\n")[:step]) + "\n\n"
        sound = is_sound(prefix)[1]
        if sound in seen:
            continue
        seen.add(sound)
        value = made.value(p, prefix)
        rolled = answers(made, [ask(p, 1000 + roll, prefix=prefix) for roll in range(2500)])
        rate = sum(answer == "7" for answer in rolled) / 2500
        assert abs(rate - value) <= 4 * math.sqrt(max(value * (1 - value), 1e-4) / 2500)
    assert seen == {True, False}


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 2**31 - 1), limit=st.integers(1, 200), nbytes=st.integers(0, 3000))
def test_a_text_cut_at_any_limit_is_continued_to_the_same_whole(seed: int, limit: int, nbytes: int) -> None:
    made, request = engine(text_bytes=nbytes), ask(problem(1), seed)
    whole = asyncio.run(made.complete(request))
    cut = asyncio.run(made.complete(replace(request, sampling=replace(SAMPLING, max_tokens=limit))))
    assert whole.completion_tokens is not None
    if whole.completion_tokens <= limit:
        assert cut == whole
        return
    assert (cut.finish_reason, cut.completion_tokens, len(cut.text)) == ("length", limit, 4 * limit)
    left = replace(SAMPLING, max_tokens=whole.completion_tokens - limit)
    rest = asyncio.run(made.complete(replace(request, prefix=cut.text, sampling=left)))
    assert cut.text + rest.text == whole.text
    assert rest.finish_reason == "stop"


def test_wrong_answers_are_as_many_and_as_spread_as_asked() -> None:
    made = engine(success=0.0, wrong_answers=3, wrong_spread=0.5, text_bytes=0)
    counts = Counter(answers(made, [ask(problem(50), seed) for seed in range(4000)]))
    assert "50" not in counts
    assert [answer for answer, _ in counts.most_common()] == ["51", "49", "52"]
    for (_, count), share in zip(counts.most_common(), (4 / 7, 2 / 7, 1 / 7), strict=True):
        assert abs(count / 4000 - share) < 4 * math.sqrt(share * (1 - share) / 4000)


@given(st.integers(-(10**12), 10**12), st.integers(0, 50))
def test_a_wrong_integer_is_never_the_right_one(gold: int, which: int) -> None:
    assert int(wrong_answers(str(gold), which)) != gold


@given(st.sampled_from("ABCDE"), st.integers(0, 50))
def test_a_wrong_choice_is_another_choice(gold: str, which: int) -> None:
    assert wrong_answers(gold, which, 5) in set("ABCDE") - {gold}


def test_stop_strings_and_the_length_asked_for_are_kept() -> None:
    made = engine(text_bytes=4000)
    whole = text(made, ask(problem(1), 1))
    assert 3400 < len(whole) < 4600
    stopped = asyncio.run(made.complete(replace(ask(problem(1), 1), sampling=replace(SAMPLING, stop=("\n\nStep 2",)))))
    assert stopped.finish_reason == "stop"
    assert whole.startswith(stopped.text)
    assert "Step 2" not in stopped.text


def test_latency_is_kept_and_bounded_by_the_concurrency() -> None:
    spec = EngineSpec(kind="simulated", concurrency=2, simulation={"latency": 0.02})

    async def run() -> float:
        made, start = SimulatedEngine(spec), time.monotonic()
        await asyncio.gather(*(made.complete(ask(problem(i), 0)) for i in range(6)))
        return time.monotonic() - start

    assert asyncio.run(run()) >= 0.06 - 0.005


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"sucess": 0.5}, "did you mean 'success'"),
        ({"success": 1.5}, "from 0 to 1"),
        ({"steps": 2.5}, "whole number"),
        ({"latency": float("nan")}, "out of bounds"),
    ],
)
def test_a_setting_that_is_unknown_or_impossible_is_refused(given: dict[str, float], says: str) -> None:
    with pytest.raises(UsageError, match=r"engine\.simulation") as caught:
        engine(**given)
    assert says in str(caught.value)


def test_other_settings_are_another_policy() -> None:
    assert engine(success=0.5).policy.policy_id != engine(success=0.6).policy.policy_id
    assert engine().policy.policy_id == engine(alpha=DEFAULTS["alpha"]).policy.policy_id


@pytest.mark.parametrize("nbytes", [2048, 32768])
def test_a_completion_costs_little(nbytes: int) -> None:
    made = engine(text_bytes=nbytes)
    requests = [ask(problem(i % 50), i) for i in range(1500)]

    async def run() -> float:
        start = time.process_time()
        for request in requests:
            await made.complete(request)
        return (time.process_time() - start) / len(requests)

    assert min(asyncio.run(run()) for _ in range(3)) < 200e-6  # measured: about 35 us; room for a busy machine


@given(st.lists(st.integers(0, 5), min_size=1, max_size=30))
async def test_it_expects_the_tokens_that_it_has_seen(tokens: list[int]) -> None:
    engine = SimulatedEngine(EngineSpec(kind="simulated"))
    request = Request("a", "scoring", Sampling(max_tokens=1), seed=0, tokens=tuple(tokens))
    values = json.loads((await engine.complete(request)).text)
    new = len(set(tokens)) - 1
    assert sum(values) == pytest.approx(new * NEW + (len(tokens) - 1 - new) * SEEN)
