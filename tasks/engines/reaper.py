"""The end of a server: whatever ends the process that wanted it, nothing of the server stays behind.

Run as a program (``python -I -S reaper.py GRACE COMMAND...``; the standard library alone) this file is the guard between
us and a server. It is the sub-reaper of all the server's descendants, so none can leave its sight, whatever session or
group it makes for itself; it holds the read end of a pipe from us, so it learns of our death at once, SIGKILL included.
When the server ends, or we do, or we close the pipe, it ends every descendant and only then itself.

Should the guard be killed too, every process of the server still carries the server's token in its environment, and the
next start finds it by the pid file and that token. A process is only ever signalled through a pidfd that was opened
before its token was read, so a reused pid is never hit.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import select
import signal
import sys
import time
from pathlib import Path

#: The environment variable that marks every process of a server with the server's token.
MARK = "TRACEMILL_SERVER"

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36


def start_time(pid: int) -> str | None:
    """When ``pid`` was started, in clock ticks since boot (field 22 of /proc/PID/stat); None where it is not running."""
    fields = _stat(pid)
    return None if fields is None or fields[0] in ("Z", "X") else fields[19]


def carriers(token: str) -> list[int]:
    """The running processes whose environment carries ``token``."""
    return [pid for pid in _pids() if _carries(pid, token)]


def kill_carriers(token: str, patience: float = 5.0) -> list[int]:
    """SIGKILL to every process that carries ``token``, until none is left; returns those that were there.

    Raises ``TimeoutError`` where some still run after ``patience`` seconds.
    """
    deadline = time.monotonic() + patience
    killed: set[int] = set()
    while found := carriers(token):
        for pid in found:
            if _kill(pid, token):
                killed.add(pid)
        if time.monotonic() > deadline:
            raise TimeoutError(f"processes {found} do not end")
        time.sleep(0.01)
    return sorted(killed)


def write_pid_file(folder: Path, token: str, guard: int, command: list[str]) -> Path:
    """Note a server under ``folder``: its guard, its owner (this process), and its command. Atomic."""
    path = folder / f"{token}.json"
    document = {
        "token": token,
        "guard": guard,
        "guard_start": start_time(guard),
        "owner": os.getpid(),
        "owner_start": start_time(os.getpid()),
        "command": command,
    }
    draft = path.with_suffix(".tmp")
    draft.write_text(json.dumps(document))
    draft.replace(path)
    return path


def reap_orphans(folder: Path) -> list[int]:
    """End what servers noted under ``folder`` left behind whose owners are gone; returns the pids that were ended.

    A server whose owner still runs (same pid and same start time) is left alone. An unreadable note is removed.
    """
    ended: list[int] = []
    for path in sorted(folder.glob("*.json")):
        try:
            document = json.loads(path.read_text())
            owner, owner_start, token = document["owner"], document["owner_start"], document["token"]
        except (OSError, ValueError, KeyError, TypeError):
            path.unlink(missing_ok=True)
            continue
        if owner_start is not None and start_time(owner) == owner_start:
            continue
        ended += kill_carriers(token)
        path.unlink(missing_ok=True)
    return ended


def _pids() -> list[int]:
    try:
        return [int(name) for name in os.listdir("/proc") if name.isdigit()]
    except OSError:
        return []


def _stat(pid: int) -> list[str] | None:
    """The fields of /proc/PID/stat from the state on; the name before them may hold anything."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()
    except OSError:
        return None


def _carries(pid: int, token: str) -> bool:
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            return f"{MARK}={token}".encode() in file.read().split(b"\0")
    except OSError:
        return False


def _kill(pid: int, token: str) -> bool:
    try:
        handle = os.pidfd_open(pid)
    except OSError:
        return False
    try:
        if not _carries(pid, token):
            return False
        signal.pidfd_send_signal(handle, signal.SIGKILL)
    except OSError:
        return False
    finally:
        os.close(handle)
    return True


def _descendants(ancestor: int) -> list[int]:
    children: dict[int, list[int]] = {}
    for pid in _pids():
        fields = _stat(pid)
        if fields is not None and fields[0] not in ("Z", "X"):
            children.setdefault(int(fields[1]), []).append(pid)
    found, queue = [], [ancestor]
    while queue:
        below = children.get(queue.pop(), [])
        found += below
        queue += below
    return found


def _prctl(option: int, value: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0)


def _spawn(command: list[str]) -> int:
    """Start ``command`` in a session of its own; it dies with the guard."""
    guard = os.getpid()
    pid = os.fork()
    if pid:
        return pid
    try:
        os.setsid()
        _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)
        if os.getppid() == guard:
            os.execvp(command[0], command)
    except OSError as error:
        os.write(2, f"cannot start {command[0]}: {error}\n".encode())
    finally:
        os._exit(127)


def _reap(server: int, status: int | None) -> tuple[int | None, bool]:
    """Collect every ended child. Gives the server's exit status once known, and whether any child is left."""
    while True:
        try:
            pid, raw = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return status, False
        if pid == 0:
            return status, True
        if pid == server:
            code = os.waitstatus_to_exitcode(raw)
            status = code if code >= 0 else 128 - code


def _guard(grace: float, command: list[str]) -> int:
    owner = os.getppid()
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    wake, wakes = os.pipe()
    for end in (wake, wakes):
        os.set_blocking(end, False)
    signal.set_wakeup_fd(wakes, warn_on_full_buffer=False)
    asked: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda received, _: asked.append(received))
    signal.signal(signal.SIGCHLD, lambda *_: None)

    server = _spawn(command)
    status: int | None = None
    deadline: float | None = None  # once set, we are ending; past it, by force
    watched = [0, wake]
    while True:
        status, any_left = _reap(server, status)
        if not any_left:
            return 0 if status is None else status
        now = time.monotonic()
        if status is not None or (deadline is not None and now > deadline):
            for pid in _descendants(os.getpid()):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        ready, _, _ = select.select(watched, [], [], 1.0 if deadline is None else 0.05)
        if wake in ready:
            os.read(wake, 4096)
        gone = 0 in ready and os.read(0, 4096) == b""
        if gone:
            watched = [wake]
        if deadline is None and (gone or asked or os.getppid() != owner):
            deadline = time.monotonic() + grace
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(server, signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(_guard(float(sys.argv[1]), sys.argv[2:]))
