"""The limiter: order, bounds, cancellation, and how the limit moves."""

from __future__ import annotations

import asyncio
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tracemill.tasks.engines.concurrency import DECREASE, SUCCESSES_PER_SLOT, Limiter


async def test_first_come_first_served_and_a_retry_goes_first() -> None:
    limiter, order = Limiter(1), []
    ticket = await limiter.acquire()

    async def take(name: str, first: bool = False) -> None:
        await limiter.acquire(first=first)
        order.append(name)
        limiter.release()

    tasks = [asyncio.create_task(take(name)) for name in "abc"]
    await asyncio.sleep(0)
    tasks.append(asyncio.create_task(take("retry", first=True)))
    await asyncio.sleep(0)
    limiter.succeeded(ticket)
    limiter.release()
    await asyncio.gather(*tasks)
    assert order == ["retry", "a", "b", "c"]
    assert limiter.in_flight == 0


async def test_one_window_of_refusals_is_one_decrease() -> None:
    limiter = Limiter(100)
    tickets = [await limiter.acquire() for _ in range(100)]
    for ticket in tickets:
        limiter.overloaded(ticket)
        limiter.release()
    assert limiter.limit == int(100 * DECREASE)


async def test_the_limit_never_falls_below_one_and_grows_back_to_the_cap() -> None:
    limiter = Limiter(32)
    for _ in range(50):
        limiter.overloaded(await limiter.acquire())
        limiter.release()
    assert limiter.limit == 1
    grown = []
    for _ in range(2000):
        limiter.succeeded(await limiter.acquire())
        limiter.release()
        grown.append(limiter.limit)
    assert grown == sorted(grown)
    assert grown[-1] == 32


async def test_growth_is_one_slot_per_so_many_successes() -> None:
    limiter = Limiter(160)
    limiter.overloaded(await limiter.acquire())
    limiter.release()
    start = limiter.limit
    for _ in range(10 * SUCCESSES_PER_SLOT):
        limiter.succeeded(await limiter.acquire())
        limiter.release()
    assert limiter.limit == start + 10


async def test_a_success_sent_before_a_decrease_does_not_count() -> None:
    limiter = Limiter(2)
    early, other = await limiter.acquire(), await limiter.acquire()
    limiter.overloaded(other)
    for _ in range(10):
        limiter.succeeded(early)
    assert limiter.limit == 1


async def test_a_pause_holds_back_what_is_new() -> None:
    limiter = Limiter(4)
    limiter.overloaded(await limiter.acquire(), pause=0.1)
    limiter.release()
    start = time.monotonic()
    await asyncio.gather(limiter.acquire(), limiter.acquire())
    assert time.monotonic() - start >= 0.09


async def test_tens_of_thousands_may_wait() -> None:
    limiter, done = Limiter(64), 0

    async def work() -> None:
        nonlocal done
        ticket = await limiter.acquire()
        await asyncio.sleep(0)
        limiter.succeeded(ticket)
        limiter.release()
        done += 1

    start = time.process_time()
    await asyncio.gather(*(work() for _ in range(30_000)))
    assert done == 30_000
    assert time.process_time() - start < 5.0  # seconds; a linear queue takes minutes


@settings(max_examples=40, deadline=None)
@given(
    cap=st.integers(1, 6),
    actions=st.lists(st.sampled_from(["succeed", "overload", "cancel", "cancel late"]), min_size=1, max_size=40),
)
def test_slots_are_neither_lost_nor_made_whatever_is_cancelled(cap: int, actions: list[str]) -> None:
    async def scenario() -> None:
        limiter, most = Limiter(cap), 0

        async def work(action: str) -> None:
            nonlocal most
            ticket = await limiter.acquire()
            try:
                most = max(most, limiter.in_flight)
                await asyncio.sleep(0)
                if action == "overload":
                    limiter.overloaded(ticket)
                else:
                    limiter.succeeded(ticket)
            finally:
                limiter.release()

        tasks = [asyncio.create_task(work(action)) for action in actions]
        for wanted in ("cancel", "cancel late"):
            await asyncio.sleep(0)
            for task, action in zip(tasks, actions, strict=True):
                if action == wanted:
                    task.cancel()
        await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 5)
        assert limiter.in_flight == 0
        assert most <= cap
        assert 1 <= limiter.limit <= cap
        await asyncio.wait_for(limiter.acquire(), 1)

    asyncio.run(scenario())


def test_a_cap_below_one_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        Limiter(0)
