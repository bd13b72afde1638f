"""The contract that every engine keeps. One clause is one coroutine over a ``Subject``.

A test file in this folder takes the fixture ``clause``, which runs over all of them:

    async def test_keeps_the_contract(clause, subject): await clause(subject)

Clauses ask only for ``REQUESTS``, their continuations and the subject's own ``bad``, so that a recording can be made.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

import pytest

from tracemill.schemas.errors import UsageError
from tracemill.schemas.records import Problem
from tracemill.tasks.engines.base import Engine, Request, Sampling

SAMPLING = Sampling(temperature=0.8, max_tokens=24)


def ask(number: int, *, route: str = "chat", sampling: Sampling = SAMPLING) -> Request:
    problem = Problem(prompt=f"What is {number} + 1?", verifier="answer", source="contract", gold=str(number + 1))
    if route == "chat":
        messages = ({"role": "user", "content": problem.prompt},)
        return Request(f"a_{number}", "chat", sampling, seed=number, messages=messages, problem=problem)
    return Request(f"a_{number}", "completion", sampling, seed=number, prompt=problem.prompt, problem=problem)


ONE = ask(1)
PLAIN = ask(2, route="completion")
SHORT = ask(3, sampling=replace(SAMPLING, max_tokens=3))
MANY = tuple(ask(10 + n) for n in range(16))
SCORED = ask(4, sampling=replace(SAMPLING, logprobs=True))
SURE = ask(4, sampling=replace(SAMPLING, confidence=5))
GIVEN = Request(
    "a_given", "scoring", replace(SAMPLING, max_tokens=1), seed=0, tokens=(504, 3575, 282, 4649, 314, 7042, 30)
)
REQUESTS = (ONE, PLAIN, SHORT, *MANY, SCORED, SURE)


@dataclass(frozen=True, slots=True)
class Subject:
    """A started engine, and what is special about it. ``bad`` is a request that it cannot answer; ``exact``: prefix plus
    rest is the whole text, character by character.
    """

    engine: Engine
    bad: Request | None = None
    exact: bool = False
    logprobs: bool = True


async def gives_text_and_counts(subject: Subject) -> None:
    for request in (ONE, PLAIN):
        completion = await subject.engine.complete(request)
        assert completion.error is None
        assert completion.text
        assert completion.finish_reason in ("stop", "length")
        assert completion.completion_tokens is None or 0 < completion.completion_tokens <= 24
        assert completion.latency_ms is None or completion.latency_ms >= 0


async def keeps_the_token_limit(subject: Subject) -> None:
    completion = await subject.engine.complete(SHORT)
    assert completion.error is None
    assert completion.finish_reason == "length"
    assert completion.completion_tokens in (None, 3)


async def repeats_a_seed_alone_or_among_others(subject: Subject) -> None:
    if not subject.engine.capabilities.batch_invariant_seed:
        pytest.skip("the engine does not promise it")
    alone = await subject.engine.complete(MANY[0])
    among = await asyncio.gather(*map(subject.engine.complete, MANY))
    assert among[0].text == alone.text
    assert len({completion.text for completion in among}) > 1


async def answers_all_that_is_asked_at_once(subject: Subject) -> None:
    before = subject.engine.stats.requests
    completions = await asyncio.gather(*map(subject.engine.complete, MANY))
    assert [completion.error for completion in completions] == [None] * len(MANY)
    assert subject.engine.stats.requests == before + len(MANY)
    assert subject.engine.stats.in_flight == 0


async def fails_a_bad_prompt_alone(subject: Subject) -> None:
    if subject.bad is None:
        pytest.skip("nothing is bad for this engine")
    first, bad, last = await asyncio.gather(*map(subject.engine.complete, (MANY[1], subject.bad, MANY[2])))
    assert bad.error
    assert "\n" not in bad.error
    assert len(bad.error) <= 500
    assert bad.finish_reason == "error"
    assert first.error is None
    assert last.error is None
    assert (await subject.engine.complete(ONE)).error is None


async def stays_usable_after_a_cancelled_request(subject: Subject) -> None:
    asked = [asyncio.create_task(subject.engine.complete(request)) for request in MANY]
    await asyncio.sleep(0.005)
    for task in asked[::2]:
        task.cancel()
    results = await asyncio.gather(*asked, return_exceptions=True)
    for result in results:
        assert isinstance(result, asyncio.CancelledError) or (
            not isinstance(result, BaseException) and result.error is None
        )
    assert subject.engine.stats.in_flight == 0
    assert (await subject.engine.complete(ONE)).error is None


async def continues_a_prefix(subject: Subject) -> None:
    if not subject.engine.capabilities.continue_prefix:
        pytest.skip("the engine cannot")
    whole = await subject.engine.complete(ONE)
    begun = whole.text[: len(whole.text) // 2]
    rest = await subject.engine.complete(replace(ONE, prefix=begun))
    assert rest.error is None
    assert rest.text
    if subject.exact:
        assert (begun + rest.text).startswith(whole.text)


async def scores_tokens_where_asked(subject: Subject) -> None:
    if not subject.logprobs:
        pytest.skip("the engine does not keep log-probabilities")
    scored, plain = await subject.engine.complete(SCORED), await subject.engine.complete(ONE)
    assert plain.logprob_sum is None
    assert scored.logprob_sum is not None
    assert scored.logprob_min is not None
    assert scored.logprob_sum <= scored.logprob_min <= 0


async def gives_each_token_a_confidence_where_asked(subject: Subject) -> None:
    if not subject.logprobs:
        pytest.skip("the engine does not keep log-probabilities")
    sure, plain = await subject.engine.complete(SURE), await subject.engine.complete(ONE)
    assert plain.confidence is None
    assert sure.confidence is not None
    assert sure.completion_tokens is not None
    assert abs(len(sure.confidence) - sure.completion_tokens) <= 1  # some servers count the token that ends the text
    assert all(value >= 0 for value in sure.confidence)


async def scores_given_tokens_or_says_that_it_cannot(subject: Subject) -> None:
    engine = subject.engine
    if not engine.capabilities.prompt_logprobs:
        if engine.name == "replay":
            pytest.skip("it knows what was recorded alone")
        with pytest.raises(UsageError, match="no log-probabilities of a text"):
            await engine.complete(GIVEN)
        return
    completion = await engine.complete(GIVEN)
    assert completion.error is None
    values = json.loads(completion.text)
    assert len(values) == len(GIVEN.tokens) - 1
    assert all(value <= 0 for value in values)
    assert completion.prompt_tokens == len(GIVEN.tokens)
    again = await engine.complete(replace(GIVEN, tokens=GIVEN.tokens[:-2]))
    assert json.loads(again.text) == pytest.approx(values[:-2], abs=0.05)  # what follows is not looked at


Clause = Callable[[Subject], Awaitable[None]]
CLAUSES: tuple[Clause, ...] = (
    gives_text_and_counts,
    keeps_the_token_limit,
    repeats_a_seed_alone_or_among_others,
    answers_all_that_is_asked_at_once,
    fails_a_bad_prompt_alone,
    stays_usable_after_a_cancelled_request,
    continues_a_prefix,
    scores_tokens_where_asked,
    gives_each_token_a_confidence_where_asked,
    scores_given_tokens_or_says_that_it_cannot,
)
