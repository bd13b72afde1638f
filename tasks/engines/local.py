"""stub"""

from __future__ import annotations

from types import TracebackType
from typing import Self

from tracemill.schemas.recipe import EngineSpec
from tracemill.schemas.records import Policy
from tracemill.tasks.engines.base import Capabilities, Completion, EngineStats, Request


class LocalEngine:
    """The embedded CPU model behind a loopback server of our own."""

    name = "local"

    def __init__(self, spec: EngineSpec, home: str) -> None:
        raise NotImplementedError

    policy: Policy
    capabilities: Capabilities
    stats: EngineStats

    async def __aenter__(self) -> Self:
        raise NotImplementedError

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    async def complete(self, request: Request) -> Completion:
        raise NotImplementedError
