"""Small files of recorded rows, imported."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tracemill.schemas.recipe import ImportRecipe, SourceSpec
from tracemill.tasks.imports import Imported, read_traces

Rows = list[dict[str, Any]]


@pytest.fixture
def jsonl(tmp_path: Path) -> Callable[..., str]:
    def write(rows: Rows, name: str = "rows.jsonl") -> str:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return str(path)

    return write


@pytest.fixture
def imported(jsonl: Callable[..., str]) -> Callable[..., Imported]:
    def read(rows: Rows, format: str, *, problems: Rows | None = None, **settings: Any) -> Imported:
        sources = [SourceSpec(kind="file", path=jsonl(problems, "problems.jsonl"))] if problems else []
        return read_traces(ImportRecipe(name="t", files=[jsonl(rows)], format=format, problems=sources, **settings))

    return read
