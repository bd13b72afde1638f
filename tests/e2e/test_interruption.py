"""Ctrl-C at any time, a full disk, an endpoint that answers garbage: one clear line, nothing lost, and the run resumes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

Tracemill = Callable[..., subprocess.CompletedProcess[str]]
TOTAL = 40


def write(folder: Path, url: str, **engine: Any) -> Path:
    lines = [json.dumps({"prompt": f"What is {n} + {n}?", "gold": str(2 * n)}) for n in range(TOTAL // 2)]
    (folder / "problems.jsonl").write_text("\n".join(lines))
    recipe = {
        "name": "stopped",
        "problems": [{"kind": "file", "path": str(folder / "problems.jsonl"), "verifier": "answer"}],
        "engine": {"kind": "openai", "model": "standin", "base_url": url, "concurrency": 4, **engine},
        "strategy": {"n": 2},
        "shard_size": 5,
        "orchestrator": "none",
    }
    path = folder / "stopped.yaml"
    path.write_text(json.dumps(recipe))
    return path


def traces(tracemill: Tracemill, out: Path) -> int:
    done = tracemill(
        "sql", "SELECT count(*) AS n FROM traces WHERE error IS NULL", "--run", str(out), "--format", "json"
    )
    return int(json.loads(done.stdout)[0]["n"])


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["imports", "loaded", "sampling"])
def test_ctrl_c_ends_quietly_and_the_same_command_resumes(
    tmp_path: Path,
    tracemill: Tracemill,
    command: str,
    environment: dict[str, str],
    serve: Callable[..., Any],
    moment: str,
) -> None:
    standin = serve("slow", "--latency-ms", "100", "--answers", "0.5")
    path, out = write(tmp_path, standin.url), tmp_path / "run"
    reached: dict[str, Callable[[], bool]] = {
        "imports": lambda: "pydantic_core" in Path(f"/proc/{child.pid}/maps").read_text(),
        "loaded": lambda: any((out / "_commits").glob("load-*")),
        "sampling": lambda: any((out / "_commits").glob("sample-*")),
    }
    child = subprocess.Popen(
        [command, "run", str(path), "--out", str(out)], env=environment, stderr=subprocess.PIPE, text=True
    )
    while child.poll() is None and not reached[moment]():
        time.sleep(0.005)
    child.send_signal(signal.SIGINT)
    _, said = child.communicate(timeout=30)
    assert child.returncode == 130, said
    assert "Traceback" not in said
    assert tracemill("run", str(path), "--out", str(out)).returncode == 0
    assert traces(tracemill, out) == TOTAL


def test_an_endpoint_that_answers_garbage_is_an_error_and_the_mended_one_resumes(
    tmp_path: Path, tracemill: Tracemill, serve: Callable[..., Any]
) -> None:
    out = tmp_path / "run"
    garbage = write(tmp_path, serve("garbage", "--garbage-every", "1").url, retries=0)
    done = tracemill("run", str(garbage), "--out", str(out))
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "mend" in done.stderr
    assert len(done.stderr.splitlines()) <= 24
    mended = write(tmp_path, serve("sound", "--answers", "0.5").url)
    assert tracemill("run", str(mended), "--out", str(out)).returncode == 0
    assert traces(tracemill, out) == TOTAL


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 6 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if made.returncode:
        pytest.skip("a small file system cannot be mounted here (needs root)")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=False)


def test_a_full_disk_is_one_clear_error_and_the_run_resumes_when_there_is_room(
    tmp_path: Path, tracemill: Tracemill, serve: Callable[..., Any], small_disk: Path
) -> None:
    path, out = write(tmp_path, serve("sound", "--answers", "0.5").url), small_disk / "run"
    ballast = small_disk / "ballast"
    ballast.write_bytes(os.urandom(6 * 2**20 - 600 * 1024))
    done = tracemill("run", str(path), "--out", str(out))
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    assert "space" in done.stderr
    ballast.unlink()
    assert tracemill("run", str(path), "--out", str(out)).returncode == 0
    assert traces(tracemill, out) == TOTAL
