"""A DuckDB connection over the committed rows of runs.

What must stay true: only files that a commit lists are read, so a live run shows whole shards and nothing else; a file of
a table version that this code does not know is refused; of mining and of the views only the newest build counts.
Nothing is downloaded: DuckDB's extensions are neither installed nor loaded on demand.
"""

from __future__ import annotations

import os
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from importlib.resources import files
from typing import Any, Final

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from tracemill.schemas.tables import TABLES, check_version, schema_of
from tracemill.tasks.store import Commit, RunStore
from tracemill.tasks.store.builds import counted
from tracemill.tasks.store.location import location_of
from tracemill.verifiers.equivalence import normal_form
from tracemill.verifiers.kinds import answer_kind

_CONFIG: Final = {"autoinstall_known_extensions": "false", "autoload_known_extensions": "false"}
_FUNNELS: Final = pa.schema(
    [
        ("run", pa.string()),
        ("stage", pa.string()),
        ("place", pa.int64()),
        ("rows_in", pa.int64()),
        ("rows_out", pa.int64()),
    ]
)
_DROPPED: Final = pa.schema(
    [("run", pa.string()), ("stage", pa.string()), ("reason", pa.string()), ("dropped", pa.int64())]
)


def connect(runs: Sequence[RunStore]) -> duckdb.DuckDBPyConnection:
    """An in-memory database with a view per table and those of ``docs/sql.md`` over the committed rows of ``runs``.

    The first column of every view is ``run``: the run's name, followed by ``@`` and its folder where two runs share one.
    The commits are listed when this is called. Raises ``StoreError`` for a table version that is not known.
    """
    labels = _labels(runs)
    commits = {label: current_commits(run) for label, run in zip(labels, runs, strict=True)}
    connection = duckdb.connect(":memory:", config=_CONFIG)
    try:
        _fill(connection, runs, labels, commits)
    except BaseException:
        connection.close()
        raise
    return connection


def _fill(
    connection: duckdb.DuckDBPyConnection,
    runs: Sequence[RunStore],
    labels: Sequence[str],
    commits: dict[str, list[Commit]],
) -> None:
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute(
        f"SET temp_directory = {_quote(os.path.join(tempfile.gettempdir(), f'tracemill-sql-{os.getpid()}'))}"
    )
    _register_remote(connection, runs)
    there = {run.path: frozenset(_check(run)) for run in runs}
    for table in TABLES:
        scans = [
            _scan(_quote(label) + " AS run", _paths(run, table, commits[label]))
            for label, run in zip(labels, runs, strict=True)
            if table in there[run.path]
        ]
        connection.execute(f"CREATE VIEW {table} AS {_union(scans) or _nothing(connection, table)}")
    requests = _union(_requests(labels, runs, commits)) or "SELECT run, '' AS stage, * EXCLUDE (run) FROM requests"
    connection.execute(f"CREATE VIEW _requests AS {requests}")
    _create_funnels(connection, commits)
    connection.create_function("normal_form", _normal, ["VARCHAR"], "VARCHAR", null_handling="special")
    connection.create_function("answer_kind", answer_kind, ["VARCHAR", "BOOLEAN"], "VARCHAR")
    connection.execute(files(__package__).joinpath("views.sql").read_text("utf-8"))


def current_commits(run: RunStore) -> list[Commit]:
    """The commits of ``run`` in the order in which they were made, of what is built anew only the newest whole build."""
    return counted(sorted(run.commits(), key=lambda commit: (commit.created_at, commit.stage, commit.shard)))


def _labels(runs: Sequence[RunStore]) -> list[str]:
    shared = Counter(run.name for run in runs)
    return [run.name if shared[run.name] == 1 else f"{run.name}@{run.path}" for run in runs]


def _paths(run: RunStore, table: str, commits: Iterable[Commit]) -> list[str]:
    shards = (file.path for commit in commits for file in commit.files if file.table == table)
    return [f"{run.path}/{name}" for name in (f"{table}/_empty.parquet", *shards)]


def _requests(labels: Sequence[str], runs: Sequence[RunStore], commits: dict[str, list[Commit]]) -> list[str]:
    scans = []
    for label, run in zip(labels, runs, strict=True):
        by_stage: dict[str, list[Commit]] = {"sample": []}
        for commit in commits[label]:
            by_stage.setdefault(commit.stage, []).append(commit)
        scans += [
            _scan(f"{_quote(label)} AS run, {_quote(stage)} AS stage", _paths(run, "requests", group))
            for stage, group in by_stage.items()
            if stage == "sample" or any(commit.rows("requests") for commit in group)
        ]
    return scans


def _create_funnels(connection: duckdb.DuckDBPyConnection, commits: dict[str, list[Commit]]) -> None:
    funnels: list[dict[str, Any]] = []
    dropped: list[dict[str, Any]] = []
    for label, made in commits.items():
        for place, commit in enumerate(made):
            for funnel in _funnels_of(commit):
                stage = {"run": label, "stage": funnel["stage"]}
                funnels.append({**stage, "place": place, "rows_in": funnel["in"], "rows_out": funnel["out"]})
                dropped += [{**stage, "reason": reason, "dropped": n} for reason, n in funnel["dropped"].items() if n]
    for name, rows, schema in (("_funnels", funnels, _FUNNELS), ("_dropped", dropped, _DROPPED)):
        table = pa.Table.from_pylist(rows, schema=schema)
        connection.register("_arrow", table)
        connection.execute(f"CREATE TABLE {name} AS SELECT * FROM _arrow")
        connection.unregister("_arrow")


def funnels_of(run: RunStore) -> list[dict[str, Any]]:
    """The funnels of ``run`` in the order of its commits: ``stage``, ``in``, ``out``, ``dropped``."""
    return [funnel for commit in current_commits(run) for funnel in _funnels_of(commit)]


def _funnels_of(commit: Commit) -> list[dict[str, Any]]:
    several = commit.info.get("funnels")
    if isinstance(several, list):
        return several
    return [] if commit.funnel is None else [commit.funnel.document()]


def _scan(columns: str, paths: Sequence[str]) -> str:
    return f"SELECT {columns}, * FROM read_parquet([{', '.join(_quote(path) for path in paths)}])"


def _nothing(connection: duckdb.DuckDBPyConnection, table: str) -> str:
    """A scan of no rows, where there is no run."""
    connection.register("_arrow", schema_of(table).empty_table())
    connection.execute(f"CREATE TABLE _no_{table} AS SELECT '' AS run, * FROM _arrow")
    connection.unregister("_arrow")
    return f"SELECT * FROM _no_{table}"


def _union(scans: Sequence[str]) -> str:
    return " UNION ALL ".join(scans)


def _quote(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _check(run: RunStore) -> Iterator[str]:
    """The tables that ``run`` has: one that came with a newer Tracemill is not in a run of before."""
    location = location_of(run.path)
    for table in TABLES:
        name = f"{table}/_empty.parquet"
        if location.exists(name):
            if "://" not in run.path:
                check_version(pq.read_schema(f"{run.path}/{name}"), where=f"{run.path}/{name}")
            yield table


def _register_remote(connection: duckdb.DuckDBPyConnection, runs: Sequence[RunStore]) -> None:
    for protocol in sorted({run.path.split("://")[0] for run in runs if "://" in run.path}):
        import fsspec

        connection.register_filesystem(fsspec.filesystem(protocol))


def _normal(text: str | None) -> str | None:
    return None if text is None else normal_form(text)
