"""stub"""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

from tracemill.schemas.recipe import ImportRecipe
from tracemill.schemas.records import Drop, Policy, Problem


@dataclass(frozen=True, slots=True)
class Label:
    """What the data itself says about a trace: ``source`` is the column, ``outcome`` correct, incorrect or unparsed."""

    trace_id: str
    source: str
    outcome: str
    detail: str


@dataclass(frozen=True, slots=True)
class Imported:
    """Traces that exist already, with their problems and policies: ``rows_in == traces.num_rows + load drops``."""

    problems: list[Problem]
    policies: list[Policy]
    traces: pa.Table
    drops: list[Drop]
    rows_in: int
    labels: list[Label]
    kinds: dict[str, int]


def read_traces(recipe: ImportRecipe) -> Imported:
    raise NotImplementedError
