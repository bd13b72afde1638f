"""A linearizer's name, or ``module:name``, to the linearizer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from tracemill.schemas.errors import UsageError
from tracemill.schemas.plugins import resolve
from tracemill.tasks.linearize import (
    astro,
    condensed,
    direct,
    interleaved,
    journey,
    mcts_visits,
    stream_of_search,
)
from tracemill.tasks.linearize.base import Linearizer

LINEARIZERS: Final[Mapping[str, Linearizer]] = {
    linearizer.name: linearizer
    for linearizer in (
        stream_of_search.LINEARIZER,
        direct.LINEARIZER,
        mcts_visits.LINEARIZER,
        journey.LINEARIZER,
        journey.TWIN,
        astro.LINEARIZER,
        interleaved.LINEARIZER,
        condensed.LINEARIZER,
    )
}


def build_linearizer(name: str) -> Linearizer:
    """The linearizer called ``name``; unknown names are a ``UsageError``."""
    found: Linearizer = resolve(name, LINEARIZERS, noun="linearizer", group="tracemill.linearizers")
    if not isinstance(found, Linearizer):
        raise UsageError(
            f"{name!r} is not a Linearizer", where="linearizers", mend="give a tasks.linearize.base.Linearizer"
        )
    return found
