"""Messages between the parent and its children: a length, then JSON in ASCII.

Used on both sides. A message has a longest length, and nobody reads one that was not asked for: a child that never stops
talking fills a pipe and waits.
"""

from __future__ import annotations

import json
import os
import struct
from typing import Any, Final

HEADER: Final = struct.Struct("!I")
#: Longest message, in bytes.
LONGEST: Final = 16 << 20

_decode = json.JSONDecoder().decode
_encode = json.JSONEncoder(separators=(",", ":"), allow_nan=True).encode


class TooMuch(Exception):
    """The other side said more than it may."""


def pack(message: Any) -> bytes:
    """``message`` as it goes over the line."""
    body = _encode(message).encode("ascii")
    return HEADER.pack(len(body)) + body


class Line:
    """One end of a stream. Not for two threads."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self._buffer = b""

    def send(self, message: Any) -> None:
        """Write a whole message; BrokenPipeError or ConnectionError where nobody reads."""
        self.write(pack(message))

    def write(self, data: bytes) -> None:
        """Write what ``pack`` made."""
        view = memoryview(data)
        while view:
            view = view[os.write(self.fd, view) :]

    def receive(self) -> Any:
        """The next message, or None at the end; ValueError for what is no message, TooMuch for one that is too long."""
        head = self._read(HEADER.size)
        if head is None:
            return None
        (length,) = HEADER.unpack(head)
        if length > LONGEST:
            raise TooMuch(f"it said {length} bytes at once")
        body = self._read(length)
        return None if body is None else _decode(body.decode("ascii"))

    def _read(self, size: int) -> bytes | None:
        chunks = [self._buffer]
        have = len(self._buffer)
        while have < size:
            chunk = os.read(self.fd, max(65536, min(size - have, 1 << 20)))
            if not chunk:
                self._buffer = b""
                return None
            chunks.append(chunk)
            have += len(chunk)
        data = b"".join(chunks)
        self._buffer = data[size:]
        return data[:size]
