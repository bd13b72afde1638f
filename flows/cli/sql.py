"""``tracemill sql``."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterator
from typing import IO, TYPE_CHECKING, Annotated, Any, Final

import typer

if TYPE_CHECKING:
    import duckdb

FORMATS: Final = ("table", "csv", "json", "parquet")
BATCH: Final = 10_000
#: Most rows that a table on the terminal shows; the other formats give all of them.
TABLE_ROWS: Final = 1000
CELL: Final = 80


def sql(
    query: Annotated[str, typer.Argument(metavar="SELECT", help="DuckDB SQL; - reads it from stdin.")],
    run: Annotated[
        list[str] | None, typer.Option("--run", metavar="DIR", help="A run; repeatable.  [default: all runs]")
    ] = None,
    format_: Annotated[str, typer.Option("--format", help="table, csv, json or parquet")] = "table",
    output: Annotated[str | None, typer.Option(help="Write to this file instead of stdout.")] = None,
) -> None:
    """Query one or many runs, live ones included.

    Every table has a view of its name. Beside them: final_verdict, pass_rate, majority, funnel, disagreements, cost,
    current_traces, blind_baseline, and the macro pass_at_k(n, c, k). docs/sql.md describes them.

    \b
    Examples:
      tracemill sql 'SELECT outcome, count(*) FROM final_verdict GROUP BY ALL'
      tracemill sql 'SELECT avg(pass_at_k(n, c, 4)) FROM pass_rate' --run data/runs/demo
      tracemill sql 'FROM traces' --format parquet --output traces.parquet
    """
    from tracemill.schemas.errors import UsageError

    if format_ not in FORMATS:
        raise UsageError(f"no format {format_!r}", where="--format", mend=f"one of: {', '.join(FORMATS)}")
    if format_ == "parquet" and output is None:
        raise UsageError("Parquet needs a file", where="--format parquet", mend="add --output FILE.parquet")
    import duckdb

    from tracemill.flows.cli.places import open_runs
    from tracemill.tasks.queries import connect

    connection = connect(open_runs(run or []))
    try:
        _answer(connection, sys.stdin.read() if query == "-" else query, format_, output)
    except duckdb.Error as error:
        message = str(error).strip()
        raise UsageError(message, where="SQL") from None
    finally:
        connection.close()


def _answer(connection: duckdb.DuckDBPyConnection, query: str, format_: str, output: str | None) -> None:
    if format_ == "parquet":
        connection.sql(query).write_parquet(output)
        return
    cursor = connection.execute(query)
    names = [column[0] for column in cursor.description or []]
    if output is None:
        _write(cursor, names, format_, sys.stdout)
        return
    from tracemill.schemas.errors import StoreError

    try:
        with open(output, "w", encoding="utf-8", newline="") as file:
            _write(cursor, names, format_, file)
    except OSError as error:
        raise StoreError(f"cannot be written: {error.strerror}", where=output) from error


def _write(cursor: duckdb.DuckDBPyConnection, names: list[str], format_: str, file: IO[str]) -> None:
    match format_:
        case "csv":
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(names)
            for batch in _batches(cursor):
                writer.writerows([_plain(value) for value in row] for row in batch)
        case "json":
            _write_json(cursor, names, file)
        case _:
            _write_table(cursor, names, file)


def _write_json(cursor: duckdb.DuckDBPyConnection, names: list[str], file: IO[str]) -> None:
    opening = "[\n"
    for batch in _batches(cursor):
        for row in batch:
            file.write(opening + json.dumps(dict(zip(names, row, strict=True)), default=str, ensure_ascii=False))
            opening = ",\n"
    file.write("[]\n" if opening == "[\n" else "\n]\n")


def _write_table(cursor: duckdb.DuckDBPyConnection, names: list[str], file: IO[str]) -> None:
    from tracemill.tasks.reporting.grid import Grid, to_text, visible

    rows = cursor.fetchmany(TABLE_ROWS + 1)
    shown = [tuple(_cell(value) for value in row) for row in rows[:TABLE_ROWS]]
    text = to_text(Grid("", tuple(visible(name) for name in names), tuple(shown)))
    file.write(text.removeprefix("\n") + "\n")
    if len(rows) > TABLE_ROWS:
        typer.echo(f"the first {TABLE_ROWS:,} rows; --format csv or json gives all of them", err=True)


def _cell(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | float):
        return value
    text = json.dumps(value, default=str, ensure_ascii=False) if isinstance(value, list | dict) else str(value)
    return text if len(text) <= CELL else text[: CELL - 3] + "..."


def _plain(value: Any) -> Any:
    return json.dumps(value, default=str, ensure_ascii=False) if isinstance(value, list | dict) else value


def _batches(cursor: duckdb.DuckDBPyConnection) -> Iterator[list[tuple[Any, ...]]]:
    while batch := cursor.fetchmany(BATCH):
        yield batch
