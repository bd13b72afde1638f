"""The worker pool that every verifier shares.

What must stay true: the verdicts come in the candidates' order and number, whatever the candidates do to the workers.
A worker that is stuck past its own limits is killed and replaced, its other candidates are sent again, and the guilty
one is tried once more alone; then it is ``timeout`` (stuck) or ``error`` (the worker died). No worker outlives the pool
or its parent, and none is forked from a process that has threads: each is a fresh interpreter.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import mmap
import os
import pickle
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import IO, Any, Final, Self

from tracemill.schemas.enums import Outcome
from tracemill.schemas.errors import TracemillError, UsageError
from tracemill.verifiers.base import Candidate, Judgement, Verdict, Verifier
from tracemill.verifiers.worker import HEADER, PLACE, WALL_FACTOR, Sent

Progress = Callable[[int], None]

#: Most candidates, and characters of response, in one message.
BATCH: Final = 64
BATCH_CHARS: Final = 1 << 20
#: A worker is replaced after this many candidates, or above this many resident bytes.
RECYCLE_COUNT: Final = 20_000
RECYCLE_BYTES: Final = 1 << 30
#: Seconds beyond its own limits after which a worker is killed.
GRACE: Final = 1.0
#: Seconds that a worker has to start.
START: Final = 60.0
#: A batch is given up after this many deaths of workers that were on no candidate.
LOST: Final = 3

#: Workers are parallel by themselves; a library in one that starts threads of its own only costs memory.
_ONE_THREAD: Final = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}

_BOOT: Final = "from tracemill.verifiers.worker import main; main()"


@dataclass(eq=False, slots=True)
class _Job:
    verifier: Verifier
    pickled: bytes
    candidates: Sequence[Candidate]
    places: range
    progress: Progress | None
    done: asyncio.Future[None]
    answers: dict[int, list[Any]] = field(default_factory=dict)


class _Died(Exception):
    """The worker is gone; ``place`` is the candidate that it was on, None for none; ``stuck`` if we killed it."""

    def __init__(self, place: int | None, stuck: bool, status: int) -> None:
        super().__init__(place, stuck, status)
        self.place, self.stuck, self.status = place, stuck, status


class _Abandoned(Exception):
    """Nobody waits for the job any more."""


def _spawn(arguments: Sequence[str], fds: tuple[int, int], errors: IO[bytes]) -> subprocess.Popen[bytes]:
    """A fresh interpreter in a session of its own, with our import path."""
    return subprocess.Popen(
        [sys.executable, "-P", "-c", _BOOT, *arguments],
        pass_fds=fds,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=errors,
        start_new_session=True,
        env={**_ONE_THREAD, **os.environ, "PYTHONPATH": os.pathsep.join(p or os.getcwd() for p in sys.path)},
    )


class _Worker:
    """One worker process, seen from the parent. Used by one coroutine at a time."""

    def __init__(self) -> None:
        self._page_file = tempfile.TemporaryFile()  # noqa: SIM115
        self._page_file.truncate(mmap.PAGESIZE)
        self._page = mmap.mmap(self._page_file.fileno(), mmap.PAGESIZE)
        self._batch = 0
        self.checked = 0
        self.resident = 0

    async def start(self) -> None:
        ours, theirs = socket.socketpair()
        page = self._page_file.fileno()
        arguments = [str(theirs.fileno()), str(page), str(os.getpid()), *(p or os.getcwd() for p in sys.path)]
        errors: IO[bytes]
        with theirs, tempfile.TemporaryFile() as errors:
            self.process = _spawn(arguments, (theirs.fileno(), page), errors)
            theirs.close()
            try:
                self._reader, self._writer = await asyncio.open_connection(sock=ours, limit=1 << 24)
                async with asyncio.timeout(START):  # wait_for of Python 3.11 may swallow a cancellation
                    await self._receive()
            except (asyncio.IncompleteReadError, TimeoutError, ConnectionError) as error:
                self.kill()
                errors.seek(0)
                said = errors.read()[-2000:].decode("utf-8", "replace").strip()
                raise TracemillError(
                    "a verification worker did not start" + (f": {said.splitlines()[-1]}" if said else ""),
                    mend="check that this Python can import tracemill, and that there is memory left",
                ) from error
            except asyncio.CancelledError:
                self.kill()
                raise

    async def _receive(self) -> dict[str, Any]:
        (length,) = HEADER.unpack(await self._reader.readexactly(HEADER.size))
        message: dict[str, Any] = json.loads(await self._reader.readexactly(length))
        return message

    async def check(self, job: _Job, places: Sequence[int]) -> None:
        """Check these places of the job; what is answered is in ``job.answers`` even when the worker dies."""
        self._batch += 1
        items = [(place, _sent(job.candidates[place])) for place in places]
        body = pickle.dumps((self._batch, job.pickled, items), protocol=5)
        limit = job.verifier.time_limit * WALL_FACTOR + GRACE
        begun = time.monotonic()
        PLACE.pack_into(self._page, 0, self._batch, -1, begun)
        try:
            self._writer.write(HEADER.pack(len(body)) + body)
            while True:
                message = await self._within(limit, job)
                fresh = 0
                for answer in message["answers"]:
                    job.answers[answer[0]] = answer
                    fresh += 1
                if fresh and job.progress is not None:
                    job.progress(fresh)
                if "done" in message:
                    self.checked += int(message["done"])
                    self.resident = int(message["resident"])
                    return
        except (asyncio.IncompleteReadError, ConnectionError) as error:
            raise self._died(stuck=False) from error
        except TimeoutError as error:
            raise self._died(stuck=True) from error

    async def _within(self, limit: float, job: _Job) -> dict[str, Any]:
        """The next message; TimeoutError when one candidate takes longer than ``limit`` seconds, _Abandoned when the job is."""
        waiting = asyncio.ensure_future(self._receive())
        try:
            while True:
                await asyncio.wait({waiting}, timeout=min(0.25, limit / 4))
                if waiting.done():
                    return await waiting
                if job.done.done():
                    raise _Abandoned
                _, place, started = PLACE.unpack_from(self._page, 0)
                if place >= 0 and time.monotonic() - started > limit:
                    raise TimeoutError
        finally:
            if not waiting.done():
                waiting.cancel()

    def _died(self, *, stuck: bool) -> _Died:
        batch, place, _ = PLACE.unpack_from(self._page, 0)
        status = self.kill()
        return _Died(place if batch == self._batch and place >= 0 else None, stuck, status)

    def kill(self) -> int:
        """End the process and all that it started; its exit status."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)
        status = self.process.wait()
        if hasattr(self, "_writer"):
            self._writer.transport.abort()
        self._page_file.close()
        return status


def _sent(c: Candidate) -> Sent:
    return (c.subject_id, c.response, c.gold, dict(c.spec), c.prompt, c.choices, c.finish_reason)


class VerifierPool:
    """Worker processes shared by all ``verify`` calls; ``workers`` defaults to the CPUs this process may use.

    Workers start with the first candidates. ``async with VerifierPool() as pool: await pool.verify(...)``.
    """

    def __init__(self, workers: int | None = None) -> None:
        if workers is not None and workers < 1:
            raise UsageError(f"workers must be at least 1, not {workers}")
        self.workers = workers or len(os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else (0,))
        self._jobs: asyncio.Queue[_Job] = asyncio.Queue(maxsize=2 * self.workers)
        self._slots: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.close()

    async def close(self) -> None:
        """End the workers; what is being verified is cancelled."""
        slots, self._slots = self._slots, []
        for slot in slots:
            slot.cancel()
        await asyncio.gather(*slots, return_exceptions=True)
        while not self._jobs.empty():
            self._jobs.get_nowait().done.cancel()

    async def verify(
        self, verifier: Verifier, candidates: Sequence[Candidate], progress: Progress | None = None
    ) -> list[Verdict]:
        """One verdict for each candidate, in order. ``progress(n)`` is told of each n that are done.

        Raises UsageError for a check that a worker cannot import, TracemillError where workers cannot start.
        """
        if not candidates:
            return []
        pickled = _pickle(verifier)
        while len(self._slots) < min(self.workers, _fitting(verifier)):
            self._slots.append(asyncio.create_task(self._serve(), name=f"verify-{len(self._slots)}"))
        jobs: list[_Job] = []
        loop = asyncio.get_running_loop()
        try:
            for places in _batches(candidates, self.workers):
                job = _Job(verifier, pickled, candidates, places, progress, loop.create_future())
                jobs.append(job)
                await self._jobs.put(job)
            for job in jobs:
                await job.done
        except BaseException:
            for job in jobs:
                job.done.cancel()
            raise
        finish = partial(_verdict, verifier, verifier.config_hash)
        return [finish(candidates[place], job.answers[place]) for job in jobs for place in job.places]

    async def _serve(self) -> None:
        worker: _Worker | None = None
        try:
            while True:
                job = await self._jobs.get()
                if job.done.done():
                    continue
                try:
                    worker = await self._work(worker, job)
                except TracemillError as error:
                    worker = None
                    if not job.done.done():
                        job.done.set_exception(error)
                    continue
                except asyncio.CancelledError:
                    job.done.cancel()
                    raise
                if not job.done.done():
                    job.done.set_result(None)
        finally:
            if worker is not None:
                worker.kill()

    async def _work(self, worker: _Worker | None, job: _Job) -> _Worker | None:
        owed: list[list[int]] = [list(job.places)]
        suspects: set[int] = set()
        lost = 0
        while owed:
            places = owed.pop()
            if worker is None:
                worker = _Worker()
                await worker.start()
            try:
                await worker.check(job, places)
            except _Died as death:
                worker = None
                place = death.place
                rest = [p for p in places if p not in job.answers and p != place]
                if place is None:
                    lost += 1
                    if lost >= LOST:
                        _give_up(job, [*rest, *(p for group in owed for p in group)], death)
                        break
                elif place not in job.answers:
                    if place in suspects:
                        _give_up(job, [place], death)
                    else:
                        suspects.add(place)
                        owed.append([place])
                if rest:
                    owed.insert(0, rest)
            except _Abandoned:
                worker.kill()
                return None
            except asyncio.CancelledError:
                worker.kill()
                raise
            else:
                if worker.checked >= RECYCLE_COUNT or worker.resident > RECYCLE_BYTES:
                    worker.kill()
                    worker = None
        return worker


def _give_up(job: _Job, places: Sequence[int], death: _Died) -> None:
    if death.stuck:
        outcome, reason = Outcome.TIMEOUT, "stuck: the worker had to be killed, twice"
    else:
        outcome, reason = Outcome.ERROR, f"the worker died ({_status(death.status)}), twice"
    for place in places:
        hashed = job.candidates[place].inputs_hash
        job.answers[place] = [place, hashed, outcome.value, reason, None, None, {}, None, None, None]
    if job.progress is not None:
        job.progress(len(places))


def _status(status: int) -> str:
    if status < 0:
        return f"signal {signal.Signals(-status).name}"
    return f"exit status {status}"


def _pickle(verifier: Verifier) -> bytes:
    where = f"verifier {verifier.name}"
    if getattr(verifier.check, "__module__", None) == "__main__":
        raise UsageError(
            "its check is defined in the main script, which workers cannot import",
            where=where,
            mend="move the function into a module of its own",
        )
    try:
        return pickle.dumps(verifier, protocol=5)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise UsageError(
            f"its check cannot be sent to a worker: {error}", where=where, mend="make it a function of a module"
        ) from error


def _fitting(verifier: Verifier) -> int:
    """How many workers with this verifier's helpers the free memory holds; at least one."""
    if not verifier.worker_bytes:
        return sys.maxsize
    try:
        with open("/proc/meminfo", encoding="ascii") as file:
            free = next(int(line.split()[1]) << 10 for line in file if line.startswith("MemAvailable:"))
    except (OSError, StopIteration):
        return sys.maxsize
    return max(free // verifier.worker_bytes, 1)


def _batches(candidates: Sequence[Candidate], workers: int) -> list[range]:
    most = min(BATCH, -(-len(candidates) // workers))
    batches, start, chars = [], 0, 0
    for index, candidate in enumerate(candidates):
        size = len(candidate.response)
        if index > start and (index - start >= most or chars + size > BATCH_CHARS):
            batches.append(range(start, index))
            start, chars = index, 0
        chars += size
    batches.append(range(start, len(candidates)))
    return batches


def _verdict(verifier: Verifier, config_hash: str, candidate: Candidate, answer: list[Any]) -> Verdict:
    _, inputs_hash, outcome, reason, score, extracted, evidence, isolation, cpu_ms, wall_ms = answer
    judgement = Judgement(Outcome(outcome), reason, score, extracted, evidence, isolation=isolation)
    return Verdict(
        candidate.subject_id,
        verifier.name,
        verifier.version,
        config_hash,
        inputs_hash,
        judgement,
        verifier.level,
        verifier.backend,
        isolation or verifier.isolation,
        cpu_ms,
        wall_ms,
    )


def verify_all(
    verifier: Verifier,
    candidates: Sequence[Candidate],
    workers: int | None = None,
    progress: Progress | None = None,
) -> list[Verdict]:
    """``VerifierPool.verify`` for code that has no event loop, in a pool of its own."""

    async def run() -> list[Verdict]:
        async with VerifierPool(workers) as pool:
            return await pool.verify(verifier, candidates, progress)

    return asyncio.run(run())
