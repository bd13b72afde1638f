"""Shards run once each, few at a time, whatever becomes of Prefect."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracemill.flows.orchestrator import Once, PlainOrchestrator, PrefectOrchestrator
from tracemill.schemas.errors import EngineError
from tracemill.tasks.reporting.listener import NullListener


class Work:
    """Counts what is done; the shards named ``failing`` raise ``failure`` after one turn of the loop."""

    def __init__(self, failing: frozenset[str] = frozenset(), failure: type[Exception] = ValueError) -> None:
        self.started: list[str] = []
        self.finished: list[str] = []
        self.cancelled: list[str] = []
        self.at_once = 0
        self.most = 0
        self._failing, self._failure = failing, failure

    async def __call__(self, shard: str) -> None:
        self.started.append(shard)
        self.at_once += 1
        self.most = max(self.most, self.at_once)
        try:
            await asyncio.sleep(0)
            if shard in self._failing:
                raise self._failure(shard)
            for _ in range(5):
                await asyncio.sleep(0)
        except asyncio.CancelledError:
            self.cancelled.append(shard)
            raise
        finally:
            self.at_once -= 1
        self.finished.append(shard)


class Notes(NullListener):
    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


@given(shards=st.integers(0, 30), in_flight=st.integers(1, 8))
def test_each_shard_runs_once_in_order_and_never_more_than_in_flight(shards: int, in_flight: int) -> None:
    names, work = [f"shard_{i}" for i in range(shards)], Work()
    asyncio.run(PlainOrchestrator().run_shards("sample", names, work, in_flight=in_flight))
    assert work.started == names
    assert sorted(work.finished) == sorted(names)
    assert work.most == min(shards, in_flight)


async def test_after_a_failure_what_is_at_work_finishes_and_nothing_new_starts() -> None:
    work = Work(frozenset({"a"}))
    with pytest.raises(ValueError, match="a"):
        await PlainOrchestrator().run_shards("sample", ["a", "b", "c", "d"], work, in_flight=2)
    assert (work.started, work.finished, work.cancelled) == (["a", "b"], ["b"], [])


async def test_a_dead_engine_cancels_what_is_at_work() -> None:
    work = Work(frozenset({"a"}), EngineError)
    with pytest.raises(EngineError, match="a"):
        await PlainOrchestrator().run_shards("sample", ["a", "b", "c", "d"], work, in_flight=2)
    assert (work.started, work.finished, work.cancelled) == (["a", "b"], [], ["b"])


async def test_cancelling_the_run_ends_every_shard_first() -> None:
    work = Work()
    run = asyncio.create_task(PlainOrchestrator().run_shards("sample", ["a", "b", "c"], work, in_flight=2))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    assert sorted(work.cancelled) == ["a", "b"]
    assert work.at_once == 0


async def test_without_a_flow_run_the_prefect_orchestrator_needs_no_prefect() -> None:
    work = Work()
    await PrefectOrchestrator().run_shards("sample", ["a", "b", "c"], work, in_flight=2)
    assert sorted(work.finished) == ["a", "b", "c"]


class TestOnce:
    async def test_work_that_nobody_called_is_done_and_the_failure_noted(self) -> None:
        done: list[int] = []
        notes = Notes()

        async def unreachable() -> None:
            raise ConnectionError

        assert await Once(_append(done)).through(unreachable, notes) == 1
        assert done == [1]
        assert len(notes.notes) == 1
        assert "ConnectionError" in notes.notes[0]

    async def test_a_failure_after_the_work_keeps_its_result(self) -> None:
        done: list[int] = []
        notes = Notes()
        once = Once(_append(done))

        async def lost_afterwards() -> None:
            await once()
            raise ConnectionError

        assert await once.through(lost_afterwards, notes) == 1
        assert done == [1]
        assert len(notes.notes) == 1

    async def test_a_failure_beside_the_work_waits_for_it_to_end(self) -> None:
        done: list[int] = []
        once = Once(_append(done))

        async def lost_meanwhile() -> None:
            working = asyncio.ensure_future(once())
            await asyncio.sleep(0)
            working.cancel()
            raise ConnectionError

        assert await once.through(lost_meanwhile, Notes()) == 1
        assert done == [1]

    async def test_the_works_own_failure_is_raised_without_a_note(self) -> None:
        notes = Notes()

        async def broken() -> None:
            raise EngineError("down")

        once = Once(broken)
        with pytest.raises(EngineError, match="down"):
            await once.through(once, notes)
        assert notes.notes == []

    async def test_cancelling_it_cancels_the_work(self) -> None:
        ended: list[str] = []

        async def endless() -> None:
            try:
                await asyncio.Event().wait()
            finally:
                ended.append("clean")

        once = Once(endless)
        run = asyncio.create_task(once.through(once, NullListener()))
        for _ in range(4):
            await asyncio.sleep(0)
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run
        assert ended == ["clean"]


def _append(done: list[int]) -> Callable[[], Awaitable[int]]:
    async def work() -> int:
        await asyncio.sleep(0)
        done.append(1)
        return len(done)

    return work
