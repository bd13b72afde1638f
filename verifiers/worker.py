"""The worker process: checks candidates one after the other and answers in JSON.

What must stay true: whatever a check does (raises, exits, loops, eats memory), the worker says so in an answer or dies;
it never says ``correct`` for it. Before each candidate the worker writes its place in the batch and the clock to a
shared page, so that the parent knows on which one it is stuck. The parent sends pickles; it reads only JSON.

Limits are measured here: CPU time by ITIMER_PROF, so that a busy machine does not make a candidate late, and twice the
limit in wall time by ITIMER_REAL, for a check that sleeps. Address space is limited by RLIMIT_AS.
"""

from __future__ import annotations

import contextlib
import gc
import json
import mmap
import os
import pickle
import resource
import signal
import socket
import struct
import sys
import time
from collections.abc import Sequence
from types import FrameType
from typing import Any, Final

from tracemill.schemas.enums import Outcome
from tracemill.verifiers.base import EVIDENCE_BYTES, Candidate, Judgement, Verifier

#: Length of a message, before it.
HEADER: Final = struct.Struct("!I")
#: Batch number, place in the batch, monotonic clock at its start; on the page shared with the parent.
PLACE: Final = struct.Struct("=qqd")
#: Wall time allowed for each second of the CPU limit.
WALL_FACTOR: Final = 2.0
#: A batch whose verdicts take longer than this is answered in parts, in seconds.
FLUSH: Final = 0.05
#: What a candidate is sent as: the fields of ``Candidate`` in order.
Sent = tuple[str, str, str | None, dict[str, Any], str, tuple[str, ...] | None, str]


class TimeUp(BaseException):
    """Raised in a check whose time is over; not an ``Exception``, so that ``except Exception`` does not swallow it."""


class _Clock:
    """Raises ``TimeUp`` in the running check, again and again until the check has ended."""

    def __init__(self) -> None:
        self.running = False
        signal.signal(signal.SIGPROF, self._ring)
        signal.signal(signal.SIGALRM, self._ring)

    def _ring(self, signum: int, frame: FrameType | None) -> None:
        if self.running:
            raise TimeUp

    def start(self, seconds: float) -> None:
        self.running = True
        signal.setitimer(signal.ITIMER_PROF, seconds, 0.05)
        signal.setitimer(signal.ITIMER_REAL, seconds * WALL_FACTOR, 0.05)

    def stop(self) -> None:
        self.running = False
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)


def judge(verifier: Verifier, candidate: Candidate, clock: _Clock) -> tuple[Judgement, float, float]:
    """One check under its limits: the judgement, CPU and wall milliseconds."""
    found: object
    wall, cpu = time.perf_counter(), time.process_time()
    try:
        clock.start(verifier.time_limit)
        found = verifier.check(candidate, verifier.config)
        clock.running = False
    except TimeUp:
        found = Judgement(Outcome.TIMEOUT, f"over the limit of {verifier.time_limit:g} s")
    except MemoryError:
        found = Judgement(Outcome.MEMORY, f"over the limit of {verifier.memory_limit} bytes")
    # A check is third-party code on hostile text: SystemExit and KeyboardInterrupt in it are its failure, not ours.
    except BaseException as error:  # noqa: BLE001
        found = failure(error)
    finally:
        clock.stop()
    cpu_ms, wall_ms = (time.process_time() - cpu) * 1e3, (time.perf_counter() - wall) * 1e3
    judged = as_judgement(found)
    return judged, cpu_ms + judged.cpu_ms, wall_ms


def as_judgement(found: object) -> Judgement:
    """What a check returned; a bool is a judgement too, anything else is the check's failure."""
    if isinstance(found, Judgement):
        return found
    if isinstance(found, bool):
        return Judgement(Outcome.CORRECT if found else Outcome.INCORRECT, "the check said so")
    return Judgement(Outcome.ERROR, f"the check returned {type(found).__name__}, not a Judgement")


def failure(error: BaseException) -> Judgement:
    """What an exception in a check says: our failure, with its type and message."""
    kind = f"{type(error).__module__}.{type(error).__qualname__}".removeprefix("builtins.")
    try:
        message = str(error)[:2000]
    # The message of a foreign exception is foreign code too.
    except Exception:  # noqa: BLE001
        message = "(no message)"
    return Judgement(Outcome.ERROR, f"the check raised {kind}", evidence={"exception": kind, "message": message})


def _plain(text: str) -> str:
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def encode(place: int, inputs_hash: str, found: Judgement, cpu_ms: float, wall_ms: float) -> list[Any]:
    """A judgement as the parent reads it. Evidence that is not JSON, or too long, is replaced by a remark."""
    evidence: Any = dict(found.evidence)
    if evidence:
        try:
            written = json.dumps(evidence, allow_nan=False)
        except (TypeError, ValueError, RecursionError):
            written, evidence = "", {"dropped": "the evidence was not JSON"}
        if len(written) > EVIDENCE_BYTES:
            evidence = {"dropped": f"{len(written)} bytes of evidence", "begins": written[: EVIDENCE_BYTES // 4]}
        elif not written.isascii() or "\\ud" in written:
            evidence = json.loads(json.dumps(evidence, ensure_ascii=False).encode("utf-8", "replace"))
    answer = found.answer
    if answer is not None:
        answer = _plain(answer if len(answer) <= EVIDENCE_BYTES else answer[:EVIDENCE_BYTES])
    score = None if found.score is None else float(found.score)
    said = [str(found.outcome), _plain(found.reason), score, answer, evidence]
    return [place, inputs_hash, *said, found.isolation, cpu_ms, wall_ms]


def _limit_memory(limit: int | None) -> None:
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    soft = resource.RLIM_INFINITY if limit is None else limit
    if hard != resource.RLIM_INFINITY and (soft == resource.RLIM_INFINITY or soft > hard):
        soft = hard
    resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def resident() -> int:
    """Bytes of this process in memory; 0 where the system does not say."""
    try:
        with open("/proc/self/statm", "rb") as file:
            return int(file.read().split()[1]) * resource.getpagesize()
    except OSError:
        return 0


class _Line:
    """The worker's end of the socket."""

    def __init__(self, fd: int) -> None:
        self._socket = socket.socket(fileno=fd)
        self._read = self._socket.makefile("rb", buffering=1 << 20)

    def receive(self) -> bytes | None:
        head = self._read.read(HEADER.size)
        if len(head) < HEADER.size:
            return None
        (length,) = HEADER.unpack(head)
        body = self._read.read(length)
        return body if len(body) == length else None

    def send(self, message: dict[str, Any]) -> None:
        body = json.dumps(message, separators=(",", ":")).encode()
        self._socket.sendall(HEADER.pack(len(body)) + body)


def serve(fd: int, page_fd: int) -> None:
    """Answer batches until the parent closes the line."""
    line = _Line(fd)
    page = mmap.mmap(page_fd, mmap.PAGESIZE)
    clock = _Clock()
    verifiers: dict[bytes, Verifier | Judgement] = {}
    line.send({"ready": os.getpid()})
    gc.freeze()
    while (body := line.receive()) is not None:
        batch, sent, items = pickle.loads(body)
        if sent not in verifiers:
            verifiers[sent] = _load(sent)
        try:
            _run(line, page, clock, batch, verifiers[sent], items)
        except BrokenPipeError:
            return


def _load(sent: bytes) -> Verifier | Judgement:
    try:
        loaded = pickle.loads(sent)
    # Unpickling imports the user's module, which may raise anything.
    except BaseException as error:  # noqa: BLE001
        return failure(error)
    return loaded if isinstance(loaded, Verifier) else Judgement(Outcome.ERROR, "not a Verifier")


def _run(
    line: _Line,
    page: mmap.mmap,
    clock: _Clock,
    batch: int,
    verifier: Verifier | Judgement,
    items: Sequence[tuple[int, Sent]],
) -> None:
    if isinstance(verifier, Verifier):
        _limit_memory(verifier.memory_limit)
    answers: list[list[Any]] = []
    flushed = time.monotonic()
    for place, sent in items:
        now = time.monotonic()
        if answers and now - flushed > FLUSH:
            line.send({"batch": batch, "answers": answers})
            answers, flushed = [], now
        candidate = Candidate(*sent)
        unready = None if isinstance(verifier, Judgement) else _prepared(verifier, page, batch)
        PLACE.pack_into(page, 0, batch, place, time.monotonic())
        if isinstance(verifier, Judgement):
            found, cpu_ms, wall_ms = verifier, 0.0, 0.0
        elif unready is not None:
            found, cpu_ms, wall_ms = unready, 0.0, 0.0
        else:
            found, cpu_ms, wall_ms = judge(verifier, candidate, clock)
        answers.append(encode(place, candidate.inputs_hash, found, round(cpu_ms, 4), round(wall_ms, 4)))
    PLACE.pack_into(page, 0, batch, -1, 0.0)
    line.send({"batch": batch, "answers": answers, "done": len(items), "resident": resident()})


def _prepared(verifier: Verifier, page: mmap.mmap, batch: int) -> Judgement | None:
    """Have what the check needs; why there is none. The worker is on no candidate meanwhile."""
    if verifier.prepare is None:
        return None
    PLACE.pack_into(page, 0, batch, -1, 0.0)
    try:
        verifier.prepare(verifier.config)
    # What the check needs is third-party code; without it nothing was found out about the candidate.
    except Exception as error:  # noqa: BLE001
        return failure(error)
    return None


def _die_with(parent: int) -> None:
    """Ask the kernel to kill this process with its parent (Linux); elsewhere the closed line ends it."""
    if sys.platform == "linux":
        import ctypes

        pr_set_pdeathsig = 1
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(0)


def main() -> None:
    """``worker LINE_FD PAGE_FD PARENT_PID PATH...``: the parent's import path comes with the arguments."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    line, page, parent, *path = sys.argv[1:]
    _die_with(int(parent))
    sys.path[:] = path
    null = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1):
        os.dup2(null, stream)
    with contextlib.suppress(KeyboardInterrupt):
        serve(int(line), int(page))
    os._exit(0)
