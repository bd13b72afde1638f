"""Clusters of near-duplicate problems, so that splits can be made by cluster. Depends on the problems alone, not on their order.

MinHash over word 5-shingles, 14 bands of 8 hashes (algorithms §3.2): two prompts of Jaccard similarity s meet in some band
with probability 1 - (1 - s^8)^14, which passes one half near (1/14)^(1/8) = 0.72. Two departures, because templated
problems share nearly all their words: prompts whose multisets of numbers differ are never near-duplicates ("3 + 4", "5 + 9"),
and generated puzzles are near-duplicates only where their whole multisets of words agree.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

import numpy as np
from rensa import RMinHash

from tracemill.schemas.records import Problem

BANDS: Final = 14
ROWS: Final = 8
SHINGLE: Final = 5
CHUNK: Final = 2048  # problems whose signatures are held at once
_SEED: Final = 1
_NUMBER: Final = re.compile(r"\d+(?:[.,]\d+)*")


def cluster(problems: Sequence[Problem]) -> dict[str, str]:
    """Problem id -> cluster id, which is the lowest problem id of the cluster."""
    parent = list(range(len(problems)))
    by_words: dict[tuple[str, ...], int] = {}
    buckets: dict[int, int] = {}
    for start in range(0, len(problems), CHUNK):
        shingled: list[int] = []
        documents: list[list[str]] = []
        for index in range(start, min(start + CHUNK, len(problems))):
            words = problems[index].prompt.lower().split()
            if problems[index].verifier == "puzzle":
                _join(parent, index, by_words.setdefault((problems[index].domain, *sorted(words)), index))
            else:
                shingled.append(index)
                documents.append(shingles(words))
        for index, bands in zip(shingled, signatures(documents), strict=True):
            numbers = tuple(sorted(_NUMBER.findall(problems[index].prompt)))
            for band, hashes in enumerate(bands):
                # 64 bits stand for the bucket: whole keys would cost kilobytes a problem
                _join(parent, index, buckets.setdefault(hash((band, hashes, numbers)), index))
    lowest: dict[int, str] = {}
    roots = [_root(parent, index) for index in range(len(problems))]
    for root, problem in zip(roots, problems, strict=True):
        lowest[root] = min(lowest.get(root, problem.problem_id), problem.problem_id)
    return {problem.problem_id: lowest[root] for root, problem in zip(roots, problems, strict=True)}


def shingles(words: Sequence[str]) -> list[str]:
    """Runs of five words; of fewer words, the whole."""
    if len(words) <= SHINGLE:
        return [" ".join(words)]
    return [" ".join(words[start : start + SHINGLE]) for start in range(len(words) - SHINGLE + 1)]


def signatures(documents: Sequence[Sequence[str]]) -> list[list[bytes]]:
    """Each document's 14 bands of 8 hashes, as bytes to compare."""
    if not documents:
        return []
    rows = RMinHash.digest_matrix_from_token_sets(documents, BANDS * ROWS, _SEED).to_rows()
    width = ROWS * 4
    packed = np.asarray(rows, dtype=np.uint32).tobytes()
    return [
        [packed[at : at + width] for at in range(start, start + BANDS * width, width)]
        for start in range(0, len(packed), BANDS * width)
    ]


def _root(parent: list[int], index: int) -> int:
    while parent[index] != index:
        parent[index] = parent[parent[index]]
        index = parent[index]
    return index


def _join(parent: list[int], one: int, other: int) -> None:
    first, second = _root(parent, one), _root(parent, other)
    if first != second:
        parent[max(first, second)] = min(first, second)
