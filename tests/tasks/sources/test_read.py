"""Every row of a file comes out as a row or as a drop that names it; a file that cannot be read is an error that says why."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracemill.schemas.errors import DataError
from tracemill.schemas.records import Drop
from tracemill.tasks.sources.read import Row, clean, read_rows

ROWS = [{"question": "Add two and two.", "answer": "4"}, {"question": "Größe?\nzwei Zeilen", "answer": "5"}]


def values(path: Path) -> list[Any]:
    return [dict(row.values) for row in read_rows(str(path)) if isinstance(row, Row)]


def drops(path: Path) -> list[Drop]:
    return [row for row in read_rows(str(path)) if isinstance(row, Drop)]


def jsonl(rows: list[dict[str, Any]]) -> bytes:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()


def write_parquet(path: Path) -> None:
    pq.write_table(pa.Table.from_pylist(ROWS), path)


def write_csv(path: Path) -> None:
    path.write_text('question,answer\nAdd two and two.,4\n"Größe?\nzwei Zeilen",5\n', encoding="utf-8")


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("a.jsonl", lambda p: p.write_bytes(jsonl(ROWS))),
        ("a.ndjson", lambda p: p.write_bytes(b"\n" + jsonl(ROWS) + b"\n\n")),
        ("a.jsonl.gz", lambda p: p.write_bytes(gzip.compress(jsonl(ROWS)))),
        ("gzipped-without-saying-so.jsonl", lambda p: p.write_bytes(gzip.compress(jsonl(ROWS)))),
        ("bom.jsonl", lambda p: p.write_bytes(b"\xef\xbb\xbf" + jsonl(ROWS))),
        ("array.json", lambda p: p.write_text(json.dumps(ROWS, indent=1))),
        ("object.json", lambda p: p.write_text(json.dumps({"version": 1, "data": ROWS}))),
        ("lines.json", lambda p: p.write_bytes(jsonl(ROWS))),
        ("a.csv", write_csv),
        ("a.parquet", write_parquet),
    ],
)
def test_every_format_gives_the_same_rows(tmp_path: Path, name: str, write: Callable[[Path], object]) -> None:
    write(tmp_path / name)
    assert values(tmp_path / name) == ROWS


def test_a_csv_cell_may_be_longer_than_the_default_limit(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("text\n" + "x" * 200_000 + "\n")
    assert len(values(tmp_path / "a.csv")[0]["text"]) == 200_000


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b'{"a": }', "not JSON: Expecting value at column 7"),
        (b'{"a": "\xe9"}', "not UTF-8: byte 7 of the line is 0xe9"),
        (b"[1]", "a JSON list, not an object"),
        (b'{"a": ' + b"[" * 100_000, "not JSON that can be read: nested too deeply"),
        (b'{"a": ' + b"1" * 5000 + b"}", "not JSON that can be read"),
    ],
)
def test_a_bad_line_is_a_drop_that_names_it_and_the_rest_is_read(tmp_path: Path, line: bytes, said: str) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"a": 1}\n' + line + b'\n{"a": 3}\n')
    assert [row["a"] for row in values(path)] == [1, 3]
    [drop] = drops(path)
    assert (drop.subject_id, drop.stage, drop.reason) == ("a.jsonl:2", "load", "bad_row")
    assert drop.detail is not None
    assert drop.detail.startswith(said)


def test_a_csv_row_with_too_many_fields_is_a_drop(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("a,b\n1,2\n1,2,3\n")
    assert [drop.subject_id for drop in drops(tmp_path / "a.csv")] == ["a.csv:2"]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("empty.jsonl", b"", "the file is empty"),
        ("blank.jsonl", b"\n\n", "no rows"),
        ("wide.jsonl", '{"a": 1}'.encode("utf-16"), "UTF-16"),
        ("latin.csv", "name\nGröße\n".encode("latin-1"), "line 2: not UTF-8: byte 7 is 0xf6"),
        ("cut.jsonl.gz", gzip.compress(jsonl(ROWS) * 50, mtime=0)[:60], "damaged gzip"),
        ("not.parquet", b"PAR1 but not really", "not a readable Parquet file"),
        ("broken.json", b"[{", "not JSON"),
        ("scalar.json", b"3", "no list of rows"),
        ("a.xlsx", b"PK", "unknown file type '.xlsx'"),
    ],
)
def test_a_file_that_cannot_be_read_is_one_error_naming_it(
    tmp_path: Path, name: str, content: bytes, said: str
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(DataError) as caught:
        list(read_rows(str(path)))
    assert str(path) in str(caught.value)
    assert said in str(caught.value)
    assert caught.value.mend


def test_a_missing_file_suggests_its_neighbour(tmp_path: Path) -> None:
    (tmp_path / "problems.jsonl").write_bytes(jsonl(ROWS))
    with pytest.raises(DataError, match=r"did you mean '.*problems\.jsonl'"):
        list(read_rows(str(tmp_path / "problem.jsonl")))


def test_lone_surrogates_become_replacement_characters_and_pairs_stay(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"a": "x\\ud800y", "b": ["\\ud83d\\ude00", {"c": "\\udfff"}]}\n')
    assert values(path) == [{"a": "x\ufffdy", "b": ["\U0001f600", {"c": "\ufffd"}]}]


@given(st.text(st.characters(), max_size=30))
def test_cleaned_text_can_always_be_encoded(text: str) -> None:
    assert len(clean(text).encode()) >= len(text)
    assert clean(clean(text)) == clean(text)
