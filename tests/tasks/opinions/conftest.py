"""Runs with unjudged traces, and the stand-in server as the model that is asked."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tracemill.schemas.recipe import Recipe, VerifierSpec
from tracemill.schemas.records import Problem
from tracemill.tasks.opinions.asking import give
from tracemill.tasks.opinions.registry import build_opinion
from tracemill.tasks.reporting.listener import NullListener
from tracemill.tasks.store import RunStore


@pytest.fixture
def opine(tmp_path: Path) -> Callable[..., Any]:
    """``await opine(path, problems, "judge", url, option=...)``: gives what is owed; the number of opinions."""

    async def ask(path: str, problems: list[Problem], kind: str, url: str, **options: Any) -> int:
        engine = {"kind": "openai", "model": "standin", "base_url": url, "retries": 1}
        spec = VerifierSpec(kind=kind, options={"engine": engine, **options})
        document = {"name": "hand", "problems": [{"kind": "file", "path": "p.jsonl"}]}
        with RunStore.start(path, Recipe.model_validate(document)) as run:
            opinion: Any = build_opinion(spec, str(tmp_path / "home"))
            return await give(run, opinion, problems, NullListener())

    return ask
