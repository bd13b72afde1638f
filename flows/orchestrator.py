"""Who runs the shards of a stage. Every shard's work is done exactly once, whatever becomes of the orchestrator.

Shards are passed by id, never as data; at most ``in_flight`` of them are at work at once, started in the order given.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

Work = Callable[[str], Awaitable[None]]


class Orchestrator(Protocol):
    """Runs ``work(shard)`` for each shard of ``stage``."""

    async def run_shards(self, stage: str, shards: Sequence[str], work: Work, *, in_flight: int) -> None: ...


class PlainOrchestrator:
    """Shards on the running event loop, nothing else."""

    async def run_shards(self, stage: str, shards: Sequence[str], work: Work, *, in_flight: int) -> None:
        slots = asyncio.Semaphore(in_flight)

        async def one(shard: str) -> None:
            async with slots:
                await work(shard)

        await asyncio.gather(*(one(shard) for shard in shards))


class PrefectOrchestrator(PlainOrchestrator):
    """The same, each shard as one Prefect task run of the current flow run."""
