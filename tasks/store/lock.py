"""One writer a run: a second process that would write to it is told so, and by which process.

A record lock of the operating system, held as long as the process lives and gone however it dies. It is not inherited by
forked workers (as ``flock``'s is), so an orphaned worker cannot keep a killed run from resuming. Within one process, where
record locks do not exclude, a register does.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import Final

from tracemill.schemas.errors import UsageError
from tracemill.tasks.store.location import guarded

LOCK: Final = "_lock"

_held: dict[str, int] = {}


class RunLock:
    """The right to write in ``folder``, taken at once or refused with a ``UsageError``."""

    def __init__(self, folder: str) -> None:
        self._path = os.path.join(os.path.realpath(folder), LOCK)
        if _held.get(self._path) == os.getpid():
            raise _running(folder, str(os.getpid()))
        with guarded(self._path):
            os.makedirs(folder, exist_ok=True)
            self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            fcntl.lockf(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._descriptor)
            raise _running(folder, Path(self._path).read_text().strip() or "unknown") from error
        _held[self._path] = os.getpid()
        with guarded(self._path):
            os.truncate(self._descriptor, 0)
            os.pwrite(self._descriptor, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        """Let another process write. Releasing twice does nothing."""
        if _held.get(self._path) == os.getpid():
            del _held[self._path]
            os.close(self._descriptor)


def _running(folder: str, process: str) -> UsageError:
    return UsageError(
        f"already running (process {process})",
        where=folder,
        mend="wait for it or end it, or give another folder with --out",
    )
