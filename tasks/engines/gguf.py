"""The metadata of a GGUF file: what a model says of itself, read without its weights.

A damaged or foreign file is a ``DataError`` that names it, never a wrong value: every length is checked against the
file's size before it is used. Format: the GGUF specification, versions 2 and 3, little-endian.
"""

from __future__ import annotations

import hashlib
import mmap
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from tracemill.schemas.errors import DataError

_SCALARS: Final[Mapping[int, str]] = {
    0: "B",
    1: "b",
    2: "H",
    3: "h",
    4: "I",
    5: "i",
    6: "f",
    7: "?",
    10: "Q",
    11: "q",
    12: "d",
}
_STRING: Final = 8
_ARRAY: Final = 9


class _Cursor:
    """A place in the file that only moves forward."""

    def __init__(self, data: mmap.mmap) -> None:
        self.data = data
        self.at = 0

    def take(self, size: int) -> bytes:
        end = self.at + size
        if end > len(self.data):
            raise ValueError(f"ends at byte {len(self.data)}, inside a value that ends at byte {end}")
        chunk = self.data[self.at : end]
        self.at = end
        return chunk

    def number(self, code: str) -> Any:
        return struct.unpack("<" + code, self.take(struct.calcsize("<" + code)))[0]

    def text(self) -> str:
        return self.take(self.number("Q")).decode("utf-8", errors="replace")

    def value(self, kind: int) -> Any:
        if kind == _STRING:
            return self.text()
        if kind != _ARRAY:
            if kind not in _SCALARS:
                raise ValueError(f"unknown value type {kind}")
            return self.number(_SCALARS[kind])
        inner, count = self.number("I"), self.number("Q")
        if inner in _SCALARS:
            code = f"{count}{_SCALARS[inner]}"
            return list(struct.unpack("<" + code, self.take(struct.calcsize("<" + code))))
        if count > len(self.data):
            raise ValueError(f"claims {count} values")
        return [self.value(inner) for _ in range(count)]


def read_metadata(path: str | Path) -> dict[str, Any]:
    """Every key and value of the file's header. Raises ``DataError`` where the file is not GGUF or is cut off."""
    where = str(path)
    try:
        with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            cursor = _Cursor(data)
            if cursor.take(4) != b"GGUF":
                raise ValueError("does not begin with the bytes GGUF")
            version = cursor.number("I")
            if version not in (2, 3):
                raise ValueError(f"is of version {version}; 2 and 3 are known")
            cursor.number("Q")  # the number of tensors
            count = cursor.number("Q")
            return {cursor.text(): cursor.value(cursor.number("I")) for _ in range(count)}
    except (OSError, ValueError, struct.error, MemoryError) as error:
        raise DataError(f"not a readable GGUF model: {error}", where=where, mend="name a .gguf file") from error


def content_hash(path: str | Path) -> str:
    """The first 16 hex digits of the file's sha256: the revision of a model that has no other."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]
