"""Who runs the shards of a stage. Every shard's work is done exactly once, whatever becomes of Prefect.

Shards are passed by id, never as data. At most ``in_flight`` of them are at work at once, started in the order given.
After a failure no new shard starts. Where the engine or the store as a whole is gone the shards at work are cancelled;
otherwise they finish, because what they do is paid for. Then the first failure is raised.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Final, Generic, Protocol, TypeVar

from tracemill.schemas.errors import EngineError, StoreError
from tracemill.tasks.reporting.listener import Listener, NullListener

Work = Callable[[str], Awaitable[None]]
T = TypeVar("T")

#: Failures that every other shard at work would meet too.
FATAL: Final = (EngineError, StoreError)

_LABEL: Final = 8  # characters of a shard's id in its task run's name


class Orchestrator(Protocol):
    """Runs ``work(shard)`` once for each shard of ``stage``; raises the first failure."""

    async def run_shards(self, stage: str, shards: Sequence[str], work: Work, *, in_flight: int) -> None: ...


class PlainOrchestrator:
    """Shards on the running event loop, nothing else."""

    async def run_shards(self, stage: str, shards: Sequence[str], work: Work, *, in_flight: int) -> None:
        waiting = iter(shards)
        running: set[asyncio.Future[None]] = set()
        failures: list[BaseException] = []
        try:
            while not any(isinstance(failure, FATAL) for failure in failures):
                while not failures and len(running) < in_flight and (shard := next(waiting, None)) is not None:
                    running.add(asyncio.ensure_future(work(shard)))
                if not running:
                    break
                done, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                failures += [failure for future in done if (failure := future.exception()) is not None]
        finally:
            for future in running:
                future.cancel()
            await asyncio.gather(*running, return_exceptions=True)
        if failures:
            raise next((failure for failure in failures if isinstance(failure, FATAL)), failures[0])


class PrefectOrchestrator:
    """The same, each shard as one Prefect task run of the current flow run; outside a flow run, without Prefect."""

    def __init__(self, listener: Listener | None = None) -> None:
        self._listener = listener or NullListener()
        self.task_runs = 0  # begun so far

    async def run_shards(self, stage: str, shards: Sequence[str], work: Work, *, in_flight: int) -> None:
        from prefect import task
        from prefect.cache_policies import NO_CACHE
        from prefect.context import FlowRunContext

        plain = PlainOrchestrator()
        if FlowRunContext.get() is None:
            await plain.run_shards(stage, shards, work, in_flight=in_flight)
            return
        at_work: dict[str, Once[None]] = {}

        @task(name=stage, retries=0, persist_result=False, cache_policy=NO_CACHE, log_prints=False)
        async def run_shard(shard: str) -> None:
            self.task_runs += 1
            await at_work[shard]()

        async def through_prefect(shard: str) -> None:
            at_work[shard] = once = Once(partial(work, shard))
            label = shard.rpartition("_")[2][:_LABEL]
            await once.through(partial(run_shard.with_options(task_run_name=f"{stage}-{label}"), shard), self._listener)
            del at_work[shard]

        await plain.run_shards(stage, shards, through_prefect, in_flight=in_flight)


class Once(Generic[T]):
    """Work that somebody else is to call, and that is done even where they fail to."""

    def __init__(self, work: Callable[[], Awaitable[T]]) -> None:
        self._work = work
        self._outcome: asyncio.Future[T] | None = None

    async def __call__(self) -> T:
        """Do the work, or wait for what does it already. A caller that is cancelled leaves it at work."""
        return await asyncio.shield(self._begun())

    def _begun(self) -> asyncio.Future[T]:
        if self._outcome is None:
            self._outcome = asyncio.ensure_future(self._work())
        return self._outcome

    async def through(self, call: Callable[[], Awaitable[object]], listener: Listener) -> T:
        """The work's own result or failure, having let ``call`` do it; what ``call`` does wrong besides is noted."""
        try:
            (problem,) = await asyncio.gather(_awaited(call), return_exceptions=True)
            work = self._outcome
            its_own = work is not None and work.done() and (work.cancelled() or work.exception() is problem)
            if isinstance(problem, BaseException) and not its_own:
                listener.note(f"the Prefect API failed ({type(problem).__name__}); the work goes on without it")
            return await self._begun()
        except asyncio.CancelledError:
            if self._outcome is not None:
                self._outcome.cancel()
                await asyncio.gather(self._outcome, return_exceptions=True)
            raise


async def _awaited(call: Callable[[], Awaitable[object]]) -> object:
    return await call()
