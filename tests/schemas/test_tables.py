"""Every table survives Parquet, DuckDB and ``datasets`` unchanged, and says which version it is."""

from __future__ import annotations

from datetime import UTC, datetime

import datasets
import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tracemill.schemas.errors import StoreError
from tracemill.schemas.tables import TABLES, VERSION_KEY, check_version, schema_of

TEXT = "é \U0001f600 \n\t\"quoted\" 'x' \\ {}"


def value(kind: pa.DataType, size: int):
    """A value of ``kind``; ``size`` 0 is the smallest one (empty text and lists)."""
    if pa.types.is_list(kind):
        return [value(kind.value_type, size) for _ in range(size)]
    if pa.types.is_struct(kind):
        return {field.name: value(field.type, size) for field in kind}
    if pa.types.is_string(kind):
        return TEXT * size
    if pa.types.is_boolean(kind):
        return size > 0
    if pa.types.is_floating(kind):
        return -1.5e300 * size
    if pa.types.is_integer(kind):
        return (2 ** (kind.bit_width - 1) - 1) * (size > 0)
    assert pa.types.is_timestamp(kind)
    return datetime(2026, 1, 2, 3, 4, 5, 678901 * (size > 0), tzinfo=UTC)


def rows(schema: pa.Schema):
    full = [{field.name: value(field.type, size) for field in schema} for size in (0, 1, 2)]
    bare = {field.name: None if field.nullable else value(field.type, 1) for field in schema}
    return [*full, bare]


@pytest.mark.parametrize("name", sorted(TABLES))
def test_a_table_round_trips(name, tmp_path):
    table = pa.Table.from_pylist(rows(schema_of(name)), schema=schema_of(name))
    path = str(tmp_path / "rows.parquet")
    pq.write_table(table, path)

    back = pq.read_table(path)
    assert back.equals(table)
    assert back.schema.equals(schema_of(name))
    assert back.schema.metadata == schema_of(name).metadata
    assert [f.name for f in back.schema if f.nullable] == [f.name for f in schema_of(name) if f.nullable]
    check_version(back.schema, where=path)

    with duckdb.connect() as connection:
        sql = connection.sql("SELECT * FROM read_parquet(?)", params=[path]).to_arrow_table()
    assert sql.cast(schema_of(name)).to_pylist() == table.to_pylist()

    loaded = datasets.Dataset.from_parquet(path, cache_dir=str(tmp_path / "cache"))
    assert loaded.with_format("arrow")[:].cast(schema_of(name)).to_pylist() == table.to_pylist()


@pytest.mark.parametrize("name", sorted(TABLES))
def test_a_key_is_required_and_not_measured(name):
    table = TABLES[name]
    for column in table.key:
        assert not table.schema.field(column).nullable
    assert not set(table.key) & set(table.measured)


@pytest.mark.parametrize("version", [b"0", b"2", b""])
def test_a_version_that_is_not_known_is_refused(version):
    schema = schema_of("traces").with_metadata({**schema_of("traces").metadata, VERSION_KEY: version})
    with pytest.raises(StoreError, match="reads version 1") as refused:
        check_version(schema, where="run/traces/x.parquet")
    assert refused.value.where == "run/traces/x.parquet"
    assert refused.value.mend is not None


def test_a_file_of_somebody_else_is_refused():
    with pytest.raises(StoreError, match="not a Tracemill table"):
        check_version(pa.schema([("a", pa.int64())]), where="x")
