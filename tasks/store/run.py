"""The run store: a run is a folder, and its rows are what its commits list.

What must stay true whenever the process is killed or the disk is full: a shard is there with all its tables or not at
all; nothing committed is lost or changed; giving the same command again goes on from there. A shard writes its files,
flushes them, and publishes one commit file last. What a dead process left behind is never read, and ``garbage`` lists it.

``recipe.json`` comes first of all, so a folder is a run from the moment that it holds anything.
"""

from __future__ import annotations

import os
import re
import secrets
import time
from collections.abc import Collection, Mapping, Sequence
from types import TracebackType
from typing import Any, Final, Self

import pyarrow as pa

from tracemill.schemas import ids
from tracemill.schemas.errors import DataError, StoreError, UsageError
from tracemill.schemas.recipe import ImportRecipe, Recipe
from tracemill.schemas.tables import TABLES, schema_of
from tracemill.tasks.store import ledger as ledgers
from tracemill.tasks.store.commits import Commit, CommittedFile, Funnel
from tracemill.tasks.store.history import RECIPE, History, is_of, kind_of, now, refuse_other
from tracemill.tasks.store.ledger import Ledger
from tracemill.tasks.store.location import LocalLocation, Location, guarded, location_of, unfinished
from tracemill.tasks.store.lock import LOCK, RunLock
from tracemill.tasks.store.paid import Paid, paid_rows
from tracemill.tasks.store.tablefile import conform, read_table, write_table

COMMITS: Final = "_commits"
LEDGER: Final = "_ledger"
EMPTY: Final = "_empty.parquet"
REUSED: Final = "reused-"
#: What a run holds before anything was paid for.
BEFORE: Final = frozenset({"runs", "policies", "problems", "drops"})

_STAGE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._]*")
_SHARD: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


class RunStore:
    """One run. ``start`` gives the one writer, ``open`` any number of readers, of a live run too.

    ``path`` is the folder or URL; ``invocation`` counts the starts, from 1; ``warnings`` collects what was damaged and mended.
    """

    def __init__(self, location: Location, history: History, lock: RunLock | None) -> None:
        self.path = location.root
        self.history = history
        self.warnings: list[str] = []
        self._location = location
        self._lock = lock
        self._commits: dict[str, Commit] = {}

    @classmethod
    def start(cls, path: str | os.PathLike[str], recipe: Recipe | ImportRecipe, *, fresh: bool = False) -> RunStore:
        """The run at ``path``, made or resumed, for this process alone until ``close`` or its end.

        ``fresh`` moves a run that is there aside, to ``<path>.old-<time>``; so does another identity where nothing was paid
        for or imported yet, as after a start that a mistyped key made fail. Raises ``UsageError`` for a folder of another
        identity, one that is not a run, and one that another process works on.
        """
        location = location_of(os.fspath(path))
        held = _history(location)
        if fresh or (held is not None and _is_superseded(location, held, recipe)):
            _set_aside(location)
            held = _history(location)
        if held is None:
            _refuse_strangers(location)
        else:
            refuse_other(held, recipe, where=location.root)
        history = held or History.first(recipe)
        lock = RunLock(_writers_home(location, history.run_id))
        try:
            held = _history(location)  # as the last writer left it
            if held is None:
                if not location.publish(RECIPE, history.to_json()):
                    raise UsageError("another process just started a run here", where=location.root)
            else:
                refuse_other(held, recipe, where=location.root)
                history = held.next(recipe)
                location.replace(RECIPE, history.to_json())
            _lay_out(location)
        except BaseException:
            lock.release()
            raise
        return cls(location, history, lock)

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> RunStore:
        """The run at ``path``, to read. Raises ``DataError`` where there is none."""
        location = location_of(os.fspath(path))
        history = _history(location)
        if history is None:
            there = "no run here" if location.names() else "no such run"
            raise DataError(there, where=location.root, mend="list what there is with: tracemill runs")
        return cls(location, history, None)

    def close(self) -> None:
        """Let another process write. What is committed can still be read; closing twice does nothing."""
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def name(self) -> str:
        return self.history.name

    @property
    def run_id(self) -> str:
        return self.history.run_id

    @property
    def invocation(self) -> int:
        return self.history.invocation

    @property
    def document(self) -> dict[str, Any]:
        """The newest recipe as JSON values, with ``kind`` (``synthesize`` or ``import``)."""
        return {"kind": self.history.kind, **self.history.entries[-1].recipe}

    def recipe(self) -> Recipe | ImportRecipe:
        """The newest recipe of the run."""
        return self.history.recipe(where=self._location.address(RECIPE))

    def commit(
        self,
        stage: str,
        shard: str,
        tables: Mapping[str, pa.Table],
        funnel: Funnel | None = None,
        info: Mapping[str, Any] | None = None,
    ) -> Commit:
        """Make the rows of ``tables`` exist, all or none; durable on return. A shard committed already is returned as it is.

        ``stage`` has no dash. Raises ``StoreError`` for rows that are not their table's, and where the disk fails: then
        nothing was committed, and the same call may be made again.
        """
        if not _STAGE.fullmatch(stage) or not _SHARD.fullmatch(shard):
            raise StoreError(f"not a name for a commit: {stage!r}, {shard!r}", where=self.path)
        name = f"{stage}-{shard}.json"
        there = self._commit_named(name)
        if there is not None:
            return there
        whole = {table: conform(table, rows) for table, rows in tables.items()}
        files: list[CommittedFile] = []
        try:
            for table, rows in whole.items():
                if rows.num_rows:
                    files.append(self._write(table, f"{stage}-{shard}", rows))
            commit = Commit(stage, shard, tuple(files), now(), funnel, dict(info or {}))
            published = self._location.publish(f"{COMMITS}/{name}", commit.to_json())
        except StoreError:
            if self._commit_named(name) is None:
                self._remove_quietly([file.path for file in files])
            raise
        if not published:
            self._remove_quietly([file.path for file in files])
        return self._require(name)

    def commits(self, stage: str | None = None) -> list[Commit]:
        """All commits there are now, of one stage or all, ordered by file name. Each is read from disk once."""
        names = [name for name in self._location.names(COMMITS) if name.endswith(".json")]
        return [self._require(name) for name in names if stage is None or name.startswith(f"{stage}-")]

    def is_committed(self, stage: str, shard: str) -> bool:
        return self._commit_named(f"{stage}-{shard}.json") is not None

    def files(self, table: str) -> list[str]:
        """Absolute paths (or URLs) of the committed files of ``table``, the one without rows first."""
        committed = (f.path for commit in self.commits() for f in commit.files if f.table == table)
        return [self._location.address(name) for name in (f"{table}/{EMPTY}", *committed)]

    def read(self, table: str, columns: Sequence[str] | None = None) -> pa.Table:
        """The committed rows of ``table``. Raises ``StoreError`` naming a file that is missing, damaged or of another version."""
        names = [f.path for commit in self.commits() for f in commit.files if f.table == table]
        return self._read(table, names, columns)

    def read_shard(self, commit: Commit, table: str, columns: Sequence[str] | None = None) -> pa.Table:
        """The rows of ``table`` that ``commit`` lists."""
        return self._read(table, [f.path for f in commit.files if f.table == table], columns)

    def committed_attempts(self) -> pa.Table:
        """The attempts that have a trace: ids, path, kind, and how the trace ended; a row a trace."""
        return self.read(
            "traces",
            ["attempt_id", "trace_id", "problem_id", "path", "kind", "finish_reason", "completion_tokens", "error"],
        )

    def ledger(self, shard: str) -> Ledger:
        """The ledger of an open shard, to write. A damaged one is set aside and its readable rows kept: see ``warnings``."""
        with guarded(self._ledgers()):
            opened = Ledger(os.path.join(self._ledgers(), shard + ledgers.SUFFIX))
        self.warnings += opened.warnings
        return opened

    def ledgers(self) -> list[str]:
        """Paths of all ledger files that there are: of open shards, left by earlier starts, and of reused runs."""
        folder = LocalLocation(self._ledgers())
        return [folder.address(name) for name in folder.names() if name.endswith(ledgers.SUFFIX)]

    def paid(self, open_shards: Collection[str] = ()) -> Paid:
        """What earlier starts and reused runs paid for, by request key. Ask the shard's own ledger first.

        The ledgers of ``open_shards`` are left out: they are removed one by one as those shards are committed.
        """
        names = {shard + ledgers.SUFFIX for shard in open_shards}
        others = [path for path in self.ledgers() if os.path.basename(path) not in names]
        self.warnings += filter(None, map(ledgers.mend, others))
        return Paid(others)

    def reuse(self, other: RunStore) -> int:
        """Keep what ``other`` paid for where ``paid`` finds it; returns how many requests, 0 where it was kept already."""
        commits = [f"{commit.stage}-{commit.shard}" for commit in other.commits()]
        with guarded(other.path):
            open_ones = [[path, os.path.getsize(path)] for path in other.ledgers()]
        name = f"{REUSED}{ids.digest('reuse', other.run_id, commits, open_ones)}{ledgers.SUFFIX}"
        path = os.path.join(self._ledgers(), name)
        if os.path.exists(path):
            return 0
        with guarded(path):
            os.makedirs(self._ledgers(), exist_ok=True)
            return ledgers.write_ledger(path, paid_rows(other))

    def garbage(self) -> list[str]:
        """What no reader will ever need, as paths or URLs: shard files without a commit, temporary files, damaged ledgers
        set aside, and ledgers whose every request is committed. On a live run it names work in progress too.
        """
        listed = {file.path for commit in self.commits() for file in commit.files}
        found = [
            f"{table}/{name}"
            for table in TABLES
            for name in self._location.names(table)
            if name != EMPTY and f"{table}/{name}" not in listed
        ]
        found += [f"{COMMITS}/{name}" for name in self._location.names(COMMITS) if unfinished(name)]
        found += [name for name in self._location.names() if unfinished(name)]
        return [self._location.address(name) for name in found] + self._damaged_ledgers() + self._spent_ledgers()

    def collect(self) -> list[str]:
        """Remove what ``garbage`` lists and return it. Raises ``UsageError`` while another process works on the run."""
        lock = RunLock(_writers_home(self._location, self.run_id)) if self._lock is None else None
        try:
            found = self.garbage()
            for path in found:
                if path.startswith(self._ledgers() + os.sep):
                    with guarded(path):
                        ledgers.remove(path)
                else:
                    self._location.remove(path.removeprefix(self.path).lstrip("/"))
            return found
        finally:
            if lock is not None:
                lock.release()

    def drop_spent_ledgers(self) -> None:
        """Remove the ledgers whose every request is committed: a crash between a commit and its clean-up leaves them."""
        for path in self._spent_ledgers():
            with guarded(path):
                ledgers.remove(path)

    def _spent_ledgers(self) -> list[str]:
        open_ones = self.ledgers()
        if not open_ones:
            return []
        requests = self.read("requests", ["request_key", "max_tokens"])
        committed = set(zip(*(column.to_pylist() for column in requests.columns), strict=True))
        return [path for path in open_ones if _all_in(path, committed)]

    def _damaged_ledgers(self) -> list[str]:
        folder = LocalLocation(self._ledgers())
        marks = (f"{ledgers.SUFFIX}.corrupt-", f"{ledgers.SUFFIX}.part")
        names = [name for name in folder.names() if any(mark in name for mark in marks)]
        return [folder.address(name) for name in names if not name.endswith(("-wal", "-shm"))]

    def _ledgers(self) -> str:
        return os.path.join(_writers_home(self._location, self.run_id), LEDGER)

    def _commit_named(self, name: str) -> Commit | None:
        if name not in self._commits:
            data = self._location.read(f"{COMMITS}/{name}")
            if data is None:
                return None
            self._commits[name] = Commit.from_json(data, where=self._location.address(f"{COMMITS}/{name}"))
        return self._commits[name]

    def _require(self, name: str) -> Commit:
        commit = self._commit_named(name)
        if commit is None:
            raise StoreError("the commit is gone", where=self._location.address(f"{COMMITS}/{name}"))
        return commit

    def _write(self, table: str, stem: str, rows: pa.Table) -> CommittedFile:
        name = f"{table}/{stem}-{secrets.token_hex(4)}.parquet"  # never the name of an attempt that died
        with self._location.create(name) as file:
            write_table(file, rows)
        return CommittedFile(table, name, rows.num_rows, self._location.size(name))

    def _read(self, table: str, names: Sequence[str], columns: Sequence[str] | None) -> pa.Table:
        schema = schema_of(table)
        parts = [schema.empty_table() if columns is None else schema.empty_table().select(list(columns))]
        for name in names:
            with self._location.open(name) as source:
                parts.append(read_table(source, columns, where=self._location.address(name)))
        return pa.concat_tables(parts)

    def _remove_quietly(self, names: Sequence[str]) -> None:
        """Clean up after a commit that did not come about; what cannot be removed is garbage, and no reader sees it."""
        for name in names:
            try:
                self._location.remove(name)
            except StoreError:
                return


def _history(location: Location) -> History | None:
    data = location.read(RECIPE)
    return None if data is None else History.from_json(data, where=location.address(RECIPE))


def _is_superseded(location: Location, held: History, recipe: Recipe | ImportRecipe) -> bool:
    """Whether ``recipe`` is another identity of a local run that holds nothing which was paid for or imported."""
    if is_of(held, recipe) or held.kind != kind_of(recipe) or not isinstance(location, LocalLocation):
        return False
    there = RunStore(location, held, None)
    made = {file.table for commit in there.commits() for file in commit.files}
    return made <= BEFORE and all(_all_in(path, set()) for path in there.ledgers())


def _refuse_strangers(location: Location) -> None:
    strangers = [name for name in location.names() if name != LOCK and not unfinished(name)]
    if strangers:
        raise UsageError(
            f"the folder is not empty and not a run (it holds {', '.join(strangers[:3])})",
            where=location.root,
            mend="give a new or empty folder with --out",
        )


def _set_aside(location: Location) -> None:
    if not isinstance(location, LocalLocation):
        raise UsageError(
            "--fresh cannot move a run on an object store aside", where=location.root, mend="give another --out"
        )
    if not location.exists(RECIPE):
        return
    lock = RunLock(location.root)
    try:
        with guarded(location.root):
            os.rename(location.root, f"{location.root}.old-{time.strftime('%Y%m%dT%H%M%S')}-{secrets.token_hex(2)}")
    finally:
        lock.release()


def _lay_out(location: Location) -> None:
    """Every table's folder with its file without rows, remade where a loss of power left it short."""
    location.make_folder(COMMITS)
    for table in TABLES:
        name = f"{table}/{EMPTY}"
        sink = pa.BufferOutputStream()
        write_table(sink, schema_of(table).empty_table())
        data = sink.getvalue().to_pybytes()
        if location.read(name) != data:
            location.make_folder(table)
            location.replace(name, data, durable=False)
    for folder in ("views", "report"):
        location.make_folder(folder)


def _writers_home(location: Location, run_id: str) -> str:
    """Where the lock and the ledgers are: a local disk always, so for a run on an object store the user's cache."""
    if isinstance(location, LocalLocation):
        return location.root
    home = os.environ.get("TRACEMILL_HOME") or os.path.join(os.path.expanduser("~"), ".cache", "tracemill")
    return os.path.join(home, "ledger", run_id)


def _all_in(path: str, committed: set[tuple[str, int]]) -> bool:
    """Whether every request of the ledger at ``path`` is committed; not so where it cannot be read."""
    try:
        reader = ledgers.Reader(path)
    except StoreError:
        return False
    try:
        return all(key in committed for key in reader.paid_for())
    finally:
        reader.close()
