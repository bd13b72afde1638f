"""The main job as a Prefect flow, and the way the command line runs it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tracemill.schemas.recipe import Recipe

if TYPE_CHECKING:
    from tracemill.tasks.reporting.listener import Listener
    from tracemill.tasks.store import RunStore


def run_recipe(
    recipe: Recipe, out: str, *, fresh: bool = False, reuse: str | None = None, listener: Listener | None = None
) -> RunStore:
    """Run ``recipe`` into the folder ``out`` and return the run."""
    raise NotImplementedError
