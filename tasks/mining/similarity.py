"""How alike two texts are, over tokens: words and punctuation marks, white space apart.

sim(y, y') = 1 - d(y, y') / (|y| + |y'|) with d the edit distance of insertions and deletions (§2.23), so it is symmetric,
0 for texts without a common token in order and 1 for equal ones. Distances are rapidfuzz's, exact; a text is first
written as one character per token, which is what makes them fast.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from rapidfuzz.distance import Indel
from rapidfuzz.process import cpdist

Floats = np.ndarray[tuple[int, ...], np.dtype[np.float64]]
Integers = np.ndarray[tuple[int, ...], np.dtype[np.uint64]]

_TOKEN: Final = re.compile(r"\w+|[^\w\s]")

#: Code points that may stand for a token: all but the surrogates and the first, in this order.
_FIRST: Final = 1
_GAP: Final = 0xD800
_GAP_SIZE: Final = 0x800
_MOST: Final = 0x110000 - _GAP_SIZE - _FIRST


class Alphabet:
    """One character for each token, the same for all texts that are compared. Holds up to 1.1 million tokens; more share."""

    def __init__(self) -> None:
        self._characters = _Characters()

    def write(self, text: str) -> str:
        """``text`` with every token as one character."""
        characters = self._characters
        return "".join([characters[token] for token in _TOKEN.findall(text)])

    def hashes(self) -> Integers:
        """By code point: 32 bits of the token that it stands for, the same in every alphabet."""
        values = np.array(self._characters.hashes, np.uint64)
        table = np.zeros(_FIRST + len(values) + _GAP_SIZE, np.uint64)
        low = _GAP - _FIRST
        table[_FIRST : _FIRST + min(low, len(values))] = values[:low]
        table[_GAP + _GAP_SIZE : _GAP + _GAP_SIZE + max(0, len(values) - low)] = values[low:]
        return table


class _Characters(dict[str, str]):
    """Token -> its character, given when the token is first seen; ``hashes`` in the order of the characters."""

    def __init__(self) -> None:
        super().__init__()
        self.hashes: list[int] = []

    def __missing__(self, token: str) -> str:
        point = _FIRST + len(self) % _MOST
        if len(self.hashes) < _MOST:
            self.hashes.append(zlib.crc32(token.encode("utf-8", "surrogatepass")))
        character = self[token] = chr(point if point < _GAP else point + _GAP_SIZE)
        return character


def code_points(written: str) -> Any:
    """The characters of a written text as an array of integers."""
    return np.frombuffer(written.encode("utf-32-le"), np.uint32)


def similarity(one: str, other: str) -> float:
    """The similarity of two plain texts, in [0, 1]."""
    alphabet = Alphabet()
    return float(Indel.normalized_similarity(alphabet.write(one), alphabet.write(other)))


def similarities(ones: Sequence[str], others: Sequence[str]) -> Floats:
    """Of written texts, pair by pair; on all cores."""
    if not ones:
        return np.zeros(0)
    found: Floats = cpdist(ones, others, scorer=Indel.normalized_similarity, dtype=np.float64, workers=-1)
    return found
