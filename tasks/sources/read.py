"""Rows out of files: JSONL, JSON, CSV, TSV and Parquet, gzipped or not. Every row comes out as a row or as a drop.

A file that cannot be read at all is a ``DataError``; a row that cannot be is a drop named ``file:line``. Strings are valid
Unicode afterwards: lone surrogates (which JSON can write as escapes and Parquet cannot hold) become U+FFFD.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
import re
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from tracemill.schemas.errors import DataError
from tracemill.schemas.records import Drop

_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_SURROGATE_ESCAPE: Final = re.compile(rb"\\u[dD][89a-fA-F]")
_BOMS: Final = ((b"\xff\xfe", "UTF-16"), (b"\xfe\xff", "UTF-16"))
_UTF8_BOM: Final = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a file. ``number`` counts lines (JSONL) or rows from 1; ``split`` is what the file or data set says."""

    path: str
    number: int
    values: Mapping[str, Any]
    split: str | None = None

    @property
    def name(self) -> str:
        """``file:line``, the same on every machine."""
        return f"{os.path.basename(self.path)}:{self.number}"

    @property
    def where(self) -> str:
        """The place as an error names it."""
        return f"{self.path}, row {self.number}"


def read_rows(path: str) -> Iterator[Row | Drop]:
    """The rows of one file, in order; the format follows the name's ending.

    Raises ``DataError`` for a file that is missing, empty, not readable, of an unknown format, or not UTF-8 throughout.
    """
    if not os.path.isfile(path):
        raise DataError("no such file", where=path, mend=_neighbours(path))
    reader = READERS.get(suffix(path))
    if reader is None:
        raise DataError(
            f"unknown file type {suffix(path) or '(none)'!r}",
            where=path,
            mend=f"known: {', '.join(sorted(READERS))}, each also as .gz",
        )
    found = False
    try:
        for row in reader(path):
            found = True
            yield row
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"damaged gzip file: {error}", where=path, mend="copy it again from where it came") from error
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise DataError(f"not a readable Parquet file: {error}", where=path, mend="write the file again") from error
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror or error}", where=path, mend="check the file") from error
    if not found:
        raise DataError("the file holds no rows", where=path, mend="name a file with at least one row")


def suffix(path: str) -> str:
    """The ending that names the format, without ``.gz``: ``.jsonl`` for ``a.jsonl.gz``."""
    stem = path[: -len(".gz")] if path.lower().endswith(".gz") else path
    return os.path.splitext(stem)[1].lower()


def clean(value: Any) -> Any:
    """``value`` with every lone surrogate replaced, in strings at any depth."""
    if isinstance(value, str):
        return _SURROGATE.sub("\ufffd", value)
    if isinstance(value, dict):
        return {clean(key): clean(item) for key, item in value.items()}
    return [clean(item) for item in value] if isinstance(value, list) else value


def _bytes(path: str) -> io.BufferedIOBase:
    with open(path, "rb") as file:
        head = file.read(3)
    if not head:
        raise DataError("the file is empty", where=path, mend="name a file with at least one row")
    for mark, encoding in _BOMS:
        if head.startswith(mark):
            raise DataError(f"the file is {encoding}, not UTF-8", where=path, mend="convert it to UTF-8")
    return gzip.open(path, "rb") if head.startswith(b"\x1f\x8b") else open(path, "rb")


def _json_lines(path: str) -> Iterator[Row | Drop]:
    with _bytes(path) as file:
        for number, line in enumerate(file, 1):
            raw = line.removeprefix(_UTF8_BOM) if number == 1 else line
            if raw.strip():
                yield _json_row(path, number, raw)


def _json_row(path: str, number: int, raw: bytes) -> Row | Drop:
    try:
        values = json.loads(raw.decode())
    except UnicodeDecodeError as error:
        return _bad(path, number, f"not UTF-8: byte {error.start} of the line is 0x{raw[error.start]:02x}")
    except json.JSONDecodeError as error:
        return _bad(path, number, f"not JSON: {error.msg} at column {error.colno}")
    except RecursionError:
        return _bad(path, number, "not JSON that can be read: nested too deeply")
    except ValueError as error:  # an integer of more digits than Python converts
        return _bad(path, number, f"not JSON that can be read: {error}")
    if not isinstance(values, dict):
        return _bad(path, number, f"a JSON {type(values).__name__}, not an object")
    return Row(path, number, clean(values) if _SURROGATE_ESCAPE.search(raw) else values)


def _json_document(path: str) -> Iterator[Row | Drop]:
    """A JSON array of objects, an object with one such array, or (common under this ending) JSON lines."""
    with _bytes(path) as file:
        raw = file.read().removeprefix(_UTF8_BOM)
    try:
        document = json.loads(_decoded(path, raw))
    except (json.JSONDecodeError, RecursionError) as error:
        if raw.lstrip()[:1] == b"{" and b"\n" in raw.strip():
            yield from _json_lines(path)
            return
        raise DataError(f"not JSON: {error}", where=path, mend="mend the file, or write one object a line") from error
    if isinstance(document, dict):
        lists = [value for value in document.values() if isinstance(value, list)]
        document = lists[0] if len(lists) == 1 else [document]
    if not isinstance(document, list):
        raise DataError("holds no list of rows", where=path, mend="write a JSON array of objects")
    for number, values in enumerate(clean(document), 1):
        if isinstance(values, dict):
            yield Row(path, number, values)
        else:
            yield _bad(path, number, f"a JSON {type(values).__name__}, not an object")


def _separated(delimiter: str) -> Callable[[str], Iterator[Row | Drop]]:
    def rows(path: str) -> Iterator[Row | Drop]:
        with _bytes(path) as file:
            text = _decoded(path, file.read().removeprefix(_UTF8_BOM))
        csv.field_size_limit(1 << 30)  # a trace is longer than the default limit of a field
        table = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter)
        try:
            for number, values in enumerate(table, 1):
                if None in values:
                    yield _bad(path, number, f"more fields than the {len(table.fieldnames or ())} columns")
                else:
                    yield Row(path, number, values)
        except csv.Error as error:
            raise DataError(
                f"not CSV: {error}", where=f"{path}, line {table.line_num}", mend="mend the line"
            ) from error

    return rows


def _parquet(path: str) -> Iterator[Row | Drop]:
    with pq.ParquetFile(path) as file:
        number = 0
        for batch in file.iter_batches(batch_size=512):
            try:
                rows = batch.to_pylist()
            except UnicodeDecodeError as error:
                place = f"{path}, rows {number + 1} to {number + batch.num_rows}"
                raise DataError("text that is not UTF-8", where=place, mend="write the file again") from error
            for values in rows:
                number += 1
                yield Row(path, number, values)


READERS: Final[Mapping[str, Callable[[str], Iterator[Row | Drop]]]] = {
    ".jsonl": _json_lines,
    ".ndjson": _json_lines,
    ".json": _json_document,
    ".csv": _separated(","),
    ".tsv": _separated("\t"),
    ".parquet": _parquet,
}


def _decoded(path: str, raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise DataError(
            f"not UTF-8: byte {error.start} is 0x{raw[error.start]:02x}",
            where=f"{path}, line {line}",
            mend="convert the file to UTF-8",
        ) from error


def _bad(path: str, number: int, detail: str) -> Drop:
    return Drop(f"{os.path.basename(path)}:{number}", "load", "bad_row", detail)


def _neighbours(path: str) -> str:
    folder, name = os.path.split(path)
    if os.path.isdir(path):
        return "it is a folder: name a file in it"
    if not os.path.isdir(folder or "."):
        return f"there is no folder {folder!r} either; check the path"
    near = get_close_matches(name, os.listdir(folder or "."), n=1)
    return f"did you mean {os.path.join(folder, near[0])!r}?" if near else "check the path"
