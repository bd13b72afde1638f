"""The main job as a Prefect flow, and the way the command line runs it.

Prefect watches and never decides: where its API cannot be reached, at the start or in the middle, the run goes on without
it. The recipe is the flow's parameter, so Prefect's UI shows a form for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sys
from collections.abc import Iterator
from contextvars import ContextVar
from functools import partial
from typing import TYPE_CHECKING, Final

from tracemill.flows import quiet

quiet.hush()

from prefect import flow  # noqa: E402
from prefect.artifacts import acreate_markdown_artifact  # noqa: E402
from prefect.client.orchestration import get_client  # noqa: E402
from prefect.context import FlowRunContext  # noqa: E402
from prefect.events.clients import PrefectEventsClient  # noqa: E402
from prefect.events.worker import EventsWorker  # noqa: E402
from prefect.settings import PREFECT_API_URL, PREFECT_CLIENT_MAX_RETRIES, temporary_settings  # noqa: E402

from tracemill.flows import pipeline  # noqa: E402
from tracemill.flows.orchestrator import Once, Orchestrator, PlainOrchestrator, PrefectOrchestrator  # noqa: E402
from tracemill.flows.prefect_server import PrefectServer, ServerError  # noqa: E402
from tracemill.flows.running import running_server  # noqa: E402
from tracemill.schemas.errors import TracemillError  # noqa: E402
from tracemill.schemas.recipe import Recipe  # noqa: E402
from tracemill.tasks.reporting.listener import Listener, NullListener  # noqa: E402

if TYPE_CHECKING:
    from tracemill.tasks.store import RunStore

#: Seconds that the last events may take to reach the server.
EVENTS_TIMEOUT: Final = 5.0

#: What ``run_recipe`` wants done, and by whom, for the flow that it calls; unset in a scheduled flow run.
_wanted: ContextVar[tuple[Once[RunStore], PrefectOrchestrator]] = ContextVar("wanted")


@flow(name="synthesize", flow_run_name="{recipe.name}", persist_result=False, log_prints=False)
async def synthesize(
    recipe: Recipe, out: str, fresh: bool = False, reuse: str | None = None, folder: str | None = None
) -> None:
    """Run ``recipe`` into the folder ``out``, or resume it there: only what is owed is done.

    ``folder`` is where relative paths start from; a scheduled flow run, which is a process of its own, goes there.
    """
    if (wanted := _wanted.get(None)) is not None:
        once, orchestrator = wanted
        await _report(await once())
        await asyncio.gather(_recorded(orchestrator.task_runs), return_exceptions=True)
        return
    if folder is not None:
        os.chdir(folder)
    try:
        run = await _pipeline(recipe, out, fresh, reuse, NullListener(), PrefectOrchestrator())
    except TracemillError as error:
        print(f"{recipe.name}: {error}", file=sys.stderr, flush=True)
        raise
    print(f"{recipe.name}: finished in {out}", flush=True)
    await _report(run)


async def _pipeline(
    recipe: Recipe, out: str, fresh: bool, reuse: str | None, listener: Listener, orchestrator: Orchestrator
) -> RunStore:
    return await pipeline.synthesize(
        recipe, out, fresh=fresh, reuse=reuse, listener=listener, orchestrator=orchestrator
    )


def run_recipe(
    recipe: Recipe, out: str, *, fresh: bool = False, reuse: str | None = None, listener: Listener | None = None
) -> RunStore:
    """Run ``recipe`` into the folder ``out`` as a flow run, and return the finished run.

    The flow run lives on the server that ``PREFECT_API_URL`` names, else on that of a running ``tracemill serve``, else on
    one of our own that is gone at the end. Raises what the pipeline raises, and KeyboardInterrupt on Ctrl-C.
    """
    listener = listener or NullListener()
    if recipe.orchestrator == "none":
        return asyncio.run(_pipeline(recipe, out, fresh, reuse, listener, PlainOrchestrator()))
    orchestrator = PrefectOrchestrator(listener)
    work = partial(_pipeline, recipe, out, fresh, reuse, listener, orchestrator)
    with _server(listener) as url:
        if url is None:
            return asyncio.run(work())
        with temporary_settings({PREFECT_API_URL: url}):
            return asyncio.run(_flow_run(Once(work), orchestrator, (recipe, out, fresh, reuse), listener))


async def _flow_run(
    once: Once[RunStore],
    orchestrator: PrefectOrchestrator,
    parameters: tuple[Recipe, str, bool, str | None],
    listener: Listener,
) -> RunStore:
    _wanted.set((once, orchestrator))
    return await once.through(partial(synthesize, *parameters), listener)


@contextlib.contextmanager
def _server(listener: Listener) -> Iterator[str | None]:
    """The address of the API to use; None where there is none to be had."""
    url = os.environ.get("PREFECT_API_URL") or running_server()
    if url is not None:
        yield url
        return
    with contextlib.ExitStack() as stack:
        try:
            url = stack.enter_context(PrefectServer()).url
        except (ServerError, OSError) as error:
            listener.note(f"running without Prefect: {error}")
        else:
            stack.enter_context(_events(url))
            stack.enter_context(temporary_settings({PREFECT_CLIENT_MAX_RETRIES: 0}))
        yield url


@contextlib.contextmanager
def _events(url: str) -> Iterator[None]:
    """Task runs reach the server as events: few attempts where it is gone, and none left over when we stop it."""
    logging.getLogger(EventsWorker.__name__).setLevel(logging.CRITICAL)
    EventsWorker.set_client_override(PrefectEventsClient, api_url=url, reconnection_attempts=1)
    try:
        yield
    finally:
        EventsWorker.drain_all(timeout=EVENTS_TIMEOUT)
        EventsWorker.set_client_override(None)


async def _report(run: RunStore) -> None:
    """The funnel and pass rates as an artifact of the flow run; a lost artifact is no failure."""
    from tracemill.tasks.reporting.summary import summarise, to_markdown

    await asyncio.gather(
        acreate_markdown_artifact(to_markdown(summarise(run)), key="summary", description=run.name),
        return_exceptions=True,
    )


async def _recorded(task_runs: int) -> None:
    """Wait, not for long, until the server has recorded the end of every task run: it forgets what it has not at its end."""
    context = FlowRunContext.get()
    assert context is not None
    ended = {
        "flow_runs": {"id": {"any_": [str(context.flow_run.id)] if context.flow_run else []}},
        "task_runs": {"state": {"type": {"any_": ["COMPLETED", "FAILED", "CRASHED", "CANCELLED"]}}},
    }
    deadline = asyncio.get_running_loop().time() + EVENTS_TIMEOUT
    async with get_client() as client:
        while asyncio.get_running_loop().time() < deadline:
            if (await client.request("POST", "/task_runs/count", json=ended)).json() >= task_runs:
                return
            await asyncio.sleep(0.1)
