"""Rollouts over the simulated policy: each prefix once, the same again, and the value that the policy has."""

from __future__ import annotations

import pytest

from tracemill.schemas.errors import UsageError
from tracemill.schemas.recipe import EngineSpec
from tracemill.schemas.records import Problem
from tracemill.tasks.engines.base import Capabilities, Request, Sampling
from tracemill.tasks.engines.simulated import SimulatedEngine
from tracemill.tasks.steps.rollouts import Rollouts

PROBLEM = Problem("What is 3 + 4?", "answer", "test", gold="7")
REQUEST = Request("a", "completion", Sampling(max_tokens=4096), seed=1, prompt=PROBLEM.prompt, problem=PROBLEM)


def engine(**settings: float) -> SimulatedEngine:
    return SimulatedEngine(EngineSpec(kind="simulated", simulation={"success": 0.4, "text_bytes": 0, **settings}))


async def right(response: str) -> bool:
    return "\\boxed{7}" in response


async def test_the_share_is_the_policys_own_value():
    policy = engine()
    text = (await policy.complete(REQUEST)).text
    prefix = "\n\n".join(text.split("\n\n")[:3]) + "\n\n"
    count = await Rollouts(policy, PROBLEM, REQUEST, right, k=3000).estimate(prefix)
    assert count.value == pytest.approx(policy.value(PROBLEM, prefix), abs=0.03)


async def test_a_prefix_is_asked_for_once_and_alike_in_any_order():
    one, other = (Rollouts(engine(), PROBLEM, REQUEST, right, k=16) for _ in range(2))
    first = [await one.estimate(prefix) for prefix in ("", "Step 1: 1 + 1 = 2. \n\n", "")]
    second = [await other.estimate(prefix) for prefix in ("Step 1: 1 + 1 = 2. \n\n", "")]
    assert first[0] == first[2] == second[1]
    assert first[1] == second[0]
    assert (one.asked, one.estimates) == (32, 2)


async def test_what_was_cut_is_wrong():
    request = Request("a", "completion", Sampling(max_tokens=1), seed=1, prompt=PROBLEM.prompt, problem=PROBLEM)
    assert (await Rollouts(engine(success=1.0), PROBLEM, request, right, k=4).estimate("")).correct == 0


def test_an_engine_that_cannot_continue_is_refused():
    policy = engine()
    policy.capabilities = Capabilities()
    with pytest.raises(UsageError, match="cannot continue"):
        Rollouts(policy, PROBLEM, REQUEST, right, k=4)
