"""A strategy's name, or ``module:function``, to the strategy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from tracemill.schemas.errors import UsageError
from tracemill.schemas.plugins import resolve
from tracemill.tasks.strategies import symbolic_search as on_states
from tracemill.tasks.strategies.base import Context, Made, Strategy
from tracemill.tasks.strategies.deepconf import PARAMETERS as OF_DEEPCONF
from tracemill.tasks.strategies.deepconf import deepconf
from tracemill.tasks.strategies.samples import samples
from tracemill.tasks.strategies.star import star
from tracemill.tasks.strategies.tactic_search import PARAMETERS as OF_TACTICS
from tracemill.tasks.strategies.tactic_search import tactic_search
from tracemill.tasks.strategies.text_search import DEFAULTS as SEARCHES_OF_TEXT
from tracemill.tasks.strategies.text_search import parameters, text_search

#: The parameter that says what a search walks on: ``text``, a chain of thought by steps, unless it is named.
DOMAIN: Final = "domain"


def _search(name: str) -> Strategy:
    """The search ``name`` on whatever domain the recipe names."""
    of_text, of_states = text_search(name), on_states.symbolic_search(name)

    async def search(context: Context) -> Made:
        if context.parameters.get(DOMAIN, "text") != "text":
            made: Made = await of_states(context)
        else:
            rest = {key: value for key, value in context.parameters.items() if key != DOMAIN}
            made = await of_text(replace(context, parameters=rest))
        return made

    return search


STRATEGIES: Final[Mapping[str, Strategy]] = {
    "samples": samples,
    "self_consistency": samples,
    "star": star,
    "deepconf": deepconf,
    "tactic_search": tactic_search,
    **{name: _search(name) if name in on_states.SHARED else text_search(name) for name in SEARCHES_OF_TEXT},
    **{name: on_states.symbolic_search(name) for name in on_states.ALONE},
}

#: The parameters of our own strategies.
PARAMETERS: Final[Mapping[str, frozenset[str]]] = {
    "samples": frozenset(),
    "self_consistency": frozenset(),
    "star": frozenset({"hint"}),
    "deepconf": OF_DEEPCONF,
    "tactic_search": OF_TACTICS,
    **{
        name: parameters(name) | on_states.parameters(name) if name in on_states.SHARED else parameters(name)
        for name in SEARCHES_OF_TEXT
    },
    **{name: on_states.parameters(name) for name in on_states.ALONE},
}


def build_strategy(name: str) -> Strategy:
    """The strategy called ``name``; unknown names are a ``UsageError``."""
    strategy: Strategy = resolve(name, STRATEGIES, noun="strategy", group="tracemill.strategies")
    if not callable(strategy):
        raise UsageError(f"{name!r} is not a function", where="strategy.kind", mend="write async def strategy(context)")
    return strategy
