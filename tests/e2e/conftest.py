"""The installed command, in a process of its own, with a home of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

Tracemill = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """An environment without the user's keys, home or proxies."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "TMPDIR") if name in os.environ}
    return {
        **kept,
        "HOME": str(tmp_path / "home"),
        "TRACEMILL_HOME": str(tmp_path / "home"),
        "PYTHONWARNINGS": "ignore",
    }


@pytest.fixture
def command() -> str:
    return str(Path(sys.executable).with_name("tracemill"))


@pytest.fixture
def tracemill(tmp_path: Path, environment: dict[str, str], command: str) -> Tracemill:
    """Runs ``tracemill`` in a scratch folder and returns what it did."""

    def call(
        *arguments: str, env: Mapping[str, str] | None = None, timeout: float = 120
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [command, *arguments],
            cwd=tmp_path,
            env={**environment, **(env or {})},
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    return call


@dataclass(frozen=True)
class Standin:
    """A stand-in model server in a process of its own: its address, and the log of the requests that it received."""

    url: str
    log: Path


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Standin]]:
    """Starts stand-in servers by name, with options; they end with the test."""
    script = Path(__file__).parents[1] / "standin" / "server.py"
    started: list[subprocess.Popen[str]] = []

    def start(name: str, *options: str) -> Standin:
        log = tmp_path / f"{name}.log"
        child = subprocess.Popen(
            [sys.executable, str(script), "--log", str(log), *options], stdout=subprocess.PIPE, text=True
        )
        started.append(child)
        assert child.stdout is not None
        return Standin(f"http://127.0.0.1:{json.loads(child.stdout.readline())['port']}/v1", log)

    yield start
    for child in started:
        child.kill()
        child.wait()
