"""The contract's clauses, and the stand-in server in a process of its own."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

SERVER = Path(__file__).parents[2] / "standin" / "server.py"


def _load() -> ModuleType:
    name = "tracemill_engine_contract"
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name("contract.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


CONTRACT = _load()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "clause" in metafunc.fixturenames:
        metafunc.parametrize("clause", CONTRACT.CLAUSES, ids=[clause.__name__ for clause in CONTRACT.CLAUSES])


@pytest.fixture
def contract() -> ModuleType:
    """The module ``contract``: its ``Subject``, ``REQUESTS`` and ``ask``."""
    return CONTRACT


@pytest.fixture(scope="session")
def standin_script() -> Path:
    return SERVER


@pytest.fixture(scope="session")
def shared_standin() -> Iterator[str]:
    """One plain stand-in for all tests that do not trouble it; it answers sums rightly half the time."""
    command = [sys.executable, str(SERVER), "--answers", "0.5", "--reply-bytes", "300", "--latency-ms", "1"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    yield f"http://127.0.0.1:{json.loads(process.stdout.readline())['port']}/v1"
    process.kill()
    process.wait()
    process.stdout.close()
