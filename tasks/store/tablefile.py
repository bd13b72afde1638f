"""A table's Parquet file: what is written is exactly the table's schema, and what is read says which version it has."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import IO, Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from tracemill.schemas.errors import StoreError
from tracemill.schemas.tables import TABLES, check_version, schema_of

#: Bytes of Arrow data in a row group at the most, unless one row alone is larger; Parquet's own form is close to it.
ROW_GROUP_BYTES: Final = 64 << 20


def conform(name: str, table: pa.Table) -> pa.Table:
    """``table`` as the schema of ``name`` has it: columns in order, absent optional ones null.

    Raises ``StoreError`` for a table or column that is not ours, a value of another type, and a null in a required column.
    """
    if name not in TABLES:
        raise StoreError(f"no such table: {name}", mend=f"one of {', '.join(sorted(TABLES))}")
    schema = schema_of(name)
    if table.schema.equals(schema, check_metadata=True):
        whole = table
    else:
        extra = sorted(set(table.column_names) - set(schema.names))
        if extra:
            raise StoreError(f"columns that the table does not have: {', '.join(extra)}", where=f"table {name}")
        columns = []
        for field in schema:
            try:
                columns.append(
                    table.column(field.name).cast(field.type)
                    if field.name in table.column_names
                    else pa.nulls(table.num_rows, field.type)
                )
            except pa.ArrowException as error:
                raise StoreError(str(error), where=f"table {name}, column {field.name}") from error
        whole = pa.Table.from_arrays(columns, schema=schema)
    for field, column in zip(schema, whole.columns, strict=True):
        if not field.nullable and column.null_count:
            raise StoreError(f"{column.null_count} empty values", where=f"table {name}, required column {field.name}")
    return whole


def write_table(file: IO[bytes], table: pa.Table) -> None:
    """Write ``table`` to ``file`` in row groups of at most ``ROW_GROUP_BYTES``."""
    with pq.ParquetWriter(file, table.schema, compression="zstd") as writer:
        if table.num_rows == 0:
            writer.write_table(table)
        for part in _parts(table):
            writer.write_table(part, row_group_size=part.num_rows)


def _parts(table: pa.Table) -> Iterator[pa.Table]:
    if table.num_rows <= 1 or table.nbytes <= ROW_GROUP_BYTES:
        if table.num_rows:
            yield table
        return
    half = table.num_rows // 2
    yield from _parts(table.slice(0, half))
    yield from _parts(table.slice(half))


def read_table(source: Any, columns: Sequence[str] | None, *, where: str) -> pa.Table:
    """The table in ``source`` (a path or an open file), refused where its version is not known; ``where`` names it."""
    with pq.ParquetFile(source) as file:
        check_version(file.schema_arrow, where=where)
        return file.read(columns=None if columns is None else list(columns))
