"""The parent's end of a fork server: starts it, has it make children, and hears how they ended.

What must stay true: the server is a fresh interpreter with an empty environment, so it holds nothing of ours; a program,
its tests and its data go over a line made here and passed by descriptor. A server that fails or lags is killed, with its
child, and replaced.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import tracemill
from tracemill.schemas.errors import TracemillError
from tracemill.verifiers.code.inside.fence import Layers, Limits
from tracemill.verifiers.code.inside.forkserver import PATIENCE
from tracemill.verifiers.code.inside.line import Line

#: Seconds that a server has to start, and beyond a child's wall limit to say how it ended.
START: Final = 60.0
LAG: Final = 20.0
_PACKET: Final = 4096
_BOOT: Final = (
    "import sys; sys.path.insert(0, sys.argv.pop(1)); from tracemill.verifiers.code.inside.forkserver import main;"
    "del sys.path[0]; main()"
)


class ServerLost(Exception):
    """The fork server is gone; its child with it."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a child ended. ``status``: exit status, or minus the signal; ``over``: the limit (cpu, wall) it was killed at;
    ``stopped``: it was ended because we asked; ``cpu`` and ``wall`` in seconds, ``rss`` in KiB."""

    status: int
    cpu: float
    wall: float
    rss: int
    over: str | None
    stopped: bool


class Child:
    """One confined process. ``line`` is ours to talk with it; ``output`` and ``errors`` are files in memory."""

    def __init__(self, server: Server, line: socket.socket, output: int, errors: int, limits: Limits) -> None:
        self._server, self._socket, self.limits = server, line, limits
        self.line = Line(line.fileno())
        self.output, self.errors = output, errors
        self.ended: Ended | None = None

    def give_line(self) -> int:
        """A descriptor of our end, for another child; ours is of no more use."""
        return self._socket.fileno()

    def close_line(self) -> None:
        self._socket.close()

    def end(self, *, kill: bool = True) -> Ended:
        """Wait for the child's end, with ``kill`` after ending it. Raises ServerLost."""
        if self.ended is None:
            self.ended = self._server.ended(self.limits, kill=kill)
        return self.ended

    def printed(self) -> int:
        """The larger size of its two output files, in bytes."""
        return max(os.fstat(self.output).st_size, os.fstat(self.errors).st_size)

    def read(self, fd: int, most: int) -> bytes:
        """The first ``most`` bytes of an output file."""
        return os.pread(fd, most, 0)


class Server:
    """A running fork server. ``packages`` are imported before any child; ``forbid`` names layers that are not used."""

    def __init__(self, packages: Sequence[str] = (), forbid: Sequence[str] = ()) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        options = {"folders": sorted(set(_folders(packages))), "packages": list(packages), "forbid": list(forbid)}
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-s", "-S", "-P", "-B", "-c", _BOOT, str(Path(tracemill.__file__).parents[1]),
                 str(theirs.fileno()), str(os.getpid()), json.dumps(options)],
                pass_fds=(theirs.fileno(),),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
                cwd="/",
                env={"PYTHONHASHSEED": "0", "PYTHONUTF8": "1", "LANG": "C.UTF-8", "HOME": "/tmp", "TMPDIR": "/tmp",
                     "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
            )  # fmt: skip
        self._control = ours
        self._busy = False
        self._null = os.open(os.devnull, os.O_RDWR)
        self._scratch = ""
        ours.settimeout(START)
        try:
            said = self._hear()
        except BaseException:
            self.close()
            raise
        self.layers = Layers(**said["layers"])
        if not self.layers.namespaces:
            self._scratch = tempfile.mkdtemp(prefix="tracemill-program-")

    def _hear(self) -> dict[str, Any]:
        try:
            body = self._control.recv(_PACKET)
        except OSError as error:
            raise ServerLost(f"it did not answer ({error})") from error
        if not body:
            raise ServerLost(f"it ended (exit status {self._process.wait()})")
        said: dict[str, Any] = json.loads(body)
        if "failed" in said:
            raise ServerLost(said["failed"])
        return said

    @contextmanager
    def child(self, role: str, limits: Limits, stdin: bytes | None = None, also: int | None = None) -> Iterator[Child]:
        """A child in ``role``, gone at the end of the block. ``also`` is a descriptor that it gets as its second line."""
        ours, theirs = socket.socketpair()
        output = os.memfd_create("output", os.MFD_CLOEXEC)
        errors = os.memfd_create("errors", os.MFD_CLOEXEC) if role == "script" else output
        given = self._null
        child = Child(self, ours, output, errors, limits)
        try:
            if stdin is not None:
                given = os.memfd_create("input", os.MFD_CLOEXEC)
                with os.fdopen(os.dup(given), "wb") as file:
                    file.write(stdin)
                os.lseek(given, 0, os.SEEK_SET)
            fds = [given, output, errors, theirs.fileno(), *(() if also is None else (also,))]
            request = {"role": role, "limits": limits.as_json(), "scratch": self._scratch}
            try:
                socket.send_fds(self._control, [json.dumps(request).encode()], fds)
            except OSError as error:
                raise ServerLost(f"it does not listen ({error})") from error
            self._busy = True
            theirs.close()
            yield child
            child.end()
        finally:
            ours.close()
            theirs.close()
            for fd in {output, errors, given} - {self._null}:
                os.close(fd)
            if self._busy:
                self.close()  # left by an exception: the child must not outlive it
            elif self._scratch:
                self._empty()

    def ended(self, limits: Limits, *, kill: bool) -> Ended:
        """Wait until the child has ended and say how. Raises ServerLost."""
        self._control.settimeout(limits.wall * PATIENCE + LAG)
        if kill:
            with contextlib.suppress(OSError):
                self._control.send(b'{"stop":1}')
        said = self._hear()
        self._busy = False
        return Ended(**said)

    def _empty(self) -> None:
        shutil.rmtree(self._scratch, ignore_errors=True)
        os.makedirs(self._scratch, mode=0o700, exist_ok=True)

    def close(self) -> None:
        """End the server and the child that it has."""
        self._busy = False
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.kill()
        self._process.wait()
        self._control.close()
        if self._null >= 0:
            os.close(self._null)
            self._null = -1
        if self._scratch:
            shutil.rmtree(self._scratch, ignore_errors=True)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._null >= 0 and self._process.poll() is None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _folders(packages: Sequence[str]) -> Iterator[str]:
    """The folders that hold ``packages``."""
    for name in packages:
        found = importlib.util.find_spec(name)
        if found is not None and found.origin is not None:
            depth = 2 if found.submodule_search_locations else 1
            yield str(Path(found.origin).parents[depth - 1])


_SERVERS: dict[tuple[str, tuple[str, ...], tuple[str, ...]], Server] = {}
_LOCK: Final = threading.Lock()


def server_for(use: str, packages: tuple[str, ...] = (), forbid: tuple[str, ...] = ()) -> Server:
    """The process's own server for ``use``, started when it is first needed. Raises TracemillError where it cannot start."""
    key = (use, packages, forbid)
    with _LOCK:
        found = _SERVERS.get(key)
        if found is None or not found.alive:
            try:
                found = _SERVERS[key] = Server(packages, forbid)
            except ServerLost as error:
                raise TracemillError(
                    f"the fork server did not start: {error}", where="verifier code", mend="see tracemill doctor"
                ) from error
        return found


def running() -> list[int]:
    """The process ids of this process's servers."""
    with _LOCK:
        return [server.pid for server in _SERVERS.values() if server.alive]


def close_servers() -> None:
    """End this process's servers."""
    with _LOCK:
        while _SERVERS:
            _SERVERS.popitem()[1].close()
