"""An engine with a server of its own: the client's requests, over the server's life cycle.

The server is started before the client and ended after it; a request that loses its connection waits for the restart and is
tried again there. A server that is given up raises ``EngineError`` from every request.
"""

from __future__ import annotations

from contextlib import AsyncExitStack
from types import TracebackType
from typing import Self

from tracemill.schemas.recipe import EngineSpec
from tracemill.schemas.records import Policy
from tracemill.tasks.engines.base import Capabilities, Completion, EngineStats, Request
from tracemill.tasks.engines.client import HttpEngine
from tracemill.tasks.engines.server import Launch, Server
from tracemill.tasks.engines.wire import Prices


class ManagedEngine:
    """``launch`` starts the server; ``concurrency`` caps what the recipe asks for at what the server takes well."""

    def __init__(
        self,
        spec: EngineSpec,
        home: str,
        *,
        launch: Launch,
        policy: Policy,
        capabilities: Capabilities,
        concurrency: int | None = None,
    ) -> None:
        self.name: str = spec.kind
        self.policy = policy
        self.capabilities = capabilities
        self.stats = EngineStats()
        self.server = Server(launch, home)
        self._spec = spec
        self._home = home
        self._concurrency = min(spec.concurrency, concurrency or spec.concurrency)
        self.stats.limit = self._concurrency
        self._client: HttpEngine | None = None
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        spec, server = self._spec, Server(self.server.launch, self._home)
        async with AsyncExitStack() as stack:
            self.server = await stack.enter_async_context(server)
            client = HttpEngine(
                self.policy,
                server.base_url,
                name=self.name,
                api_key=server.launch.api_key,
                capabilities=self.capabilities,
                concurrency=self._concurrency,
                request_timeout=spec.request_timeout,
                retries=spec.retries,
                prices=Prices(spec.price_in, spec.price_out),
                stats=self.stats,
                ready=server.ready,
                absolve=server.absolve,
                replica=f"{self.name}:{server.port}",
                probe=False,  # the server answers, or we would not be here
            )
            self._client = await stack.enter_async_context(client)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client = None
        await self._stack.__aexit__(kind, error, trace)

    async def complete(self, request: Request) -> Completion:
        if self._client is None:
            await self.server.ready()  # says that it is closed
            raise RuntimeError("the engine is used outside 'async with'")
        return await self._client.complete(request)
