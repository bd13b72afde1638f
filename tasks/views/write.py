"""A view's files: a new generation is written beside the old one and takes its place as a whole.

What must stay true: a reader finds the old generation or the new one, never a mixture; what a killed process left is
removed by the next build; every split that a view promises has a file, with no rows if need be. On an object store,
where folders cannot be renamed, the new files are written first and the old ones removed after.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
from collections.abc import Iterable, Iterator, Mapping
from types import TracebackType
from typing import Any, Final, Self

import pyarrow as pa
import pyarrow.parquet as pq

from tracemill.schemas.errors import StoreError
from tracemill.tasks.store.location import LocalLocation, Location, guarded, location_of

FOLDER: Final = "views"
BUILD_KEY: Final = b"tracemill.build"

#: Rows are held until they are this large, then written as one row group; a batch is at most as large again.
ROW_GROUP_BYTES: Final = 32 << 20

_PART: Final = ".part-"
_OLD: Final = ".old-"


class Generation:
    """New files of some views. ``splits`` of each view are written even when empty; others when they have rows."""

    def __init__(self, run_path: str, build: str, views: Mapping[str, tuple[pa.Schema, Iterable[str]]]) -> None:
        self._location = location_of(run_path)
        self._build = build
        self._schemas = {view: _marked(schema, build) for view, (schema, _) in views.items()}
        self._writers: dict[tuple[str, str], _Writer] = {}
        self._stack = contextlib.ExitStack()
        mark = secrets.token_hex(4)
        local = isinstance(self._location, LocalLocation)
        self._folders = {view: f"{FOLDER}/{_PART}{view}-{mark}" if local else f"{FOLDER}/{view}" for view in views}
        remove_stale(self._location)
        for view, (_, splits) in views.items():
            for split in splits:
                self._writer(view, split)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, trace)
        if kind is not None:
            self.discard()

    def add(self, view: str, split: str, rows: pa.Table) -> None:
        """``rows`` more of ``view``, in the view's schema."""
        if rows.num_rows:
            self._writer(view, split).add(rows.cast(self._schemas[view]))

    def close(self) -> None:
        """Write what is held and make every file durable."""
        for writer in self._writers.values():
            writer.flush()
        self._stack.close()

    def swap(self) -> None:
        """Put the new files in the place of the old, and remove views that are not built any more."""
        for view, folder in self._folders.items():
            if isinstance(self._location, LocalLocation):
                _swap_local(self._location, folder, f"{FOLDER}/{view}")
            else:
                written = {f"{split}-{self._suffix()}" for name, split in self._writers if name == view}
                for name in self._location.names(folder):
                    if name not in written:
                        self._location.remove(f"{folder}/{name}")
        for name in self._location.names(FOLDER):
            if name not in self._folders and isinstance(self._location, LocalLocation):
                shutil.rmtree(self._location.address(f"{FOLDER}/{name}"), ignore_errors=True)

    def discard(self) -> None:
        if isinstance(self._location, LocalLocation):
            for folder in self._folders.values():
                shutil.rmtree(self._location.address(folder), ignore_errors=True)

    def _suffix(self) -> str:
        return "00000.parquet" if isinstance(self._location, LocalLocation) else f"{self._build[-12:]}.parquet"

    def _writer(self, view: str, split: str) -> _Writer:
        if (view, split) not in self._writers:
            folder = self._folders[view]
            self._location.make_folder(folder)
            file = self._stack.enter_context(self._location.create(f"{folder}/{split}-{self._suffix()}"))
            writer = self._writers[view, split] = _Writer(file, self._schemas[view])
            self._stack.callback(writer.abandon)
        return self._writers[view, split]


class _Writer:
    """One file, row group by row group."""

    def __init__(self, file: Any, schema: pa.Schema) -> None:
        self._parquet = pq.ParquetWriter(file, schema, compression="zstd")
        self._held: list[pa.Table] = []
        self._bytes = 0

    def add(self, rows: pa.Table) -> None:
        self._held.append(rows)
        self._bytes += rows.nbytes
        if self._bytes >= ROW_GROUP_BYTES:
            self._write()

    def flush(self) -> None:
        if self._held:  # a row group without rows is more than datasets can read
            self._write()
        self._parquet.close()

    def abandon(self) -> None:
        """Let go of the file, whole or not; where it is full, what is held is lost with it."""
        with contextlib.suppress(OSError, pa.ArrowException):
            self._parquet.close()
        self._parquet.is_open = False

    def _write(self) -> None:
        table = pa.concat_tables(self._held)
        self._parquet.write_table(table, row_group_size=table.num_rows)
        self._held, self._bytes = [], 0


def view_files(run_path: str) -> dict[str, list[str]]:
    """View -> relative paths of its files, as they are now."""
    location = location_of(run_path)
    views = [name for name in location.names(FOLDER) if not name.startswith((_PART, _OLD))]
    return {
        view: [f"{FOLDER}/{view}/{name}" for name in location.names(f"{FOLDER}/{view}") if name.endswith(".parquet")]
        for view in views
    }


def built(run_path: str, build: str, views: Iterable[str]) -> bool:
    """Whether exactly ``views`` are there, all of the generation ``build``."""
    location, files = location_of(run_path), view_files(run_path)
    if set(files) != set(views):
        return False
    return all(paths and all(_mark(location, path) == build for path in paths) for paths in files.values())


def open_files(run_path: str, paths: Iterable[str]) -> Iterator[pq.ParquetFile]:
    """The Parquet files at ``paths`` (relative to the run), one after the other."""
    location = location_of(run_path)
    for path in paths:
        with location.open(path) as source, pq.ParquetFile(source) as file:
            yield file


def remove_stale(location: Location) -> None:
    """Remove what killed builds left."""
    if isinstance(location, LocalLocation):
        for name in location.names(FOLDER):
            if name.startswith((_PART, _OLD)):
                shutil.rmtree(location.address(f"{FOLDER}/{name}"), ignore_errors=True)


def _mark(location: Location, path: str) -> str | None:
    try:
        with location.open(path) as source:
            value = (pq.read_schema(source).metadata or {}).get(BUILD_KEY)
    except StoreError:
        return None
    return None if value is None else value.decode()


def _marked(schema: pa.Schema, build: str) -> pa.Schema:
    return schema.with_metadata({**(schema.metadata or {}), BUILD_KEY: build.encode()})


def _swap_local(location: LocalLocation, new: str, place: str) -> None:
    target = location.address(place)
    aside = os.path.join(os.path.dirname(target), f"{_OLD}{secrets.token_hex(4)}")
    with guarded(target):
        if os.path.lexists(target):
            os.rename(target, aside)
        os.rename(location.address(new), target)
    shutil.rmtree(aside, ignore_errors=True)
