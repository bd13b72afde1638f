"""One Lean process: requests in, answers out, and an end to whatever takes too much.

What must stay true: an answer is taken only if it carries the request's nonce, which the process has not seen before. A
request that is not answered in time, that fills the memory, or that floods the output ends the process; so does any interruption of
the caller, so that no later request ever meets an earlier one's remains.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import selectors
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Mapping
from typing import IO, Any, Final, Literal, Self

from tracemill.schemas.errors import TracemillError
from tracemill.verifiers.lean.backend import Backend, launcher, plain_environment
from tracemill.verifiers.lean.policy import Policy

#: Seconds that a process has to start, and that one has beyond its own limit before it is killed.
START: Final = 240.0
GRACE: Final = 2.0
#: Most bytes on standard output for one request, the answer included.
OUTPUT: Final = 64 << 20
#: A process is replaced after this many requests, whatever its memory.
REQUESTS: Final = 5_000
#: How often memory is looked at while an answer is awaited, in seconds.
LOOK: Final = 0.1

Cause = Literal["time", "memory", "output", "died"]
_MEMORY_WORDS: Final = ("out of memory", "Cannot enlarge memory", "memory access out of bounds", "heap limit", "OOM")
_STACK_WORDS: Final = ("Maximum call stack size exceeded", "Stack overflow", "stack overflow", "deep recursion")


class LeanLost(Exception):
    """The process is gone: it was over time, memory or output, or it died by itself (``detail`` says how)."""

    def __init__(self, cause: Cause, detail: str) -> None:
        super().__init__(cause, detail)
        self.cause, self.detail = cause, detail


class LeanProcess:
    """A back end's process, started on first use and replaced when it was lost or has grown. Not for two threads at once."""

    def __init__(self, backend: Backend, policy: Policy) -> None:
        self.backend, self.policy = backend, policy
        self.starts = 0
        self.requests = 0
        self.version = backend.version
        self._process: subprocess.Popen[bytes] | None = None
        self._errors: IO[bytes] | None = None
        self._buffer = bytearray()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def ready(self) -> None:
        """Have a process that is fit for the next request. Raises TracemillError where none starts."""
        if self.alive and self.requests < REQUESTS and self.resident() <= self.backend.recycle:
            return
        self.close()
        self._start()

    def resident(self) -> int:
        """Bytes of the process in memory; 0 where the system does not say."""
        if self._process is None:
            return 0
        try:
            with open(f"/proc/{self._process.pid}/statm", "rb") as file:
                return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        except (OSError, IndexError):
            return 0

    def cpu_seconds(self) -> float:
        """CPU time of the process so far; 0 where the system does not say."""
        if self._process is None:
            return 0.0
        try:
            with open(f"/proc/{self._process.pid}/stat", "rb") as file:
                fields = file.read().rpartition(b")")[2].split()
            return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        except (OSError, IndexError):
            return 0.0

    def ask(self, request: Mapping[str, Any], limit: float) -> dict[str, Any]:
        """The answer to one request. ``limit`` is in seconds; Lean itself stops at it, and shortly after it is stopped.

        Raises LeanLost where there is no answer, and TracemillError where no process starts.
        """
        self.ready()
        self.requests += 1
        nonce = secrets.token_hex(16)
        message = {**request, "id": self.requests, "nonce": nonce, "timeoutMs": int(limit * 1000)}
        try:
            answer = self._exchange(message, nonce, limit + min(GRACE, limit / 2))
            if answer.get("id") != self.requests:
                raise self._lost("died", "the answer belongs to another request")
            return answer
        except BaseException:
            self.close()  # what was sent may still be running
            raise

    def close(self) -> None:
        """End the process and all that it started."""
        process, self._process = self._process, None
        if process is not None:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGKILL)
            process.wait()
            for stream in (process.stdin, process.stdout):
                if stream is not None:
                    with contextlib.suppress(OSError):
                        stream.close()
        if self._errors is not None:
            self._errors.close()
            self._errors = None
        self._buffer.clear()

    def _start(self) -> None:
        command = launcher(self.backend.command, die_with_parent=threading.current_thread() is threading.main_thread())
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 (closed with the process)
        try:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                cwd=self.backend.folder,
                env=plain_environment(self.backend.environment),
                bufsize=0,
            )
            self.starts += 1
            self.requests = 0
            hello = self._read("ready", START)
            self.version = str(hello.get("version", self.backend.version)).partition(",")[0]
            self._exchange({**self.policy.request(), "id": 0, "nonce": "policy"}, "policy", START)
        except (LeanLost, OSError) as error:
            said = self._said()
            self.close()
            raise TracemillError(
                "Lean did not start" + (f": {said[-300:]}" if said else f": {error}"),
                where=self.backend.label,
                mend="tracemill lean status says what is installed; tracemill lean install --again repairs it",
            ) from error
        except BaseException:
            self.close()
            raise

    def _exchange(self, message: Mapping[str, Any], nonce: str, limit: float) -> dict[str, Any]:
        process = self._process
        if process is None or process.stdin is None:
            raise LeanLost("died", "not started")
        data = memoryview(json.dumps(message).encode() + b"\n")
        try:
            while data:
                data = data[process.stdin.write(data) or 0 :]
        except BrokenPipeError:
            raise self._lost("died", "it does not read") from None
        return self._read(nonce, limit)

    def _read(self, nonce: str, limit: float) -> dict[str, Any]:
        """The line that begins with the nonce; other lines are what a submission printed, and mean nothing."""
        process = self._process
        if process is None or process.stdout is None:
            raise LeanLost("died", "not started")
        mark = f"@@{nonce} ".encode()
        end = time.monotonic() + limit
        seen = scanned = 0
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            while True:
                at = self._buffer.find(b"\n", scanned)
                if at >= 0:
                    line = bytes(self._buffer[:at])
                    del self._buffer[: at + 1]
                    scanned = 0
                    if line.startswith(mark):
                        return self._parsed(line[len(mark) :])
                    continue
                scanned = len(self._buffer)
                left = end - time.monotonic()
                if left <= 0:
                    raise self._lost("time", f"no answer within {limit:g} s")
                if not selector.select(min(left, LOOK)):
                    if self.resident() > self.backend.memory:
                        raise self._lost("memory", f"over {self.backend.memory / 1e9:.1f} GB")
                    continue
                data = os.read(process.stdout.fileno(), 1 << 18)
                if not data:
                    raise self._lost("died", "it ended")
                seen += len(data)
                if seen > OUTPUT:
                    raise self._lost("output", f"over {OUTPUT >> 20} MB of output")
                self._buffer += data

    def _parsed(self, text: bytes) -> dict[str, Any]:
        try:
            answer = json.loads(text)
        except ValueError:
            raise self._lost("died", "its answer is not JSON") from None
        if not isinstance(answer, dict):
            raise self._lost("died", "its answer is not an object")
        return answer

    def _lost(self, cause: Cause, detail: str) -> LeanLost:
        """Why the process is given up; one that died says on standard error whether memory or the stack ran out."""
        if cause != "died":
            return LeanLost(cause, detail)
        if self._process is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(5.0)
        said = self._said()
        if any(word in said for word in _MEMORY_WORDS):
            return LeanLost("memory", "Lean ran out of memory")
        if any(word in said for word in _STACK_WORDS):
            return LeanLost("memory", "Lean ran out of stack")
        status = self._process.poll() if self._process is not None else None
        return LeanLost("died", f"{detail} (exit status {status}): {said[-300:]}")

    def _said(self) -> str:
        """The last of standard error."""
        if self._errors is None:
            return ""
        size = self._errors.seek(0, os.SEEK_END)
        self._errors.seek(max(0, size - 8000))
        return self._errors.read().decode("utf-8", "replace").strip()
