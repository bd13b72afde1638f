"""Recipes, rows and completions for the store's tests."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pytest

from tracemill.schemas.recipe import Recipe
from tracemill.schemas.tables import schema_of
from tracemill.tasks.engines.base import Completion


@pytest.fixture
def make_recipe() -> Callable[..., Recipe]:
    def make(**changes: Any) -> Recipe:
        return Recipe.model_validate({"name": "test", "problems": [{"kind": "file", "path": "p.jsonl"}], **changes})

    return make


@pytest.fixture
def drops() -> Callable[..., pa.Table]:
    """Rows of the smallest table, one for each given subject."""

    def make(*subjects: str) -> pa.Table:
        rows = [{"subject_id": s, "stage": "sample", "reason": "test", "detail": None} for s in subjects]
        return pa.Table.from_pylist(rows, schema=schema_of("drops"))

    return make


@pytest.fixture
def policies() -> Callable[..., pa.Table]:
    def make(*ids: str) -> pa.Table:
        rows = [{"policy_id": i, "model": "m", "engine": "simulated"} for i in ids]
        return pa.Table.from_pylist(rows, schema=schema_of("policies"))

    return make


@pytest.fixture
def said() -> Callable[..., Completion]:
    """A completion with every field set."""

    def make(text: str, **changes: Any) -> Completion:
        values: dict[str, Any] = {
            "finish_reason": "stop",
            "prompt_tokens": 7,
            "completion_tokens": 11,
            "cached_tokens": 3,
            "reasoning_tokens": 2,
            "logprob_sum": -1.5,
            "logprob_min": -0.75,
            "cost_usd": 0.25,
            "latency_ms": 12.5,
            "replica": "one",
            "retries": 1,
        }
        return Completion(text, **{**values, **changes})

    return make
