"""A Prefect server that we own: its own home, SQLite and a loopback port, and nothing of it outlives us.

It runs under the same guard as the engines' servers (``tasks.engines.reaper``): when we end, however we end, so does it.
Everything it prints goes to ``prefect/server.log`` under our home.
"""

from __future__ import annotations

import fcntl
import http.client
import os
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from tracemill.flows import quiet
from tracemill.schemas.errors import TracemillError
from tracemill.tasks.engines import reaper
from tracemill.tasks.engines.server import free_port

START_TIMEOUT: Final = 120.0  # seconds
GRACE: Final = 5.0  # seconds between asking and forcing

#: What a run's own server leaves out: it schedules nothing and shows nothing.
EMBEDDED: Final = {
    "PREFECT_UI_ENABLED": "false",
    "PREFECT_API_BLOCKS_REGISTER_ON_START": "false",
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_READ_BATCH_SIZE": "100",
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_BATCH_SIZE": "100",
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_FLUSH_INTERVAL": "1",
    "PREFECT__SERVER_EPHEMERAL": "1",
    "PREFECT__SERVER_FINAL": "1",
}


class ServerError(TracemillError):
    """The Prefect server cannot be started."""


class PrefectServer:
    """``with server:`` returns once it answers; ``launch`` starts it and returns at once.

    ``scheduling`` starts a whole ``prefect server start``, with schedules and the UI; otherwise it is the bare API.
    """

    def __init__(self, *, port: int | None = None, scheduling: bool = False) -> None:
        self.port = port or free_port()
        self._scheduling = scheduling
        self._process: subprocess.Popen[bytes] | None = None
        self._home = quiet.prefect_home()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/api"

    @property
    def log(self) -> Path:
        return self._home / ("server.log" if self._scheduling else f"server-{os.getpid()}.log")

    def launch(self) -> Self:
        """Start it without waiting."""
        _prepare_database(self._home)
        environment = {name: value for name, value in os.environ.items() if name != "PREFECT_API_URL"}
        environment |= quiet.SETTINGS | {"PREFECT_HOME": str(self._home), "PYTHONWARNINGS": "ignore"}
        if not self._scheduling:
            environment |= EMBEDDED
        self._process = _guarded(self._command(), environment, self.log)
        return self

    def wait(self, timeout: float = START_TIMEOUT) -> None:
        """Return once it answers. Raises ``ServerError`` where it ends or stays silent for ``timeout`` seconds."""
        assert self._process is not None
        deadline = time.monotonic() + timeout
        while not answers(self.port):
            status = self._process.poll()
            if status is not None or time.monotonic() > deadline:
                self.stop()
                how = "did not answer in time" if status is None else f"ended while starting (status {status})"
                raise ServerError(f"the Prefect server {how}", where=str(self.log), mend="see the end of that log")
            time.sleep(0.05)

    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def stop(self) -> None:
        """End it and everything that it started. Stopping twice does nothing."""
        process, self._process = self._process, None
        if process is None:
            return
        assert process.stdin is not None
        process.stdin.close()
        try:
            process.wait(GRACE + 5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if not self._scheduling and process.returncode == 0:
            self.log.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        self.launch()
        try:
            self.wait()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _command(self) -> Sequence[str]:
        address = ["--host", "127.0.0.1", "--port", str(self.port)]
        if self._scheduling:
            return [sys.executable, "-m", "prefect", "server", "start", *address]
        app = ["--factory", "prefect.server.api.server:create_app", "--log-level", "error", "--lifespan", "on"]
        return [sys.executable, "-m", "uvicorn", *app, *address]


def answers(port: int) -> bool:
    """True where a healthy Prefect API listens on ``port`` of the loopback."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", "/api/health")
        response = connection.getresponse()
        return response.status == 200 and response.read().strip() == b"true"
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _guarded(command: Sequence[str], environment: Mapping[str, str], log: Path) -> subprocess.Popen[bytes]:
    """``command`` under the guard, in a session of its own, so that Ctrl-C in a terminal does not reach it."""
    with log.open("wb") as file:
        return subprocess.Popen(
            [sys.executable, "-I", "-S", reaper.__file__, str(GRACE), *command],
            stdin=subprocess.PIPE,
            stdout=file,
            stderr=file,
            env=dict(environment),
            start_new_session=True,
        )


def _prepare_database(folder: Path) -> None:
    """A migrated database where there is none yet: Prefect's migrations cost ten CPU-seconds, a copy costs nothing."""
    database = folder / "prefect.db"
    with (folder / ".database.lock").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if database.exists():
            return
        template = _template()
        draft = folder / "prefect.db.draft"
        draft.unlink(missing_ok=True)
        shutil.copyfile(template, draft)
        draft.replace(database)


def _template() -> Path:
    """An empty migrated database, made once: beside the virtual environment's packages where we may write, else at home."""
    from importlib.metadata import version

    shared = Path(sys.prefix) / "share" / "tracemill"
    folder = quiet.prefect_home()
    if sys.prefix != sys.base_prefix and os.access(sys.prefix, os.W_OK):
        folder = shared
        folder.mkdir(parents=True, exist_ok=True)
    template = folder / f"prefect-{version('prefect')}.db"
    with (folder / ".template.lock").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not template.exists():
            _migrate(template)
    return template


def _migrate(template: Path) -> None:
    draft = template.with_suffix(".draft")
    draft.unlink(missing_ok=True)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    environment |= quiet.SETTINGS | {
        "PREFECT_HOME": str(template.parent / "migrating"),
        "PREFECT_SERVER_DATABASE_CONNECTION_URL": f"sqlite+aiosqlite:///{draft}",
    }
    log = template.with_suffix(".log")
    process = _guarded([sys.executable, "-m", "prefect", "server", "database", "upgrade", "-y"], environment, log)
    try:
        status = process.wait(START_TIMEOUT)
    finally:
        assert process.stdin is not None
        process.stdin.close()
        process.wait()
    if status != 0 or not draft.exists():
        raise ServerError("Prefect's database cannot be prepared", where=str(log), mend="see the end of that log")
    with sqlite3.connect(draft) as connection:
        connection.execute("pragma wal_checkpoint(truncate)")
        connection.execute("pragma journal_mode=delete")
    connection.close()
    draft.replace(template)
    shutil.rmtree(template.parent / "migrating", ignore_errors=True)
    log.unlink(missing_ok=True)
