"""A writer of small JSONL files, and the shared data sets where they are."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

SHARED = Path(__file__).resolve().parents[4] / "shared" / "datasets"


@pytest.fixture
def jsonl(tmp_path: Path) -> Callable[..., str]:
    def write(rows: list[dict[str, Any]], name: str = "rows.jsonl") -> str:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return str(path)

    return write


@pytest.fixture
def shared() -> Callable[[str], str]:
    def find(name: str) -> str:
        path = SHARED / name
        if not path.exists():
            pytest.skip(f"shared data set {name} is not here")
        return str(path)

    return find
