"""A search's name and parameters, or ``module:function``, to the search."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, is_dataclass, replace
from functools import lru_cache
from inspect import signature
from typing import Any, Final, cast

from tracemill.schemas.errors import UsageError
from tracemill.schemas.plugins import resolve
from tracemill.tasks.search.beam import Beam, Dvts, best_of_n, guess_and_check
from tracemill.tasks.search.best_first import BestFirst
from tracemill.tasks.search.breadth_first import BreadthFirst
from tracemill.tasks.search.depth_first import DepthFirst
from tracemill.tasks.search.graph_of_thoughts import GraphOfThoughts
from tracemill.tasks.search.growth import Search
from tracemill.tasks.search.mcts import Mcts
from tracemill.tasks.search.tree_of_thoughts import TreeOfThoughts

SEARCHES: Final[Mapping[str, Callable[..., Search]]] = {
    "beam": Beam,
    "best_first": BestFirst,
    "best_of_n": best_of_n,
    "bfs": BreadthFirst,
    "dfs": DepthFirst,
    "dvts": Dvts,
    "got": GraphOfThoughts,
    "guess_and_check": guess_and_check,
    "mcts": Mcts,
    "tot": TreeOfThoughts,
}


def build_search(name: str, parameters: Mapping[str, Any] | None = None) -> Search:
    """The search called ``name`` with these parameters. Raises ``UsageError`` for a name or parameter that is not there."""
    make = resolve(name, SEARCHES, noun="search", group="tracemill.searches")
    given = dict(parameters or {})
    known = parameter_names(name)
    unknown = sorted(set(given) - set(known))
    if unknown:
        raise UsageError(
            f"the search {name!r} has no parameter {unknown[0]!r}",
            where="strategy.parameters",
            mend=f"known: {', '.join(known)}",
        )
    try:
        search: Search = make(**given)
    except (TypeError, ValueError) as error:
        raise UsageError(f"the search {name!r} refuses its parameters: {error}", where="strategy.parameters") from error
    return search


@lru_cache(maxsize=256)
def parameter_names(name: str) -> tuple[str, ...]:
    """What ``build_search`` takes for the search called ``name``."""
    make = resolve(name, SEARCHES, noun="search", group="tracemill.searches")
    return tuple(parameter for parameter in signature(make).parameters if parameter != "name")


def search_of(name: str, parameters: Mapping[str, Any]) -> Search:
    """The search that ``parameters_of`` told of; what is not of the search is left alone."""
    default: Any = build_search(name)
    return cast(
        Search, replace(default, **{key: parameters[key] for key in parameters_of(default) if key in parameters})
    )


def parameters_of(search: Search) -> dict[str, Any]:
    """All parameters of ``search``, defaults included: what ``trees.parameters`` says."""
    given: Any = search
    if not is_dataclass(given) or isinstance(given, type):
        return {}
    return {key: value for key, value in asdict(given).items() if key != "name"}
