"""The installed command, in a process of its own, with a home of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
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
