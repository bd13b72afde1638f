"""The winning path alone, in the grammar of ``stream_of_search``: the twin of every stream of a solved search."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from tracemill.tasks.domains.base import Domain
from tracemill.tasks.linearize import stream_of_search
from tracemill.tasks.linearize.base import Linearizer, Stream, Untellable
from tracemill.tasks.linearize.stream_of_search import Telling
from tracemill.tasks.search.tree import Tree

NAME: Final = "direct"
UNSOLVED: Final = "unsolved"


def write(
    tree: Tree[Any],
    domain: Domain[Any],
    *,
    skip: frozenset[str] = frozenset(),
    options: Mapping[str, Any] | None = None,
) -> Stream:
    """The path to the first goal that the search reached. Raises ``Untellable`` for a search without one."""
    goals = tree.goals()
    if not goals:
        raise Untellable(UNSOLVED)
    path = min(goals, key=lambda node: node.created).lineage()
    telling = Telling(tree, domain, frozenset(node.node_id for node in path))
    telling.event(True, path[0])
    for node in path[1:]:
        telling.event(False, node)
        if node is not path[-1]:
            telling.event(True, node)
    return telling.stream(NAME)


LINEARIZER: Final = Linearizer(NAME, write, stream_of_search.parse)
