"""The ledger of one open shard: a finished request is in it before anything else happens with it.

What must stay true: a row that was put is durable within 256 rows or 100 ms, whichever comes first; ``get`` sees a row
from the moment it was put; the longest completion of a request wins and the shorter ones are kept; a row that was
damaged on disk is never served as what a model said.

Durable means against the death of the process, SIGKILL included: a committed SQLite transaction is in the operating
system's cache, and ``synchronous=NORMAL`` in WAL mode keeps the file consistent whatever happens. Losing the power may
cost the last transactions of open shards, which is what is promised for the loss of a node; a flush of the disk per
transaction would buy no more than that.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
import zlib
from array import array
from collections.abc import Iterable, Iterator
from contextlib import closing, suppress
from dataclasses import replace
from typing import Any, Final

from tracemill.schemas.errors import StoreError
from tracemill.tasks.engines.base import Completion

BATCH_ROWS: Final = 256
BATCH_SECONDS: Final = 0.1
SUFFIX: Final = ".sqlite"
VERSION: Final = 1
#: Holds several short texts; at 2 KB it halves the time and space that SQLite's default of 4096 takes.
PAGE_BYTES: Final = 16384

_COLUMNS: Final = (
    "request_key, max_tokens, text, checksum, finish_reason, prompt_tokens, completion_tokens, cached_tokens, "
    "reasoning_tokens, logprob_sum, logprob_min, cost_usd, latency_ms, replica, retries, error, confidence"
)
#: Columns of a ledger that was made before confidences were kept; they stand last, so that such a row is a short one.
_FIRST_COLUMNS: Final = 16
_CREATE: Final = f"""
CREATE TABLE IF NOT EXISTS paid ({_COLUMNS});
CREATE UNIQUE INDEX IF NOT EXISTS paid_key ON paid (request_key, max_tokens);
PRAGMA user_version = {VERSION};
"""
_INSERT: Final = f"INSERT OR REPLACE INTO paid ({_COLUMNS}) VALUES ({', '.join('?' * 17)})"
_SELECT: Final = "SELECT * FROM paid WHERE request_key = ? ORDER BY max_tokens DESC"
_SPACE: Final = "see that the disk is well and has space, and give the same command again: it resumes"
_MENDS: Final = {
    sqlite3.SQLITE_FULL: _SPACE,
    sqlite3.SQLITE_IOERR: _SPACE,
    sqlite3.SQLITE_READONLY: "make the ledger's folder writable and give the same command again",
    sqlite3.SQLITE_CANTOPEN: "make the ledger's folder writable and give the same command again",
    sqlite3.SQLITE_BUSY: "end the other process that uses this run",
}
_DAMAGE: Final = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})

Row = tuple[Any, ...]


class Ledger:
    """One SQLite file, open for writing by this process alone. Use it from any thread.

    ``warnings`` says what was found damaged and what was salvaged. Every method raises ``StoreError`` where the disk fails;
    after a failed write so does every later ``put``, because what is not durable must not be built on.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.warnings: list[str] = []
        self._changed = threading.Condition()
        self._queued: list[tuple[str, int, Completion]] = []
        self._unsaved: dict[str, list[tuple[int, Completion]]] = {}
        self._closing = False
        self._failure: StoreError | None = None
        os.makedirs(os.path.dirname(path), exist_ok=True)
        self._writing = self._open()
        self._reader = Reader(path)
        self._known = {key for key, _ in self._reader.paid_for()}
        self._writer = threading.Thread(target=self._write_on, name="ledger", daemon=True)
        self._writer.start()

    def get(self, request_key: str) -> Completion | None:
        """The longest completion that was paid for under ``request_key``, None where there is none."""
        with self._changed:
            if request_key not in self._known:
                return None
            unsaved = list(self._unsaved.get(request_key, ()))
        saved = self._reader.find(request_key)
        found = unsaved if saved is None else [saved, *unsaved]  # at an equal limit the later one
        return None if not found else max(enumerate(found), key=lambda item: (item[1][0], item[0]))[1][1]

    def put(self, request_key: str, max_tokens: int, completion: Completion) -> None:
        """Remember ``completion``, asked for with ``max_tokens``. Returns at once; durable within 256 rows or 100 ms."""
        with self._changed:
            if self._failure is not None:
                raise self._failure
            self._queued.append((request_key, max_tokens, completion))
            self._known.add(request_key)
            self._unsaved.setdefault(request_key, []).append((max_tokens, completion))
            if len(self._queued) in (1, BATCH_ROWS):
                self._changed.notify()

    def close(self) -> None:
        """Write what is buffered and close the file. Closing twice does nothing."""
        with self._changed:
            if self._closing:
                return
            self._closing = True
            self._changed.notify()
        self._writer.join()
        self._reader.close()
        with closing(self._writing):
            if self._failure is not None:
                raise self._failure

    def discard(self) -> None:
        """Remove the file: its shard's commit is durable and nothing will be asked of it again."""
        self.close()
        remove(self.path)

    def _open(self) -> sqlite3.Connection:
        warning = mend(self.path)
        if warning is not None:
            self.warnings.append(warning)
        try:
            return _create(self.path)
        except sqlite3.Error as error:
            raise ledger_error(error, self.path) from error

    def _write_on(self) -> None:
        while True:
            with self._changed:
                while not self._queued and not self._closing:
                    self._changed.wait()
                until = time.monotonic() + BATCH_SECONDS
                while len(self._queued) < BATCH_ROWS and not self._closing:
                    if not self._changed.wait(max(0.0, until - time.monotonic())):
                        break
                batch, self._queued = self._queued, []
            if batch:
                try:
                    with self._writing:
                        self._writing.executemany(_INSERT, (_row(*item) for item in batch))
                except sqlite3.Error as error:
                    with self._changed:
                        self._failure = ledger_error(error, self.path)
                    return
                self._forget(batch)
            elif self._closing:
                return

    def _forget(self, batch: Iterable[tuple[str, int, Completion]]) -> None:
        with self._changed:
            for key, _, completion in batch:
                held = [item for item in self._unsaved[key] if item[1] is not completion]
                if held:
                    self._unsaved[key] = held
                else:
                    del self._unsaved[key]


class Reader:
    """A ledger file read beside its writer, or after it."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._lock = threading.Lock()
        try:
            self._connection = _connect(path, "ro")
            self._bare = not self._connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'paid'").fetchall()
        except sqlite3.Error as error:
            raise ledger_error(error, path) from error

    def find(self, request_key: str) -> tuple[int, Completion] | None:
        """The longest sound completion under ``request_key`` with the limit that it was asked with."""
        if self._bare:  # its writer died before it wrote anything
            return None
        try:
            with self._lock:
                rows = self._connection.execute(_SELECT, (request_key,)).fetchall()
        except sqlite3.Error as error:
            raise ledger_error(error, self.path) from error
        return next((found for found in map(_read, rows) if found is not None), None)

    def paid_for(self) -> list[tuple[str, int]]:
        """Every (request key, max_tokens) in the file."""
        if self._bare:
            return []
        try:
            with self._lock:
                return self._connection.execute("SELECT request_key, max_tokens FROM paid").fetchall()
        except sqlite3.Error as error:
            raise ledger_error(error, self.path) from error

    def close(self) -> None:
        with self._lock:
            self._connection.close()


def write_ledger(path: str, rows: Iterable[tuple[str, int, Completion]]) -> int:
    """Make a ledger at ``path`` of ``rows`` (request key, max_tokens, completion), whole or not at all; returns how many."""
    partial = path + ".part"
    remove(partial)
    count = 0
    try:
        with closing(_create(partial)) as connection:
            connection.execute("PRAGMA synchronous = OFF")  # nothing refers to it until it is renamed
            for row in rows:
                if count % (16 * BATCH_ROWS) == 0:
                    connection.commit()
                connection.execute(_INSERT, _row(*row))
                count += 1
            connection.commit()
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        with open(partial, "rb") as file:
            os.fsync(file.fileno())
    except sqlite3.Error as error:
        remove(partial)
        raise ledger_error(error, path) from error
    os.rename(partial, path)
    return count


def mend(path: str) -> str | None:
    """Salvage the ledger at ``path`` where it is damaged; returns what to tell the user, None where all is well."""
    return None if not os.path.exists(path) or _sound(path) else salvage(path)


def salvage(path: str) -> str:
    """Set the damaged ledger at ``path`` aside and make a new one of its readable rows; returns what to tell the user."""
    aside = f"{path}.corrupt-{time.strftime('%Y%m%dT%H%M%S')}-{os.getpid()}"
    for tail in ("", "-wal", "-shm"):
        with suppress(FileNotFoundError):
            os.rename(path + tail, aside + tail)
    saved = write_ledger(path, readable(aside))
    name = os.path.basename(path)
    return f"ledger {name} was damaged: {saved} finished requests salvaged, the damaged file set aside as {os.path.basename(aside)}"


def remove(path: str) -> None:
    """Remove a ledger and SQLite's files beside it; the main file last, so that what is left is never a lone log."""
    for tail in ("-shm", "-wal", ""):
        with suppress(FileNotFoundError):
            os.unlink(path + tail)


def ledger_error(error: sqlite3.Error, path: str) -> StoreError:
    """``error`` as the user should read it."""
    return StoreError(f"the ledger cannot be used: {error}", where=path, mend=_MENDS.get(_code(error)))


def _code(error: sqlite3.Error) -> int:
    """SQLite's primary result code; 0 for an error of the Python module itself."""
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF


def _connect(path: str, mode: str) -> sqlite3.Connection:
    return sqlite3.connect(
        f"{_uri(path)}?mode={mode}", uri=True, check_same_thread=False, timeout=30.0, cached_statements=16
    )


def _uri(path: str) -> str:
    return "file:" + path.replace("%", "%25").replace("?", "%3f").replace("#", "%23")


def _create(path: str) -> sqlite3.Connection:
    connection = _connect(path, "rwc")
    connection.execute(f"PRAGMA page_size = {PAGE_BYTES}")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.executescript(_CREATE)
    if len(connection.execute("PRAGMA table_info(paid)").fetchall()) == _FIRST_COLUMNS:
        connection.execute("ALTER TABLE paid ADD COLUMN confidence")
    return connection


def _sound(path: str) -> bool:
    """Whether SQLite finds the file whole. Raises ``StoreError`` for one that a newer Tracemill wrote."""
    try:
        with closing(_connect(path, "rw")) as connection:
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            whole = bool(connection.execute("PRAGMA quick_check(1)").fetchone()[0] == "ok")
    except sqlite3.DatabaseError as error:
        if _code(error) not in _DAMAGE:
            raise ledger_error(error, path) from error
        return False
    if version > VERSION:
        raise StoreError(
            f"the ledger has version {version}; this Tracemill knows {VERSION}", where=path, mend="upgrade Tracemill"
        )
    return whole


def readable(path: str) -> Iterator[tuple[str, int, Completion]]:
    """The sound rows of a ledger that may be damaged, each looked up alone so that a bad page costs its own rows only."""
    with closing(_connect(path, "ro")) as connection:
        try:
            last = connection.execute("SELECT max(rowid) FROM paid").fetchone()[0] or 0
        except sqlite3.DatabaseError:
            last = min(os.path.getsize(path) // 64, 1_000_000)
        for rowid in range(1, last + 1):
            try:
                row = connection.execute("SELECT * FROM paid WHERE rowid = ?", (rowid,)).fetchone()
            except sqlite3.DatabaseError as error:
                if _code(error) in (sqlite3.SQLITE_ERROR, sqlite3.SQLITE_NOTADB):  # the table itself is gone
                    return
                continue
            found = None if row is None else _read(row)
            if found is not None:
                yield row[0], *found


def _row(request_key: str, max_tokens: int, c: Completion) -> Row:
    text = c.text.encode("utf-8", "surrogatepass")
    return (
        request_key,
        max_tokens,
        text,
        zlib.crc32(text),
        c.finish_reason,
        c.prompt_tokens,
        c.completion_tokens,
        c.cached_tokens,
        c.reasoning_tokens,
        c.logprob_sum,
        c.logprob_min,
        c.cost_usd,
        c.latency_ms,
        c.replica,
        c.retries,
        c.error,
        None if c.confidence is None else array("d", c.confidence).tobytes(),
    )


def _read(row: Row) -> tuple[int, Completion] | None:
    """The limit and completion of a row as selected; None where the text is not the one that was written."""
    (_, max_tokens, data, checksum, *rest), more = row[:_FIRST_COLUMNS], row[_FIRST_COLUMNS:]
    if not isinstance(data, bytes) or zlib.crc32(data) != checksum or not isinstance(max_tokens, int):
        return None
    try:
        confidence = tuple(array("d", more[0])) if more and isinstance(more[0], bytes) else None
        return max_tokens, replace(Completion(data.decode("utf-8", "surrogatepass"), *rest), confidence=confidence)
    except ValueError:  # neither text nor whole numbers
        return None
