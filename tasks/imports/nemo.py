"""NeMo-Skills generation files: ``problem``, ``expected_answer``, ``generation``, one response a row; failed rows say ``error``."""

from __future__ import annotations

from collections.abc import Iterator

from tracemill.schemas.recipe import ImportRecipe
from tracemill.schemas.records import Drop
from tracemill.tasks.imports.recorded import TRACE_NAMES, Recorded, attempts, single
from tracemill.tasks.sources.read import Row

NAMES = {
    **TRACE_NAMES,
    "prompt": ("problem", "question"),
    "gold": ("expected_answer",),
    "response": ("generation",),
    "model": ("model", "generation_model"),
    "prediction": ("predicted_answer",),
    "reference_solution": ("reference_solution",),
}


def nemo(rows: Iterator[Row | Drop], recipe: ImportRecipe) -> Iterator[Recorded | Drop]:
    """Attempts from NeMo-Skills JSONL; a row that failed is an attempt with its error and no text."""
    return attempts(rows, recipe, NAMES, ["prompt", "response"], single)
