"""No engine: for runs whose strategy asks nothing, such as exact search on a symbolic domain."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from tracemill.schemas.errors import EngineError
from tracemill.schemas.recipe import EngineSpec
from tracemill.schemas.records import Policy
from tracemill.tasks.engines.base import Capabilities, Completion, EngineStats, Request


class NoEngine:
    """Its policy is the search itself; a strategy that asks it for anything ends the run."""

    name = "none"

    def __init__(self, spec: EngineSpec) -> None:
        self.policy = Policy(model=spec.model or "search", engine="none", licence=spec.licence)
        self.capabilities = Capabilities()
        self.stats = EngineStats(limit=spec.concurrency)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    async def complete(self, request: Request) -> Completion:
        raise EngineError(
            "this strategy asks a model, and the recipe names none",
            where="engine.kind none",
            mend="name an engine (local, vllm, openai), or a strategy that asks nothing",
        )
