"""A run as a Prefect flow run: seen in full, silent, and not lost with its server. Each test is one process of its own."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow

#: A run of eight shards in the pipeline's place; the third does what it is told to.
SCRIPT = """
import asyncio, json, os, pathlib, signal, sys
from tracemill.flows import synthesize as module
from tracemill.flows.prefect_server import PrefectServer
from tracemill.schemas.errors import EngineError
from tracemill.schemas.recipe import Recipe
from tracemill.tasks.reporting import summary
from tracemill.tasks.reporting.listener import NullListener

seen, notes, servers = [], [], []
event = sys.argv[1]

class Run:
    name = "demo"

class Notes(NullListener):
    def note(self, text):
        notes.append(text)

class Watched(PrefectServer):
    def launch(self):
        servers.append(self)
        return super().launch()

async def pipeline(recipe, out, *, fresh, reuse, listener, orchestrator):
    async def work(shard):
        seen.append(shard)
        await asyncio.sleep(0.02)
        if shard == "shard_00000002" and event == "kill":
            servers[0].stop()
        if shard == "shard_00000002" and event == "fail":
            raise EngineError("the engine is gone", where="here")
        if event == "wait":
            print("ready", flush=True)
            await asyncio.sleep(600)
    await orchestrator.run_shards("sample", [f"shard_{i:08x}" for i in range(8)], work, in_flight=3)
    return Run()

module.pipeline.synthesize = pipeline
module.PrefectServer = Watched
summary.summarise = lambda run: run.name
summary.to_markdown = lambda text: "# " + text
recipe = Recipe(name="demo", problems=[{"kind": "file", "path": "x.jsonl"}], orchestrator=sys.argv[2])
failure = None
try:
    module.run_recipe(recipe, "out", listener=Notes())
except EngineError as error:
    failure = str(error)
except KeyboardInterrupt:
    sys.exit(130)
pathlib.Path("result.json").write_text(json.dumps({"seen": seen, "notes": notes, "failure": failure}))
"""

Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def start(tmp_path: Path) -> Start:
    """Starts the script in a home of its own."""
    (tmp_path / "script.py").write_text(SCRIPT)
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "TMPDIR") if name in os.environ}

    def call(event: str, orchestrator: str = "prefect", **more: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "script.py", event, orchestrator],
            cwd=tmp_path,
            env={**kept, "HOME": str(tmp_path / "user"), "TRACEMILL_HOME": str(tmp_path / "home"), **more},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return call


def finished(process: subprocess.Popen[str], folder: Path) -> Mapping[str, Any]:
    """What the script saw, given that it ended well and printed nothing at all."""
    stdout, stderr = process.communicate(timeout=120)
    assert (process.returncode, stdout, stderr) == (0, "", "")
    assert not (folder / "user" / ".prefect").exists()
    result: Mapping[str, Any] = json.loads((folder / "result.json").read_text())
    return result


def rows(folder: Path, query: str) -> list[tuple[Any, ...]]:
    with sqlite3.connect(folder / "home" / "prefect" / "prefect.db") as connection:
        return connection.execute(query).fetchall()


def servers_left() -> list[str]:
    """Command lines of the Prefect servers of ours that still run."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = entry.read_bytes()
            cwd = os.readlink(entry.parent / "cwd")
        except OSError:
            continue
        if b"prefect.server.api.server:create_app" in command:
            found.append(cwd)
    return found


def test_a_run_is_a_flow_run_with_a_task_run_for_each_shard(start: Start, tmp_path: Path) -> None:
    result = finished(start("nothing"), tmp_path)
    assert result == {"seen": [f"shard_{i:08x}" for i in range(8)], "notes": [], "failure": None}
    assert rows(tmp_path, "select name, state_name from flow_run") == [("demo", "Completed")]
    names = [(f"sample-{i:08x}", "Completed") for i in range(8)]
    assert rows(tmp_path, "select name, state_name from task_run order by name") == names
    assert [data for (data,) in rows(tmp_path, "select data from artifact")] == [json.dumps("# demo")]
    assert str(tmp_path) not in servers_left()


def test_no_shard_is_lost_or_done_twice_when_the_api_dies_in_the_middle(start: Start, tmp_path: Path) -> None:
    result = finished(start("kill"), tmp_path)
    assert result["seen"] == [f"shard_{i:08x}" for i in range(8)]
    assert len(result["notes"]) == 1
    assert "Prefect" in result["notes"][0]


def test_an_unreachable_api_costs_one_note(start: Start, tmp_path: Path) -> None:
    result = finished(start("nothing", PREFECT_API_URL="http://127.0.0.1:9/api"), tmp_path)
    assert result["seen"] == [f"shard_{i:08x}" for i in range(8)]
    assert len(result["notes"]) == 1


def test_a_dead_engine_ends_the_run_with_its_own_error(start: Start, tmp_path: Path) -> None:
    result = finished(start("fail"), tmp_path)
    assert result["failure"] == "here: the engine is gone"
    assert result["notes"] == []
    assert rows(tmp_path, "select state_name from flow_run") == [("Failed",)]


def test_without_an_orchestrator_nothing_of_prefect_is_started(start: Start, tmp_path: Path) -> None:
    result = finished(start("nothing", "none"), tmp_path)
    assert len(result["seen"]) == 8
    assert not (tmp_path / "home" / "prefect" / "prefect.db").exists()


def test_ctrl_c_ends_it_soon_and_silently(start: Start, tmp_path: Path) -> None:
    process = start("wait")
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    told = time.monotonic()
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=60)
    assert (process.returncode, stderr) == (130, "")
    assert time.monotonic() - told < 20
    assert rows(tmp_path, "select state_type from flow_run")[0][0] in ("CRASHED", "CANCELLED")
    assert str(tmp_path) not in servers_left()
