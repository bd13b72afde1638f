"""A small run with everything in it that must not get out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tracemill.schemas.recipe import ViewsSpec
from tracemill.schemas.records import Problem
from tracemill.tasks.store import RunStore
from tracemill.tasks.views import build_views


@pytest.fixture(autouse=True)
def no_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Caches below the test's folder, no network, and no keys of the machine's own."""
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def run(bench: Any, said: Any, by_rule: Any, tmp_path: Path) -> RunStore:
    return make_run(bench, said, by_rule, tmp_path)


def make_run(bench: Any, said: Any, by_rule: Callable[..., Any], tmp_path: Path, text: str | None = None) -> RunStore:
    problems = [
        Problem(
            f"What is 3 + {n}?", "answer", f"{tmp_path}/secret-folder/p.jsonl", gold=str(3 + n), licence="cc0-1.0",
            source_row=f"{tmp_path}/secret-folder/p.jsonl:{n}",
        )
        for n in range(3)
    ]  # fmt: skip
    attempts = [
        said("3", [by_rule("correct")], text=text),
        said("4", [by_rule("incorrect")]),
        said(None, error=f"Cannot connect to host gpu7.cluster.example:8000 at http://10.1.2.3:8000/v1 {tmp_path}"),
    ]
    store = bench.run([(problem, attempts) for problem in problems], name="hand")
    build_views(store, ViewsSpec(validation=0.3))
    return store
