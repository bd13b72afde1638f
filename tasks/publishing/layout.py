"""The files of a data set repository: which configs there are, and their Parquet files, cleaned while they are copied.

What must stay true: only files that a commit lists, and the views of the newest build, are copied; every row that goes out
went through ``scrub``; a table or view without rows still has its file.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tracemill.schemas.tables import TABLES, check_version, schema_of
from tracemill.tasks.mining import checks as mined
from tracemill.tasks.publishing.scrub import Scrubber, clean, columns_of, refuse_secrets
from tracemill.tasks.queries import connect
from tracemill.tasks.store import RunStore
from tracemill.tasks.store.builds import counted
from tracemill.tasks.store.location import guarded, location_of
from tracemill.tasks.views.write import view_files

#: The tables that explain every row of a view (promise 2); published always, the others when they have rows.
EXPLAINING: Final = (
    "runs", "problems", "policies", "templates", "samplings", "traces", "requests", "verdicts", "trees", "nodes",
    "edges", "drops",
)  # fmt: skip

VIEWS: Final = "views"
DATA: Final = "tables"

#: A file is closed at this size, so that it can be fetched and streamed in parts.
FILE_BYTES: Final = 400 << 20
_ROW_GROUP_BYTES: Final = 32 << 20
_BATCH: Final = 1024


@dataclass(frozen=True, slots=True)
class Config:
    """A view or table of the repository: split -> pattern of its files, and how many rows it has in all.

    Splits without rows have a file and no pattern, and where all are empty there is no config: ``datasets`` refuses to
    load a split that holds nothing.
    """

    name: str
    is_view: bool
    data_files: Mapping[str, str]
    rows: int

    @property
    def loads(self) -> bool:
        return bool(self.data_files)


def write_configs(run: RunStore, folder: str, held: Mapping[str, str]) -> list[Config]:
    """Copy the views and tables of ``run`` into ``folder``; ``held`` are secrets, refused with ``UsageError``."""
    scrubber = Scrubber.here(run.path)
    barred, surprising = _barred(run)
    no_views = {name for subject in barred for view in mined.VIEWS[subject] for name in (view, f"{view}_tokenized")}
    no_tables = {table for subject in barred for table in mined.TABLES[subject]}
    files = {view: paths for view, paths in view_files(run.path).items() if view not in no_views}
    configs = [_view(run, folder, view, paths, scrubber, held) for view, paths in _in_order(files)]
    for table in TABLES:
        if table in no_tables:
            continue
        config = _table(run, folder, table, scrubber, held, "splices" in barred, surprising)
        if config is not None:
            configs.append(config)
    return configs


def _in_order(views: Mapping[str, list[str]]) -> list[tuple[str, list[str]]]:
    order = {name: place for place, name in enumerate(("sft", "rl", "all", "unverified_mix"))}
    return sorted(((v, p) for v, p in views.items() if p), key=lambda item: (order.get(item[0], 9), item[0]))


def _view(
    run: RunStore, folder: str, view: str, paths: list[str], scrubber: Scrubber, held: Mapping[str, str]
) -> Config:
    by_split: dict[str, list[str]] = {}
    for path in paths:
        by_split.setdefault(os.path.basename(path).partition("-")[0], []).append(path)
    counts: dict[str, int] = {}
    order = {"train": 0, "validation": 1, "test": 2}
    splits = sorted(by_split, key=lambda split: (order.get(split, 3), split))
    for split in splits:
        out = _Files(folder, f"{VIEWS}/{view}/{split}")
        for batch in _batches(run, by_split[split]):
            refuse_secrets(batch, f"view {view}", held)
            counts[split] = counts.get(split, 0) + out.add(clean(batch, columns_of(view, scrubber)))
        out.close()
    patterns = {split: f"{VIEWS}/{view}/{split}-*.parquet" for split in splits if counts.get(split)}
    return Config(view, True, patterns, sum(counts.values()))


def _barred(run: RunStore) -> tuple[Collection[str], frozenset[str]]:
    """The mined sets whose checks keep them out, and single splices that are (``tasks.mining.checks``)."""
    spec = run.recipe().mining
    if spec is None:
        return (), frozenset()
    with connect([run]) as connection:
        return mined.kept_out(mined.checks_of(connection, spec), spec).keys(), mined.surprising(connection)


def _table(
    run: RunStore,
    folder: str,
    table: str,
    scrubber: Scrubber,
    held: Mapping[str, str],
    without_splices: bool,
    surprising: frozenset[str],
) -> Config | None:
    paths = [file.path for commit in counted(run.commits()) for file in commit.files if file.table == table]
    if not paths and table not in EXPLAINING:
        return None
    out, rows = _Files(folder, f"{DATA}/{table}/part", schema_of(table)), 0
    for batch in _batches(run, paths, check=True):
        if table == "streams" and without_splices:
            batch = batch.filter(pc.not_equal(batch["linearizer"], "splice"))
        if table == "streams" and surprising:
            batch = batch.filter(pc.invert(pc.is_in(batch["stream_id"], pa.array(sorted(surprising), pa.string()))))
        batch = clean(batch, columns_of(table, scrubber))
        refuse_secrets(batch, f"table {table}", held)
        rows += out.add(batch)
    out.close()
    return Config(table, False, {"train": f"{DATA}/{table}/part-*.parquet"} if rows else {}, rows)


def _batches(run: RunStore, paths: Iterable[str], *, check: bool = False) -> Iterator[pa.Table]:
    """The rows of the files, some at a time; at least one table a file, so that its schema is known."""
    location = location_of(run.path)
    for path in paths:
        with location.open(path) as source, pq.ParquetFile(source) as file:
            if check:
                check_version(file.schema_arrow, where=location.address(path))
            yield file.schema_arrow.empty_table()
            for batch in file.iter_batches(_BATCH):
                yield pa.Table.from_batches([batch], schema=file.schema_arrow)


class _Files:
    """Numbered Parquet files ``<stem>-00000.parquet`` ... of one schema."""

    def __init__(self, folder: str, stem: str, schema: pa.Schema | None = None) -> None:
        self._stem = os.path.join(folder, stem)
        self._schema = schema
        self._count = 0
        self._writer: pq.ParquetWriter | None = None
        self._held: list[pa.Table] = []
        self._bytes = self._file_bytes = 0
        os.makedirs(os.path.dirname(self._stem), exist_ok=True)

    def add(self, rows: pa.Table) -> int:
        if self._schema is None:
            self._schema = rows.schema
        if rows.num_rows:
            self._held.append(rows.cast(self._schema))
            self._bytes += rows.nbytes
        if self._bytes >= _ROW_GROUP_BYTES:
            self._write()
        return int(rows.num_rows)

    def close(self) -> None:
        if self._held or not self._count:
            self._write()
        if self._writer is not None:
            with guarded(self._stem):
                self._writer.close()

    def _write(self) -> None:
        schema = self._schema
        if schema is None:
            return
        with guarded(self._stem):
            if self._writer is not None and self._file_bytes >= FILE_BYTES:
                self._writer.close()
                self._writer = None
            if self._writer is None:
                self._writer = pq.ParquetWriter(f"{self._stem}-{self._count:05d}.parquet", schema, compression="zstd")
                self._count += 1
                self._file_bytes = 0
            if self._held:  # a row group without rows is more than datasets can read
                table = pa.concat_tables(self._held)
                self._writer.write_table(table, row_group_size=table.num_rows)
        self._file_bytes += self._bytes
        self._held, self._bytes = [], 0
