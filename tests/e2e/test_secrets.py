"""A key comes from the environment and stays there: it is in no file, table, log, report or message of ours."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

KEY = "sk-planted-0123456789abcdef"


def test_a_planted_key_is_found_nowhere(
    tmp_path: Path, tracemill: Callable[..., subprocess.CompletedProcess[str]], serve: Callable[..., Any]
) -> None:
    hostile = serve("echo", "--echo-key", "--fail-rate", "0.3", "--fail-status", "400", "--api-key", KEY)
    lines = [json.dumps({"prompt": f"What is {n} + 1?", "gold": str(n + 1)}) for n in range(12)]
    (tmp_path / "problems.jsonl").write_text("\n".join(lines))
    recipe = {
        "name": "keyed",
        "problems": [{"kind": "file", "path": "problems.jsonl", "verifier": "answer"}],
        "engine": {"kind": "openai", "model": "standin", "base_url": hostile.url, "api_key_env": "MY_MODEL_KEY"},
        "strategy": {"n": 2},
        "orchestrator": "none",
    }
    (tmp_path / "keyed.yaml").write_text(json.dumps(recipe))
    keyed = {"MY_MODEL_KEY": KEY}
    said = [
        tracemill("run", "keyed.yaml", "--out", "run", "--examples", "2", env=keyed),
        tracemill("report", "run", env=keyed),
        tracemill("publish", "run", "--repo", "me/keyed", "--dry-run", "repo", env=keyed),
        tracemill("run", "keyed.yaml", "--out", "refused", env={"MY_MODEL_KEY": KEY + "-wrong"}),
    ]
    assert [done.returncode for done in said] == [0, 0, 0, 1], [done.stderr for done in said]
    errors = tracemill(
        "sql", "SELECT count(*) AS n FROM traces WHERE error IS NOT NULL", "--run", "run", "--format", "json"
    )
    assert json.loads(errors.stdout)[0]["n"] > 0  # the key was echoed back at us
    assert not [done for done in said if KEY in done.stdout + done.stderr]
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert any(path.suffix == ".parquet" for path in files)
    assert not [path for path in files if KEY.encode() in path.read_bytes()]
    everything = tracemill("sql", "SELECT * FROM traces, requests LIMIT 100000", "--run", "run", "--format", "json")
    assert KEY not in everything.stdout
