"""``tracemill serve``: a whole Prefect server of our own, and the process that runs what is due.

Each due run is a process of its own, which resumes the schedule's folder and so does only what is owed. What two firings of
one schedule would do at once, one does (``flows.synthesize``). Everything ends with this process, however it ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Final

from tracemill.flows import quiet
from tracemill.flows.deployments import Scheduled, schedules, shipped
from tracemill.flows.prefect_server import PrefectServer, ServerError
from tracemill.flows.running import noted, running_server
from tracemill.schemas.errors import UsageError

if TYPE_CHECKING:
    from prefect.runner import Runner

PORT: Final = 4200
#: Marks a deployment as one of ours on the server, whose database outlives us.
TAG: Final = "tracemill-schedule"

Announce = Callable[[str], None]


def serve(*, port: int = PORT, poll: float = 5.0, announce: Announce = print) -> None:
    """Own a Prefect server on the loopback ``port`` and run what is due, until SIGTERM or SIGINT.

    New schedules and due runs are looked for every ``poll`` seconds. Raises ``UsageError`` where one runs already or the port
    is taken, ``ServerError`` where the server does not start or ends by itself.
    """
    quiet.hush()
    _check_free(port)
    with PrefectServer(port=port, scheduling=True) as server, noted(port):
        os.environ["PREFECT_API_URL"] = server.url
        from prefect.settings import PREFECT_API_URL, temporary_settings

        announce(f"serving on http://127.0.0.1:{port} (Ctrl-C ends it)")
        try:
            with temporary_settings({PREFECT_API_URL: server.url}):
                asyncio.run(_until_told(server, poll, announce))
        finally:
            del os.environ["PREFECT_API_URL"]


def _check_free(port: int) -> None:
    if (url := running_server()) is not None:
        raise UsageError("a 'tracemill serve' runs already", where=url, mend="use that one, or end it first")
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise UsageError(
                f"the port is taken ({error.strerror})",
                where=f"127.0.0.1:{port}",
                mend=f"end what listens there, or serve on another: --port {port + 1}",
            ) from error


async def _until_told(server: PrefectServer, poll: float, announce: Announce) -> None:
    from prefect.runner import Runner

    runner = Runner(name="tracemill", query_seconds=poll, prefetch_seconds=poll, pause_on_shutdown=False)
    told = asyncio.Event()
    running = asyncio.create_task(runner.start())
    await asyncio.sleep(0)  # Prefect takes SIGTERM for itself as it starts; it is ours
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, told.set)
    known: dict[str, Scheduled] = {}
    try:
        while not told.is_set():
            await _register(runner, known, announce)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(poll):
                    await told.wait()
            if not server.alive():
                raise ServerError("the Prefect server ended by itself", where=str(server.log), mend="see that log")
            if running.done():
                running.result()
                raise ServerError("Prefect's runner ended by itself", mend="serve again")
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def _register(runner: Runner, known: dict[str, Scheduled], announce: Announce) -> None:
    """Make a deployment of every schedule that is new or changed since the last look; take back those that are gone."""
    from prefect.schedules import Cron
    from prefect.types.entrypoint import EntrypointType

    from tracemill.flows.synthesize import synthesize

    first = not known
    wanted = {scheduled.name: scheduled for scheduled in [*shipped(), *schedules()]}
    gone = known.keys() - wanted.keys()
    for name, scheduled in wanted.items():
        if known.get(name) == scheduled:
            continue
        deployment = await synthesize.ato_deployment(
            name,
            schedule=Cron(scheduled.cron, timezone=scheduled.timezone),
            paused=scheduled.paused,
            parameters=scheduled.parameters,
            tags=[TAG],
            entrypoint_type=EntrypointType.MODULE_PATH,
        )
        await runner.aadd_deployment(deployment)
        known[name] = scheduled
        paused = ", paused" if scheduled.paused else ""
        announce(f"scheduled {name} (cron {scheduled.cron!r}{paused}) into {scheduled.out}")
    if first or gone:
        await _take_back(wanted)
    for name in sorted(gone):
        del known[name]
        announce(f"{name} is no longer scheduled")


async def _take_back(wanted: Collection[str]) -> None:
    """Remove our deployments that are not ``wanted`` from the server, those of earlier servers included."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterTags

    async with get_client() as client:
        ours = DeploymentFilter(tags=DeploymentFilterTags(all_=[TAG]))
        for deployment in await client.read_deployments(deployment_filter=ours, limit=200):
            if deployment.name not in wanted:
                await client.delete_deployment(deployment.id)
