"""The fork server: a bare interpreter, warm and walled in, that makes one confined child for each program.

What must stay true: it never sees a program, a test or an expected value (those go over a line of the child's own, made
by the parent), so no child inherits any; one child at a time; a child is killed at its limits of CPU and wall time, and
with it, by its pid name space or because it could make none, every process that it made. It ends with its parent. The
time that a child stood ready and waited for a processor is not its own: a busy host makes no program late.

On the control line, a sequence of packets: to the parent ``{"ready", "layers"}`` or ``{"failed"}``; from the parent
``{"role", "limits", "scratch"}`` with the child's descriptors, later perhaps ``{"stop"}``; to the parent, once for each
child, ``{"status", "cpu", "wall", "rss", "over", "stopped"}``.
"""

from __future__ import annotations

import _sitebuiltins
import builtins
import contextlib
import gc
import importlib
import json
import os
import resource
import select
import signal
import socket
import sys
import time
from typing import Any, Final

from tracemill.verifiers.code.inside import candidate, fence, kernel, landlock, referee, root, script
from tracemill.verifiers.code.inside.fence import Layers, Limits, Walls
from tracemill.verifiers.code.inside.line import Line
from tracemill.verifiers.code.inside.syscalls import numbers

#: Imported before any child, with the shared libraries that they need: no other is in reach afterwards.
PRELOAD: Final = (
    "abc", "array", "base64", "binascii", "bisect", "calendar", "cmath", "collections", "contextlib", "copy",
    "dataclasses", "datetime", "decimal", "enum", "fractions", "functools", "hashlib", "heapq", "io", "itertools",
    "json", "math", "numbers", "operator", "queue", "random", "re", "statistics", "string", "struct", "tempfile",
    "textwrap", "threading", "time", "traceback", "types", "typing", "unicodedata", "zlib", "_bz2", "_lzma", "_sqlite3",
)  # fmt: skip
#: Seconds between looks at a running child's CPU time.
TICK: Final = 0.05
#: The wall limit holds whatever a child waited for after this many times itself.
PATIENCE: Final = 10
#: Most sets of limits that walls are kept ready for.
KEPT: Final = 64
#: Longest packet on the control line, in bytes.
PACKET: Final = 4096


class Server:
    """One fork server. ``forbid`` names layers that are not to be used even where the host has them."""

    def __init__(self, control: socket.socket, folders: list[str], forbid: set[str]) -> None:
        self._control = control
        self._folders = folders
        self._walls: dict[Limits, Walls] = {}
        self._proc = os.open("/proc", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        namespaces = "namespaces" not in forbid and self._enter()
        self.layers = Layers(
            namespaces=namespaces,
            landlock=0 if "landlock" in forbid else landlock.version(),
            seccomp="seccomp" not in forbid and bool(numbers()),
        )
        abi = self.layers.landlock
        self._files = landlock.Rules([*folders, "/dev/urandom"], ["/dev/null"], abi) if abi else None

    def _enter(self) -> bool:
        """Whether this host lets us have name spaces; tried out by a child, because a failure half-way cannot be undone."""
        child = os.fork()
        if child == 0:
            try:
                root.enter(self._folders)
                born = kernel.fork(fence.FRESH | kernel.CLONE_NEWNET)
                if born == 0:
                    os._exit(0)
                os._exit(os.waitstatus_to_exitcode(os.waitpid(born, 0)[1]) and 1)
            # Any reason is one: the host, its kernel or its policy says no.
            except BaseException:  # noqa: BLE001
                os._exit(1)
        if os.waitpid(child, 0)[1] != 0:
            return False
        root.enter(self._folders)
        kernel.unshare(kernel.CLONE_NEWNET)
        return True

    def serve(self) -> None:
        """Make children until the parent closes the line."""
        gc.collect()
        gc.freeze()
        self._say({"ready": os.getpid(), "layers": self.layers.as_json()})
        while True:
            body, fds, _, _ = socket.recv_fds(self._control, PACKET, 8)
            if not body:
                return
            request = json.loads(body)
            if "role" not in request:
                continue  # a stop that came too late
            self._say(self._child(request, fds))

    def _say(self, message: dict[str, Any]) -> None:
        self._control.send(json.dumps(message).encode())

    def _child(self, request: dict[str, Any], fds: list[int]) -> dict[str, Any]:
        limits = Limits(**request["limits"])
        if limits not in self._walls:
            if len(self._walls) >= KEPT:
                self._walls.clear()
            self._walls[limits] = Walls(limits, self.layers, self._files)
        begun = time.monotonic()
        try:
            child = kernel.fork(self.layers.spaces)
        except OSError as error:
            for fd in fds:
                os.close(fd)
            return {"failed": str(error)}
        if child == 0:
            self._become(request, limits, fds)
        for fd in fds:
            os.close(fd)
        over = self._watch(child, limits, begun)
        _, status, used = os.wait4(child, 0)
        cpu = used.ru_utime + used.ru_stime
        return {
            "status": os.waitstatus_to_exitcode(status),
            "cpu": cpu,
            "wall": time.monotonic() - begun,
            "rss": used.ru_maxrss,
            "over": None if over == "stop" else over or ("cpu" if status and cpu >= limits.cpu else None),
            "stopped": over == "stop",
        }

    def _watch(self, child: int, limits: Limits, begun: float) -> str | None:
        """Wait for the child's end; kill it at a limit (its name is returned) or when told to (``stop``)."""
        pid = os.pidfd_open(child)
        clock = (~child << 3) | 2  # the CPU clock of another process: MAKE_PROCESS_CPUCLOCK of linux/posix-timers.h
        try:
            poll = select.poll()
            poll.register(pid, select.POLLIN)
            poll.register(self._control, select.POLLIN)
            while True:
                ready = {fd for fd, _ in poll.poll(TICK * 1000)}
                if pid in ready:
                    return None
                if self._control.fileno() in ready:
                    signal.pidfd_send_signal(pid, signal.SIGKILL)
                    self._control.recv(PACKET)
                    return "stop"
                over = None
                wall = time.monotonic() - begun
                if wall > limits.wall and (wall > PATIENCE * limits.wall or wall - self._waited(child) > limits.wall):
                    over = "wall"
                else:
                    with contextlib.suppress(OSError):
                        over = "cpu" if time.clock_gettime(clock) > limits.cpu else None
                if over:
                    signal.pidfd_send_signal(pid, signal.SIGKILL)
                    return over
        finally:
            os.close(pid)

    def _waited(self, child: int) -> float:
        """Seconds that the child was ready to run and did not; 0 where the kernel does not say."""
        try:
            file = os.open(f"{child}/schedstat", os.O_RDONLY | os.O_CLOEXEC, dir_fd=self._proc)
        except OSError:
            return 0.0
        try:
            return int(os.read(file, 256).split()[1]) / 1e9
        except (OSError, ValueError, IndexError):
            return 0.0
        finally:
            os.close(file)

    def _become(self, request: dict[str, Any], limits: Limits, fds: list[int]) -> None:
        """In the child: put up the walls and take the part; never returns."""
        status = 70
        try:
            scratch = root.SCRATCH if self.layers.namespaces else request["scratch"]
            self._walls[limits].put_up(fds, scratch)
            signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
            role = request["role"]
            line = Line(fence.LINE)
            status = 0
            if role == "script":
                script.run(line)
            elif role == "referee":
                referee.serve(line, Line(fence.LINE + 1))
            else:
                candidate.serve(line)
        except BaseException:  # noqa: BLE001
            status = status or 1
        os._exit(status)


def _folders(more: list[str]) -> list[str]:
    """The standard library and ``more``, each once and none below another."""
    found = [os.path.realpath(path) for path in [*sys.path, *more] if os.path.isdir(path)]
    return sorted(p for p in set(found) if not any(p != q and p.startswith(q + os.sep) for q in found))


def _preload(packages: list[str]) -> None:
    for name in PRELOAD:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    for name in packages:
        importlib.import_module(name)
    for name in ("exit", "quit"):  # as the interpreter has them when it is not bare
        setattr(builtins, name, _sitebuiltins.Quitter(name, "end of file"))


def main() -> None:
    """``forkserver CONTROL_FD PARENT JSON``: ``folders`` to show, ``packages`` to import, ``forbid`` of layers."""
    fd, parent, options = int(sys.argv[1]), int(sys.argv[2]), json.loads(sys.argv[3])
    control = socket.socket(fileno=fd)
    kernel.die_with_parent()
    if os.getppid() != parent:
        os._exit(0)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        sys.path += options["folders"]
        _preload(options["packages"])
        server = Server(control, _folders(options["folders"]), set(options["forbid"]))
    # Said to the parent, which knows what to do about it.
    except BaseException as error:  # noqa: BLE001
        control.send(json.dumps({"failed": f"{type(error).__name__}: {error}"[:1000]}).encode())
        os._exit(1)
    with contextlib.suppress(OSError, KeyboardInterrupt):
        server.serve()
    os._exit(0)
