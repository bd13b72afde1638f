"""Train, validation and test, by problem cluster.

What must stay true: no cluster is in two splits; a problem keeps its split when problems are added to a run, unless they
join its cluster; a cluster that holds one problem of a benchmark's test split is test as a whole, because its other
problems are near-duplicates of that one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Final

from tracemill.schemas.enums import Split

_RANGE: Final = 1 << 64


def assign(problems: Iterable[tuple[str, str | None, str]], validation: float) -> dict[str, str]:
    """Problem id -> split, from (problem id, cluster id, the source's split) and the share of validation clusters.

    A problem without a cluster is one of its own. A source's validation problem takes its cluster along.
    """
    rows = [(problem, cluster or problem, split) for problem, cluster, split in problems]
    named: dict[str, set[str]] = {}
    for _, cluster, split in rows:
        named.setdefault(cluster, set()).add(split)
    chosen = {cluster: _split(cluster, splits, validation) for cluster, splits in named.items()}
    return {problem: chosen[cluster] for problem, cluster, _ in rows}


def _split(cluster: str, named: set[str], validation: float) -> str:
    for split in (Split.TEST, Split.VALIDATION):
        if split.value in named:
            return split.value
    place = int.from_bytes(hashlib.sha256(f"split\0{cluster}".encode()).digest()[:8], "big")
    return (Split.VALIDATION if place < validation * _RANGE else Split.TRAIN).value
