"""Bad input gets one clear error with the mend, the right exit code, and no traceback; nothing is lost."""

from __future__ import annotations

import json
import subprocess
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Tracemill = Callable[..., subprocess.CompletedProcess[str]]


def write(folder: Path, **changes: Any) -> str:
    """A small valid recipe with ``changes``; returns its file name."""
    lines = [json.dumps({"prompt": f"What is {n} + 1?", "gold": str(n + 1)}) for n in range(4)]
    (folder / "problems.jsonl").write_text("\n".join(lines))
    recipe: dict[str, Any] = {
        "name": "bad",
        "problems": [{"kind": "file", "path": "problems.jsonl", "verifier": "answer"}],
        "engine": {"kind": "simulated"},
        "strategy": {"n": 2},
        "orchestrator": "none",
    }
    recipe.update(changes)
    (folder / "bad.yaml").write_text(json.dumps(recipe))
    return "bad.yaml"


def refused(done: subprocess.CompletedProcess[str], code: int, *named: str) -> None:
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.splitlines()) <= 24, done.stderr
    for name in named:
        assert name in done.stderr


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"strateggy": {"n": 2}}, ("strateggy", "strategy")),
        ({"strategy": {"n": 0}}, ("strategy.n",)),
        ({"sampling": {"top_p": 3}}, ("sampling.top_p",)),
        ({"strategy": {"n": "many"}}, ("strategy.n",)),
        ({"sampling": {"temperature": 0}}, ("temperature",)),
        ({"strategy": {"kind": "sampels", "n": 2}}, ("sampels", "samples")),
        ({"template": {"name": "cott"}}, ("cott", "cot")),
    ],
)
def test_a_recipe_that_cannot_be_meant_names_the_key(
    tmp_path: Path, tracemill: Tracemill, changes: dict[str, Any], named: tuple[str, ...]
) -> None:
    refused(tracemill("run", write(tmp_path, **changes), "--out", "run"), 2, *named)
    assert not (tmp_path / "run" / "_commits").exists()


def test_a_missing_column_names_file_and_column(tmp_path: Path, tracemill: Tracemill) -> None:
    recipe = write(tmp_path)
    (tmp_path / "problems.jsonl").write_text('{"text": "What is 1 + 1?", "gold": "2"}\n')
    refused(tracemill("run", recipe, "--out", "run"), 1, "problems.jsonl", "text")
    assert not (tmp_path / "run").exists()  # so that the mended recipe is not another one's folder


def test_an_endpoint_that_is_down_is_named_with_the_mend(tmp_path: Path, tracemill: Tracemill) -> None:
    recipe = write(tmp_path, engine={"kind": "openai", "model": "m", "base_url": "http://127.0.0.1:9/v1", "retries": 0})
    refused(tracemill("run", recipe, "--out", "run"), 1, "127.0.0.1:9", "mend")


def test_a_folder_of_another_recipe_is_refused_with_the_difference_and_both_mends(
    tmp_path: Path, tracemill: Tracemill
) -> None:
    assert tracemill("run", write(tmp_path), "--out", "run").returncode == 0
    done = tracemill("run", write(tmp_path, sampling={"temperature": 0.5}), "--out", "run")
    refused(done, 2, "sampling.temperature", "--reuse", "--fresh")


def test_a_tunable_change_resumes_and_only_adds(tmp_path: Path, tracemill: Tracemill) -> None:
    assert tracemill("run", write(tmp_path), "--out", "run").returncode == 0
    assert tracemill("run", write(tmp_path, strategy={"n": 3}), "--out", "run").returncode == 0
    rows = tracemill("sql", "SELECT count(*) AS n FROM traces", "--run", "run", "--format", "json")
    assert json.loads(rows.stdout) == [{"n": 12}]


def test_a_finished_run_given_again_adds_nothing_but_that_it_was_started(tmp_path: Path, tracemill: Tracemill) -> None:
    for _ in range(2):
        assert tracemill("run", write(tmp_path), "--out", "run").returncode == 0
    stages = Counter(path.name.partition("-")[0] for path in (tmp_path / "run" / "_commits").iterdir())
    assert (stages["run"], stages["views"]) == (2, 1)


def test_a_dry_run_prints_the_prompt_and_counts_and_writes_nothing(tmp_path: Path, tracemill: Tracemill) -> None:
    recipe = write(tmp_path, engine={"kind": "openai", "model": "m", "base_url": "http://127.0.0.1:9/v1"})
    done = tracemill("run", recipe, "--out", "run", "--dry-run")
    assert done.returncode == 0, done.stderr
    assert "What is 0 + 1?" in done.stdout
    assert "8" in done.stdout
    assert not (tmp_path / "run").exists()
