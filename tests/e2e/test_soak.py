"""The long form: tens of thousands of requests against a server that fails in every way, and nothing is lost or doubled."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

PROBLEMS, SAMPLES = 2500, 8


@pytest.mark.full
def test_a_server_that_fails_in_every_way_costs_no_attempt(
    tmp_path: Path, tracemill: Callable[..., subprocess.CompletedProcess[str]], serve: Callable[..., Any]
) -> None:
    hostile = serve(
        "hostile",
        *("--latency-ms", "20", "--jitter", "0.9", "--answers", "0.4", "--reply-bytes", "2000"),
        *("--fail-rate", "0.05", "--fail-status", "503", "--drop-every", "211", "--garbage-every", "307"),
        *("--capacity", "200"),
    )
    lines = [json.dumps({"prompt": f"What is {n} + {n + 3}?", "gold": str(2 * n + 3)}) for n in range(PROBLEMS)]
    (tmp_path / "problems.jsonl").write_text("\n".join(lines))
    recipe = {
        "name": "soak",
        "problems": [{"kind": "file", "path": "problems.jsonl", "verifier": "answer"}],
        "engine": {"kind": "openai", "model": "standin", "base_url": hostile.url, "concurrency": 400, "retries": 10},
        "strategy": {"n": SAMPLES},
        "orchestrator": "none",
    }
    (tmp_path / "soak.yaml").write_text(json.dumps(recipe))
    done = tracemill("run", "soak.yaml", "--out", "run", timeout=1800)
    assert done.returncode == 0, done.stderr
    query = (
        "SELECT count(*) AS rows, count(DISTINCT attempt_id) AS attempts, count(error) AS errors, "
        "(SELECT count(*) FROM verdicts) AS verdicts FROM traces"
    )
    found = json.loads(tracemill("sql", query, "--run", "run", "--format", "json").stdout)[0]
    assert found == {
        "rows": PROBLEMS * SAMPLES,
        "attempts": PROBLEMS * SAMPLES,
        "errors": 0,
        "verdicts": PROBLEMS * SAMPLES,
    }
