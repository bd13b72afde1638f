"""A strategy's name, or ``module:function``, to the strategy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from tracemill.schemas.errors import UsageError
from tracemill.schemas.plugins import resolve
from tracemill.tasks.strategies.base import Strategy
from tracemill.tasks.strategies.samples import samples
from tracemill.tasks.strategies.star import star
from tracemill.tasks.strategies.text_search import DEFAULTS as SEARCHES_OF_TEXT
from tracemill.tasks.strategies.text_search import parameters, text_search

STRATEGIES: Final[Mapping[str, Strategy]] = {
    "samples": samples,
    "self_consistency": samples,
    "star": star,
    **{name: text_search(name) for name in SEARCHES_OF_TEXT},
}

#: The parameters of our own strategies.
PARAMETERS: Final[Mapping[str, frozenset[str]]] = {
    "samples": frozenset(),
    "self_consistency": frozenset(),
    "star": frozenset({"hint"}),
    **{name: parameters(name) for name in SEARCHES_OF_TEXT},
}


def build_strategy(name: str) -> Strategy:
    """The strategy called ``name``; unknown names are a ``UsageError``."""
    strategy: Strategy = resolve(name, STRATEGIES, noun="strategy", group="tracemill.strategies")
    if not callable(strategy):
        raise UsageError(f"{name!r} is not a function", where="strategy.kind", mend="write async def strategy(context)")
    return strategy
