"""Shorter streams: whole dead subtrees go, the largest first, until what is left fits; never a cut in mid-search."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from tracemill.schemas.enums import NodeStatus
from tracemill.tasks.domains.base import Domain
from tracemill.tasks.linearize.base import Linearizer, Stream, Untellable, winning_ids
from tracemill.tasks.search.tree import Tree


def fitted(
    linearizer: Linearizer,
    tree: Tree[Any],
    domain: Domain[Any],
    size: Callable[[str], int],
    most: int,
    options: Mapping[str, Any] | None = None,
) -> tuple[Stream, frozenset[str]]:
    """The stream of ``tree`` with ``size(text) <= most``, and the ids of the subtrees that were left out for it.

    Of the dead subtrees the smallest that is enough goes, or the largest where none is. Raises ``Untellable`` where the
    winning path alone is too long, and for a search without one that is.
    """
    given = dict(options or {})
    skip: set[str] = set()
    winning = winning_ids(tree)
    while True:
        stream = linearizer.write(tree, domain, skip=frozenset(skip), options=given)
        excess = size(stream.text) - most
        if excess <= 0:
            return stream, frozenset(skip)
        weights = _weights(tree, stream, winning, skip) if winning else {}
        if not weights:
            raise Untellable("too_long")
        share = len(stream.text) * excess / max(1, excess + most)
        enough = [node_id for node_id, weight in weights.items() if weight >= share]
        skip.add(min(enough, key=lambda i: (weights[i], i)) if enough else max(weights, key=lambda i: (weights[i], i)))


def _weights(tree: Tree[Any], stream: Stream, winning: frozenset[str], skip: set[str]) -> dict[str, int]:
    """Characters that are told of each dead subtree; a subtree is named by its root."""
    weights: dict[str, int] = {}
    for segment in stream.segments:
        node = tree.nodes[segment.node_id]
        for above in node.lineage()[1:]:
            if above.node_id not in winning and above.node_id not in skip and above.status is not NodeStatus.REJECTED:
                weights[above.node_id] = weights.get(above.node_id, 0) + segment.end - segment.start
    return weights
