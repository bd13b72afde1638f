"""The life of a server that we own: started, waited for, watched, restarted within a budget, and wholly gone at the end.

Nothing of a server outlives ``async with server:``, nor the process that held it (see ``reaper``). The address stays the
same over restarts, so a client need only try again. Servers listen on the loopback alone, behind a random key that is
passed in the environment and written nowhere.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import secrets
import socket
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import aiohttp

from tracemill.schemas.errors import EngineError
from tracemill.tasks.engines import reaper

_TAIL_LINES: Final = 12
_LOGS_KEPT: Final = 20
_BUDGET_WINDOW: Final = 3600.0  # seconds after which a restart is forgiven

#: From the end of a log to what the user can do about it; None where the log says nothing that is known.
Diagnosis = Callable[[str], str | None]


@dataclass(frozen=True, slots=True)
class Launch:
    """How to start a server and what to expect of it. Times are in seconds.

    ``command`` gives the argument list for a port; ``environment`` is added to ours, and
    ``key_variable`` names the variable that carries the key. A server that leaves its health probe
    unanswered for ``hang_timeout`` is taken for hung. ``restarts`` is how many times within an hour it is started again.
    """

    name: str
    command: Callable[[int], Sequence[str]]
    environment: Mapping[str, str] = field(default_factory=dict)
    key_variable: str = "VLLM_API_KEY"
    api_key: str = field(default_factory=lambda: secrets.token_hex(16), repr=False)
    start_timeout: float = 900.0
    hang_timeout: float = 120.0
    probe_interval: float = 2.0
    restarts: int = 3
    grace: float = 10.0
    diagnose: Diagnosis = lambda _: None


def free_port() -> int:
    """A loopback port that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Server:
    """``async with server:`` returns once it answers. ``home`` holds its pid file (``servers/``) and log (``logs/``)."""

    def __init__(self, launch: Launch, home: str) -> None:
        self.launch = launch
        self.port = 0
        self.generation = 0  # how often it was started
        self.log: Path | None = None
        self._home = Path(home)
        self._token = secrets.token_hex(12)
        self._process: asyncio.subprocess.Process | None = None
        self._session: aiohttp.ClientSession | None = None
        self._pid_file: Path | None = None
        self._watcher: asyncio.Task[None] | None = None
        self._up = asyncio.Event()
        self._failure: EngineError | None = None
        self._restarted: deque[float] = deque()

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    @property
    def is_up(self) -> bool:
        """False while it is starting, restarting, given up or ended."""
        return self._up.is_set() and self._failure is None

    async def ready(self) -> int:
        """Wait until it answers; how often it was started. Raises ``EngineError`` once it is given up."""
        await self._up.wait()
        if self._failure is not None:
            raise self._failure
        return self.generation

    def absolve(self) -> None:
        """Forgive the restarts so far: something other than the server was to blame."""
        self._restarted.clear()

    async def __aenter__(self) -> Self:
        folder = self._home / "servers"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self.log = _new_log(self._home / "logs", self.launch.name)
        except OSError as error:
            raise EngineError(
                f"the folder for the server's log cannot be written: {error.strerror}",
                where=str(self._home),
                mend="free space there, or choose another folder for the run",
            ) from error
        await self._end(reaper.reap_orphans, folder)
        self._session = aiohttp.ClientSession(trust_env=False)
        try:
            await self._first_start()
        except BaseException:
            await self._close()
            raise
        self._up.set()
        self._watcher = asyncio.create_task(self._watch())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._watcher is not None:
            self._watcher.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._watcher
        await self._close()

    async def _first_start(self) -> None:
        """Start on a free port; on another where somebody else took it between the look and the start."""
        for attempt in range(3):
            self.port = free_port()
            try:
                await self._start()
                return
            except EngineError:
                if attempt == 2 or not _taken(self.port):
                    raise

    async def _start(self) -> None:
        launch = self.launch
        assert self.log is not None
        environment = {**os.environ, **launch.environment, launch.key_variable: launch.api_key}
        # SPT_NOENV keeps setproctitle, which vLLM uses, from overwriting the environment that the mark is read from.
        environment |= {reaper.MARK: self._token, "SPT_NOENV": "1"}
        command = list(launch.command(self.port))
        log = os.open(self.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-I",
                "-S",
                reaper.__file__,
                str(launch.grace),
                *command,
                stdin=asyncio.subprocess.PIPE,
                stdout=log,
                stderr=log,
                env=environment,
                start_new_session=True,
            )
        finally:
            os.close(log)
        self.generation += 1
        self._pid_file = reaper.write_pid_file(self._home / "servers", self._token, self._process.pid, command)
        await self._wait_until_ready(self._process)

    async def _wait_until_ready(self, process: asyncio.subprocess.Process) -> None:
        deadline = time.monotonic() + self.launch.start_timeout
        ended = asyncio.create_task(process.wait())
        pause = 0.05
        try:
            while True:
                if ended.done():
                    raise self._error(f"the {self.launch.name} server ended while starting (status {ended.result()})")
                if time.monotonic() > deadline:
                    raise self._error(
                        f"the {self.launch.name} server did not answer within {self.launch.start_timeout:g} s",
                        mend="raise engine.start_timeout, or read the log for what it waits for",
                    )
                if await self._answers("/health", 2.0) and await self._answers("/v1/models", 2.0):
                    return
                await asyncio.wait({ended}, timeout=pause)
                pause = min(pause * 1.3, 1.0)
        except EngineError:
            await self._stop()
            raise
        finally:
            ended.cancel()

    async def _answers(self, path: str, timeout: float) -> bool:
        assert self._session is not None
        try:
            async with self._session.get(
                f"http://127.0.0.1:{self.port}{path}",
                headers={"Authorization": f"Bearer {self.launch.api_key}"},
                timeout=aiohttp.ClientTimeout(total=timeout),
            ) as response:
                return response.status == 200
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError):
            return False

    async def _watch(self) -> None:
        """Until cancelled or given up: restart what ended or hangs."""
        launch = self.launch
        while self._failure is None:
            assert self._process is not None
            ended = asyncio.create_task(self._process.wait())
            answered = time.monotonic()
            fault = ""
            try:
                while not fault:
                    await asyncio.wait({ended}, timeout=launch.probe_interval)
                    if ended.done():
                        fault = f"ended (status {ended.result()})"
                    elif await self._answers("/health", min(launch.hang_timeout, 10.0)):
                        answered = time.monotonic()
                    elif time.monotonic() - answered >= launch.hang_timeout:
                        fault = f"did not answer for {launch.hang_timeout:g} s"
            finally:
                ended.cancel()
            self._up.clear()
            await self._restart(fault)
            self._up.set()

    async def _restart(self, fault: str) -> None:
        while True:
            await self._stop()
            now = time.monotonic()
            while self._restarted and now - self._restarted[0] > _BUDGET_WINDOW:
                self._restarted.popleft()
            if len(self._restarted) >= self.launch.restarts:
                again = f"; it was restarted {len(self._restarted)} times within the hour" if self._restarted else ""
                self._failure = self._error(f"the {self.launch.name} server {fault}{again}")
                return
            self._restarted.append(now)
            try:
                await self._start()
            except EngineError:
                fault = "ended and did not start again"
            except OSError as error:
                fault = f"ended and could not be started again: {error}"
            else:
                return

    async def _stop(self) -> None:
        """End the whole tree: the guard asks, waits ``grace`` and forces; what escaped it is ended by its token."""
        process, self._process = self._process, None
        if process is not None:
            if process.stdin is not None:
                process.stdin.close()
            try:
                async with asyncio.timeout(self.launch.grace + 10):
                    await process.wait()
            except TimeoutError:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
                await process.wait()
            await self._end(reaper.kill_carriers, self._token)
        if self._pid_file is not None:
            self._pid_file.unlink(missing_ok=True)
            self._pid_file = None

    async def _end(self, end: Callable[[Any], list[int]], what: object) -> None:
        try:
            await asyncio.to_thread(end, what)
        except TimeoutError as error:
            raise EngineError(
                f"a server's {error}", where=self.launch.name, mend="look at them with ps, and end them with kill -9"
            ) from error

    async def _close(self) -> None:
        if self._failure is None:
            self._failure = EngineError(f"the {self.launch.name} server is closed")
        self._up.set()
        try:
            await self._stop()
        finally:
            if self._session is not None:
                await self._session.close()

    def _error(self, what: str, mend: str | None = None) -> EngineError:
        assert self.log is not None
        text = _tail(self.log)
        lines = "\n".join(f"    {line}" for line in text.splitlines()[-_TAIL_LINES:])
        shown = f"{what}; the end of its log:\n{lines}" if lines else f"{what}; its log is empty"
        return EngineError(
            shown.replace(self.launch.api_key, "***"),
            where=str(self.log),
            mend=self.launch.diagnose(text) or mend or "read the log for the cause",
        )


def _taken(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return True
        return False


def _new_log(folder: Path, name: str) -> Path:
    """A fresh log file's path; the oldest logs of this server are removed so that the newest twenty stay."""
    folder.mkdir(parents=True, exist_ok=True)
    old = sorted(folder.glob(f"{name}-*.log"), key=lambda path: path.name)
    for path in old[: max(0, len(old) - _LOGS_KEPT + 1)]:
        path.unlink(missing_ok=True)
    return folder / f"{name}-{time.strftime('%Y%m%dT%H%M%S')}-{secrets.token_hex(3)}.log"


def _tail(path: Path, size: int = 65536) -> str:
    """The end of a log as plain text, terminal control sequences and other controls removed."""
    try:
        with open(path, "rb") as file:
            file.seek(max(0, path.stat().st_size - size))
            text = file.read().decode("utf-8", errors="replace")
    except OSError:
        return ""
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|[^\S\n]*\r|[\x00-\x08\x0b-\x1f\x7f]", "", text)
