"""How alike two texts are, over tokens: words and punctuation marks, white space apart.

sim(y, y') = 1 - d(y, y') / (|y| + |y'|) with d the edit distance of insertions and deletions (§2.23), so it is symmetric,
0 for texts without a common token in order and 1 for equal ones. Distances are rapidfuzz's, exact; a text is first
written as one character per token, which is what makes them fast.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Any, Final

import numpy as np
import pyarrow as pa
from rapidfuzz.distance import Indel
from rapidfuzz.process import cpdist

Floats = np.ndarray[tuple[int, ...], np.dtype[np.float64]]
Integers = np.ndarray[tuple[int, ...], np.dtype[np.uint64]]

#: How texts are read, by whether they are plain ASCII.
_CODEC: Final = {True: "ascii", False: "utf-32-le"}
_SPACE, _WORD, _MARK = range(3)

#: Characters that are read at once.
_AT_ONCE: Final = 1 << 22

#: Code points that may stand for a token: all but the surrogates and the first, in this order.
_FIRST: Final = 1
_GAP: Final = 0xD800
_GAP_SIZE: Final = 0x800
_MOST: Final = 0x110000 - _GAP_SIZE - _FIRST


class Alphabet:
    """One character for each token, the same for all texts that are compared. Holds up to 1.1 million tokens; more share."""

    def __init__(self) -> None:
        self._characters = _Characters()

    def write(self, texts: Sequence[str]) -> list[str]:
        """``texts`` with every token as one character."""
        written = [""] * len(texts)
        for plain in (True, False):  # a text of ASCII alone is read in bytes, which is four times as little
            places = [place for place, text in enumerate(texts) if text and text.isascii() == plain]
            for start, stop in _portions([len(texts[place]) for place in places]):
                portion = places[start:stop]
                for place, characters in zip(portion, self._written([texts[p] for p in portion], plain), strict=True):
                    written[place] = characters
        return written

    def _written(self, texts: Sequence[str], plain: bool) -> list[str]:
        starts, tokens = _tokens(texts, plain)
        seen = [token.decode(_CODEC[plain], "surrogatepass") for token in tokens.dictionary.to_pylist()]
        known = "".join([self._characters[token] for token in seen])
        points = code_points(known)[tokens.indices.to_numpy()]
        characters = points.tobytes().decode("utf-32-le")
        return [characters[start:stop] for start, stop in pairwise(starts)]

    def hashes(self) -> Integers:
        """By code point: 32 bits of the token that it stands for, the same in every alphabet."""
        values = np.array(self._characters.hashes, np.uint64)
        table = np.zeros(_FIRST + len(values) + _GAP_SIZE, np.uint64)
        low = _GAP - _FIRST
        table[_FIRST : _FIRST + min(low, len(values))] = values[:low]
        table[_GAP + _GAP_SIZE : _GAP + _GAP_SIZE + max(0, len(values) - low)] = values[low:]
        return table


def _portions(lengths: Sequence[int]) -> Iterator[tuple[int, int]]:
    """(start, stop) of runs of about ``_AT_ONCE`` characters."""
    start = characters = 0
    for stop, length in enumerate(lengths, 1):
        characters += length
        if characters >= _AT_ONCE or stop == len(lengths):
            yield start, stop
            start, characters = stop, 0


def _tokens(texts: Sequence[str], plain: bool) -> tuple[list[int], pa.DictionaryArray]:
    """The tokens of all ``texts`` in order, and where those of each text begin and the last ones end.

    The same as ``re.findall(r"\\w+|[^\\w\\s]", text)`` of each text, without an object for each token.
    """
    coded = "".join(texts).encode(_CODEC[plain], "surrogatepass")
    points = np.frombuffer(coded, np.uint8 if plain else np.uint32)
    kind = _kinds(128 if plain else 0x110000)[points]
    ends = np.cumsum(np.fromiter(map(len, texts), np.int64, len(texts)))
    follows = np.empty(len(kind), np.bool_)  # goes on with the word before it
    follows[0], follows[1:] = False, (kind[1:] == _WORD) & (kind[:-1] == _WORD)
    follows[ends[:-1]] = False
    kept = kind != _SPACE
    first = np.flatnonzero(kept & ~follows)
    offsets = np.flatnonzero(~follows[kept]).astype(np.int32) * points.itemsize
    letters = points[kept]
    offsets = np.append(offsets, np.int32(letters.nbytes))
    tokens = pa.BinaryArray.from_buffers(pa.binary(), len(first), [None, pa.py_buffer(offsets), pa.py_buffer(letters)])
    return [0, *np.searchsorted(first, ends).tolist()], tokens.dictionary_encode()


@lru_cache(maxsize=2)
def _kinds(points: int) -> Any:
    """What each code point is: a part of a word, white space, or a token of its own."""
    kinds = np.full(points, _MARK, np.uint8)
    for point in range(points):
        character = chr(point)
        if character == "_" or character.isalnum():
            kinds[point] = _WORD
        elif character.isspace():
            kinds[point] = _SPACE
    return kinds


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
    return float(Indel.normalized_similarity(*Alphabet().write([one, other])))


def similarities(ones: Sequence[str], others: Sequence[str]) -> Floats:
    """Of written texts, pair by pair; on all cores."""
    if not ones:
        return np.zeros(0)
    found: Floats = cpdist(ones, others, scorer=Indel.normalized_similarity, dtype=np.float64, workers=-1)
    return found
