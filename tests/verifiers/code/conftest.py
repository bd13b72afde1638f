"""The two tasks that every attack is tried on, and what a host must look like afterwards."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from tracemill.schemas.errors import TracemillError
from tracemill.verifiers.base import Candidate
from tracemill.verifiers.code.inside.fence import Layers
from tracemill.verifiers.code.server import close_servers, server_for
from tracemill.verifiers.code.verifier import check, verifier

CASES = Path(__file__).resolve().parents[4] / "shared" / "cases"
PRODUCT = [
    "assert mul(3, 4) == 12",
    "assert mul(-7, 5) == -35",
    "assert mul(10**4, 10**4) == 10**8",
]
LINES = [["2\n5 6\n1 1\n", "11\n2\n"], ["1\n-4 9\n", "5\n"], ["0\n", ""]]


@pytest.fixture(scope="session", autouse=True)
def sandbox():
    """The layers of this host; tests that need a sandbox are skipped where there is none."""
    if sys.platform != "linux":
        pytest.skip("programs are walled in on Linux only")
    try:
        layers = server_for("programs").layers
    except TracemillError as error:
        pytest.skip(str(error))
    yield layers
    close_servers()


@pytest.fixture(scope="session")
def layers(sandbox: Layers) -> Layers:
    return sandbox


def _judged(response: str, spec: dict | None = None, *, prompt: str = "", finish_reason: str = "stop", **options):
    """One judgement, in this process: a child does the running."""
    config = verifier({"time_limit": 1.0, **options}).config
    spec = {"tests": PRODUCT, "entry_point": "mul"} if spec is None else spec
    return check(Candidate("c", response, spec=spec, prompt=prompt, finish_reason=finish_reason), config)


def _lines(response: str, **options):
    """Like ``_judged``, for the task over standard input and output: the sum of each pair."""
    return _judged(response, {"cases": LINES}, **options)


def _descendants(root: int | None = None) -> set[int]:
    """Every live process below ``root`` (this one)."""
    parents: dict[int, int] = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                text = Path(f"/proc/{entry}/stat").read_text()
            except OSError:
                continue
            parents[int(entry)] = int(text.rpartition(")")[2].split()[1])
    found, grown = {root or os.getpid()}, True
    while grown:
        more = {pid for pid, parent in parents.items() if parent in found} - found
        found |= more
        grown = bool(more)
    return found - {root or os.getpid()}


@pytest.fixture
def judged():
    """(response, spec=None, *, prompt, finish_reason, **options) -> Judgement, on ``mul(a, b)`` by default."""
    return _judged


@pytest.fixture
def lines():
    """(response, **options) -> Judgement, on the sums over standard input."""
    return _lines


@pytest.fixture
def descendants():
    """(root=None) -> the live processes below it."""
    return _descendants


@pytest.fixture
def cases() -> Path:
    """The folder of labelled cases; the test is skipped where it is absent."""
    if not CASES.exists():
        pytest.skip(f"no labelled cases at {CASES}")
    return CASES
