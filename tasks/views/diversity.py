"""Which of a problem's kept traces to load: one per way of reasoning, then the most different ones up to the cap.

RFT (arXiv 2308.01825; algorithms §2.3): traces with the same ordered list of equations are duplicates, and of duplicates
the one with the larger summed edit distance to the other kept ones stays. ReST-EM (arXiv 2312.06585): a cap per problem.
What must stay true: at most ``cap`` are kept, no two with the same key; the choice depends on the traces alone and not on
their order; the cost per trace is bounded whatever its length and however many attempts a problem has.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from rapidfuzz.distance import Levenshtein
from rapidfuzz.process import cdist

from tracemill.tasks.equations import equations

#: Distances are taken between excerpts of so many characters, in this many even pieces of the text.
EXCERPT: Final = 512
PIECES: Final = 4

#: A duplicate is compared with so many other kept traces at the most.
COMPARED: Final = 16

DUPLICATE: Final = "duplicate_reasoning"
OVER_CAP: Final = "over_cap"


@dataclass(frozen=True, slots=True)
class Item:
    """A trace to choose: ``rank`` orders equals (the sample index), ``key`` and ``excerpt`` are of its text."""

    rank: tuple[int, str]
    key: str
    excerpt: str

    @classmethod
    def of(cls, trace_id: str, sample_index: int, text: str) -> Item:
        return cls((sample_index, trace_id), reasoning_key(text), excerpt(text))

    @property
    def trace_id(self) -> str:
        return self.rank[1]


@dataclass(frozen=True, slots=True)
class Refused:
    """A trace that was not chosen, and the one that stands for its reasoning where it is a duplicate."""

    trace_id: str
    reason: str
    detail: str | None = None


def reasoning_key(text: str) -> str:
    """Equal for two texts that reason alike: the same ordered equations, or where there are none, the same words."""
    found = equations(text)
    said = "\n".join(found) if found else " ".join(text.split()).lower()
    return hashlib.sha256(f"{bool(found)}{said}".encode("utf-8", "surrogatepass")).hexdigest()[:24]


def excerpt(text: str) -> str:
    """``text``, or where it is long, even pieces of it from its beginning to its end."""
    if len(text) <= EXCERPT:
        return text
    width = EXCERPT // PIECES
    last = len(text) - width
    return "".join(text[at : at + width] for at in (last * piece // (PIECES - 1) for piece in range(PIECES)))


def choose(items: Sequence[Item], cap: int) -> tuple[list[str], list[Refused]]:
    """(ids of the chosen, the others with the reason) of one problem's traces; the chosen in the order they were chosen."""
    groups: dict[str, list[Item]] = {}
    for item in sorted(items, key=lambda item: item.rank):
        groups.setdefault(item.key, []).append(item)
    kept, refused = _representatives(groups)
    chosen = kept if len(kept) <= cap else _farthest(kept, cap)
    taken = {item.trace_id for item in chosen}
    refused += [Refused(item.trace_id, OVER_CAP) for item in kept if item.trace_id not in taken]
    return [item.trace_id for item in chosen], refused


def _representatives(groups: dict[str, list[Item]]) -> tuple[list[Item], list[Refused]]:
    kept, refused = [], []
    firsts = [group[0] for group in groups.values()][: COMPARED + 1]
    for key, group in groups.items():
        best = group[0]
        others = [item.excerpt for item in firsts if item.key != key][:COMPARED]
        if len(group) > 1 and others:
            sums = _distances([item.excerpt for item in group], others).sum(axis=1)
            best = group[int(np.argmax(sums))]
        kept.append(best)
        refused += [Refused(item.trace_id, DUPLICATE, f"as {best.trace_id}") for item in group if item is not best]
    return kept, refused


def _farthest(items: list[Item], count: int) -> list[Item]:
    """Greedy farthest-first: from the first on, always the one whose nearest chosen one is farthest away."""
    excerpts = [item.excerpt for item in items]
    chosen = [0]
    nearest = _distances(excerpts[:1], excerpts)[0]
    while len(chosen) < count:
        nearest[chosen[-1]] = -1.0
        best = int(np.argmax(nearest))
        chosen.append(best)
        if len(chosen) < count:
            nearest = np.minimum(nearest, _distances([excerpts[best]], excerpts)[0])
    return [items[index] for index in chosen]


def _distances(ones: Sequence[str], others: Sequence[str]) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    """Normalised edit distances, in [0, 1]: a row for each of ``ones``."""
    matrix: np.ndarray[tuple[int, ...], np.dtype[np.float32]] = cdist(
        ones, others, scorer=Levenshtein.normalized_distance, dtype=np.float32
    )
    return matrix
