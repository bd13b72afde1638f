"""Rewrites the WebAssembly module so that it starts in a second: its 201,110 exports become a table and an index.

Lean's interpreter finds compiled functions by name (``dlsym``). As published every one is an export of the module, which costs
seconds at each start and a linear search at each look-up. Here each function gets a fixed slot in the module's table, and a hash
index beside the module maps the names to slots (functions) and addresses (data). Only what the JavaScript itself names stays exported.

Source: WebAssembly Core Specification 2.0, section 5.5 (binary format of modules).
"""

from __future__ import annotations

import array
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from tracemill.schemas.errors import DataError

IMPORT, TABLE, GLOBAL, EXPORT, ELEMENT = 2, 4, 6, 7, 9
FUNCTION_KIND, TABLE_KIND, MEMORY_KIND, GLOBAL_KIND, TAG_KIND = range(5)
#: Slots of the hash index; a power of two well above the number of names.
INDEX_SLOTS: Final = 1 << 19


class _Reader:
    """Reads the binary format from ``at`` on."""

    def __init__(self, data: bytes, at: int) -> None:
        self.data, self.at = data, at

    def byte(self) -> int:
        self.at += 1
        return self.data[self.at - 1]

    def unsigned(self) -> int:
        result = shift = 0
        while True:
            byte = self.byte()
            result |= (byte & 0x7F) << shift
            shift += 7
            if not byte & 0x80:
                return result

    def signed(self) -> int:
        result = shift = 0
        while True:
            byte = self.byte()
            result |= (byte & 0x7F) << shift
            shift += 7
            if not byte & 0x80:
                return result - (1 << shift) if byte & 0x40 else result

    def name(self) -> str:
        length = self.unsigned()
        self.at += length
        return self.data[self.at - length : self.at].decode()

    def limits(self) -> tuple[int, int | None]:
        bounded = self.byte() & 1
        least = self.unsigned()
        return least, self.unsigned() if bounded else None

    def expect(self, byte: int) -> None:
        found = self.byte()
        if found != byte:
            raise DataError(f"byte {found:#x} where {byte:#x} was expected, at {self.at - 1}", where="lean.wasm")


def unsigned(value: int) -> bytes:
    """LEB128."""
    out = bytearray()
    while True:
        byte = value & 0x7F
        value >>= 7
        if not value:
            out.append(byte)
            return bytes(out)
        out.append(byte | 0x80)


def signed(value: int) -> bytes:
    """Signed LEB128."""
    out = bytearray()
    while True:
        byte = value & 0x7F
        value >>= 7
        if (value == 0 and not byte & 0x40) or (value == -1 and byte & 0x40):
            out.append(byte)
            return bytes(out)
        out.append(byte | 0x80)


@dataclass(frozen=True, slots=True)
class Slim:
    """The rewritten module, and where each name that it no longer exports is: a table slot or an address."""

    module: bytes
    symbols: dict[str, int]


@dataclass(frozen=True, slots=True)
class _Imports:
    globals: int
    function_names: frozenset[str]
    data_names: frozenset[str]


def slim(module: bytes, words: frozenset[str]) -> Slim:
    """Move every function export that is not in ``words`` (identifiers of the JavaScript) into the table.

    Raises DataError for a module of another shape than the pinned one's.
    """
    if module[:8] != b"\0asm\1\0\0\0":
        raise DataError("not a WebAssembly module", where="lean.wasm")
    sections = list(_sections(module))
    at = {number: start for number, _, start, _ in sections if number}
    imports = _imports(module, at[IMPORT])
    reader = _Reader(module, at[TABLE])
    reader.expect(1)
    kind = reader.byte()
    least, most = reader.limits()
    constants = _constants(module, at[GLOBAL])
    slots, elements = _elements(module, at[ELEMENT])

    def named(name: str) -> bool:
        return name in words or f"_{name}" in words

    symbols: dict[str, int] = {}
    kept: list[tuple[str, int, int]] = []
    added: list[int] = []
    for name, what, index in _exports(module, at[EXPORT]):
        if what == FUNCTION_KIND:
            if index not in slots:
                slots[index] = least + len(added)
                added.append(index)
            symbols[name] = slots[index]
            if named(name) or name in imports.function_names:
                kept.append((name, what, index))
        elif what == GLOBAL_KIND:
            value = constants[index - imports.globals] if index >= imports.globals else None
            if value is not None:
                symbols[name] = value & 0xFFFFFFFF
            if named(name) or value is None or name in imports.data_names:
                kept.append((name, what, index))
        else:
            kept.append((name, what, index))
    size = least + len(added)
    out = bytearray(module[:8])
    for number, begin, _, end in sections:
        if number == TABLE:
            bounds = unsigned(size) if most is None else unsigned(size) + unsigned(max(most, size))
            out += _section(TABLE, b"\1" + bytes([kind, most is not None]) + bounds)
        elif number == EXPORT:
            items = (unsigned(len(n.encode())) + n.encode() + bytes([k]) + unsigned(i) for n, k, i in kept)
            out += _section(EXPORT, unsigned(len(kept)) + b"".join(items))
        elif number == ELEMENT:
            segment = b"\0\x41" + signed(least) + b"\x0b" + unsigned(len(added)) + b"".join(map(unsigned, added))
            out += _section(ELEMENT, b"\2" + module[elements:end] + segment)
        else:
            out += module[begin:end]
    return Slim(bytes(out), symbols)


def _section(number: int, body: bytes) -> bytes:
    return bytes([number]) + unsigned(len(body)) + body


def _sections(module: bytes) -> Iterator[tuple[int, int, int, int]]:
    """(number, begin with its head, begin of the body, end)."""
    reader = _Reader(module, 8)
    while reader.at < len(module):
        begin = reader.at
        number = reader.byte()
        length = reader.unsigned()
        yield number, begin, reader.at, reader.at + length
        reader.at += length


def _imports(module: bytes, at: int) -> _Imports:
    reader = _Reader(module, at)
    count = 0
    got: list[tuple[str, str]] = []
    for _ in range(reader.unsigned()):
        space, name = reader.name(), reader.name()
        kind = reader.byte()
        if kind == FUNCTION_KIND:
            reader.unsigned()
        elif kind == TABLE_KIND:
            reader.byte()
            reader.limits()
        elif kind == MEMORY_KIND:
            reader.limits()
        elif kind == GLOBAL_KIND:
            reader.at += 2
            count += 1
            got.append((space, name))
        elif kind == TAG_KIND:
            reader.byte()
            reader.unsigned()
        else:
            raise DataError(f"unknown kind of import {kind}", where="lean.wasm")
    return _Imports(
        count,
        frozenset(name for space, name in got if space == "GOT.func"),
        frozenset(name for space, name in got if space == "GOT.mem"),
    )


def _constants(module: bytes, at: int) -> list[int | None]:
    """The value of each global of the module that is an immutable integer constant, None for the others."""
    reader = _Reader(module, at)
    values: list[int | None] = []
    for _ in range(reader.unsigned()):
        reader.byte()
        mutable = reader.byte()
        operation = reader.byte()
        value: int | None = None
        if operation in (0x41, 0x42):
            value = reader.signed()
        elif operation == 0x23:
            reader.unsigned()
        elif operation in (0x43, 0x44):
            reader.at += 4 if operation == 0x43 else 8
        else:
            raise DataError(f"unknown initialiser {operation:#x}", where="lean.wasm")
        reader.expect(0x0B)
        values.append(None if mutable else value)
    return values


def _elements(module: bytes, at: int) -> tuple[dict[int, int], int]:
    """The slot of each function that is in the table already, and where the one element segment begins."""
    reader = _Reader(module, at)
    reader.expect(1)
    begin = reader.at
    reader.expect(0)
    reader.expect(0x41)
    offset = reader.signed()
    reader.expect(0x0B)
    slots: dict[int, int] = {}
    for place in range(reader.unsigned()):
        slots.setdefault(reader.unsigned(), offset + place)
    return slots, begin


def _exports(module: bytes, at: int) -> Iterator[tuple[str, int, int]]:
    reader = _Reader(module, at)
    for _ in range(reader.unsigned()):
        yield reader.name(), reader.byte(), reader.unsigned()


def symbol_index(symbols: dict[str, int]) -> bytes:
    """The hash index: ``INDEX_SLOTS`` triples of little-endian words (hash, second hash, value); a second hash of 0 is empty."""
    mask = INDEX_SLOTS - 1
    table = array.array("I", [0]) * (INDEX_SLOTS * 3)
    for name, value in symbols.items():
        first, second = hashes(name.encode())
        slot = first & mask
        while table[3 * slot + 1]:
            if table[3 * slot] == first and table[3 * slot + 1] == second:
                raise DataError(f"two names have the hashes of {name!r}", where="lean.wasm")
            slot = (slot + 1) & mask
        table[3 * slot : 3 * slot + 3] = array.array("I", [first, second, value])
    return table.tobytes()


def hashes(name: bytes) -> tuple[int, int]:
    """FNV-1a and a second, independent 32-bit hash that is never 0. ``javascript.LOOK_UP`` computes the same."""
    first, second = 0x811C9DC5, 0x9747B28C
    for byte in name:
        first = ((first ^ byte) * 0x01000193) & 0xFFFFFFFF
        second = ((second + byte) * 0x85EBCA6B) & 0xFFFFFFFF
        second ^= second >> 15
    return first, second or 1
