"""stub"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tracemill.schemas.recipe import SourceSpec
from tracemill.schemas.records import Drop, Problem


@dataclass(frozen=True, slots=True)
class Loaded:
    """Problems and what was left out: ``rows_in == len(problems) + len(drops)``."""

    problems: list[Problem]
    drops: list[Drop]
    rows_in: int


def load_problems(specs: Sequence[SourceSpec]) -> Loaded:
    raise NotImplementedError
