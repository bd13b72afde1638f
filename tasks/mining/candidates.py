"""Which right attempts a wrong one is worth comparing with, without comparing all pairs.

Every text is reduced to the smallest hashes of its token 3-grams, one for each of ``SLOTS`` parts of the hash range
(one-permutation MinHash, Li, Owen and Zhang 2012). Two texts agree in a slot with the probability of their Jaccard
similarity. An inverted index over the slots' values then gives the right attempts that share one with a wrong attempt.
What must stay true: the work grows linearly with the number of texts, because at most ``POSTINGS`` right attempts are
read for a value; the result depends on the texts and the ids alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from tracemill.tasks.mining.similarity import Alphabet, code_points

SLOTS: Final = 32
POSTINGS: Final = 24

#: A wrong attempt that shares no 3-gram with any right one is compared with so many all the same.
STRANGERS: Final = 2

#: Tokens that are hashed at once.
_AT_ONCE: Final = 1 << 20

_SHIFT: Final = np.uint64(64 - 5)
_EMPTY: Final = np.uint64(2**64 - 1)


def mixed(values: Any) -> Any:
    """64 well mixed bits for each 64-bit value (the finaliser of SplitMix64)."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def sketches(written: Sequence[str], alphabet: Alphabet) -> Any:
    """A row of ``SLOTS`` values for each text; a slot that no 3-gram falls into is the largest value."""
    hashes = mixed(alphabet.hashes())
    table = np.full((len(written), SLOTS), _EMPTY)
    start = characters = 0
    for stop, text in enumerate(written, 1):
        characters += len(text)
        if characters >= _AT_ONCE or stop == len(written):
            _sketch(written[start:stop], hashes, table[start:stop])
            start, characters = stop, 0
    return table


def _sketch(written: Sequence[str], hashes: Any, table: Any) -> None:
    lengths = np.fromiter(map(len, written), np.int64, len(written))
    tokens = hashes[code_points("".join(written))]
    if len(tokens):
        grams = mixed(tokens + np.roll(tokens, -1) * np.uint64(3) + np.roll(tokens, -2) * np.uint64(7))
        owner = np.repeat(np.arange(len(written)), lengths)
        inside = np.arange(len(tokens)) + 2 < np.cumsum(lengths)[owner]
        short = (lengths < 3)[owner]
        kept = inside | short
        grams, owner = np.where(short, tokens, grams)[kept], owner[kept]  # a shorter text has its tokens alone
        np.minimum.at(table.reshape(-1), owner * SLOTS + (grams >> _SHIFT).astype(np.int64), grams)


def candidates(sketch: Any, group: Any, bits: Any, right: Any, wrong: Any, most: int) -> tuple[Any, Any, Any]:
    """(wrong, right, shared slots) of the pairs to compare: for each wrong attempt the ``most`` that share most slots.

    ``group`` gives each text's problem (and policy), ``bits`` a hash of its id; ``right`` and ``wrong`` are ascending rows.
    Pairs are ordered by wrong attempt, then by shared slots, then by row.
    """
    value, place = _keys(sketch, group, right)
    order = np.argsort(value, kind="stable")
    value, place = value[order], place[order]
    asked, asker = _keys(sketch, group, wrong)
    low, high = np.searchsorted(value, asked, "left"), np.searchsorted(value, asked, "right")
    read = np.minimum(high - low, POSTINGS)
    # Long lists are read from a place that differs from one wrong attempt to the next, so that all right ones are seen.
    start = low + (mixed(bits[asker] ^ asked) % (high - low - read + 1).astype(np.uint64)).astype(np.int64)
    total = int(read.sum())
    within = np.arange(total) - np.repeat(np.cumsum(read) - read, read)
    pairs = np.repeat(asker, read) * len(group) + place[np.repeat(start, read) + within]
    pairs, shared = np.unique(pairs, return_counts=True)
    more = _strangers(group, bits, right, wrong, np.unique(pairs // max(1, len(group))))
    pairs, shared = np.concatenate([pairs, more]), np.concatenate([shared, np.zeros(len(more), shared.dtype)])
    one, other = pairs // max(1, len(group)), pairs % max(1, len(group))
    order = np.lexsort((other, -shared, one))
    one, other, shared = one[order], other[order], shared[order]
    kept = rank_within(one) < most
    return one[kept], other[kept], shared[kept]


def rank_within(keys: Any) -> Any:
    """0, 1, 2 ... within each run of equal keys."""
    if not len(keys):
        return np.zeros(0, np.int64)
    first = np.concatenate([[True], keys[1:] != keys[:-1]])
    starts = np.flatnonzero(first)
    return np.arange(len(keys)) - np.repeat(starts, np.diff([*starts, len(keys)]))


def _keys(sketch: Any, group: Any, rows: Any) -> tuple[Any, Any]:
    """One key for each filled slot of ``rows``, equal only for the same group, slot and value; and whose it is."""
    values = sketch[rows]
    salt = mixed(group[rows].astype(np.uint64) + np.uint64(1))[:, None] + np.arange(SLOTS, dtype=np.uint64)
    filled = values != _EMPTY
    owner = np.broadcast_to(rows[:, None], values.shape)[filled]
    return mixed(values + salt)[filled], owner


def _strangers(group: Any, bits: Any, right: Any, wrong: Any, served: Any) -> Any:
    """Pairs for the wrong attempts that the index found nothing for."""
    alone = wrong[~np.isin(wrong, served)]
    by_group: dict[int, list[int]] = {}
    wanted = set(group[alone].tolist())
    for row, key in zip(right.tolist(), group[right].tolist(), strict=True):
        if key in wanted:
            by_group.setdefault(key, []).append(row)
    found = []
    for row, key in zip(alone.tolist(), group[alone].tolist(), strict=True):
        others = by_group.get(key, ())
        first = int(bits[row]) % max(1, len(others))
        found += [row * len(group) + others[(first + i) % len(others)] for i in range(min(STRANGERS, len(others)))]
    return np.array(found, np.int64)
