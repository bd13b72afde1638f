"""Schedules: recipes that run again by a cron."""

from __future__ import annotations

from tracemill.schemas.recipe import Recipe


def schedule(recipe: Recipe, cron: str, out: str, timezone: str | None = None) -> str:
    """Run ``recipe`` into ``out`` whenever ``cron`` says; returns the deployment's name."""
    raise NotImplementedError
