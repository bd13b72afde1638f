"""The installed command in a process of its own: quick help, quiet ends, no noise."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tracemill.schemas.records import Problem

COMMAND = str(Path(sys.executable).with_name("tracemill"))


def tracemill(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "TRACEMILL_RUNS": str(folder / "runs")}
    return subprocess.run(
        [COMMAND, *arguments], cwd=folder, env=environment, capture_output=True, text=True, timeout=60, check=False
    )


def test_help_is_quick(tmp_path: Path) -> None:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = tracemill(tmp_path, "--help")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode == 0
    assert "tracemill run demo" in done.stdout
    assert (
        after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 0.6
    )  # 0.2 s of CPU where nothing else runs


@pytest.mark.parametrize(
    ("override", "named"),
    [("strategy.n=0", "strategy.n"), ("sampling.top_p=3", "sampling.top_p"), ("stratgy.n=2", "strategy")],
)
def test_a_bad_recipe_is_one_short_error_and_writes_nothing(tmp_path: Path, override: str, named: str) -> None:
    done = tracemill(tmp_path, "run", "demo", "--set", override)
    assert (done.returncode, done.stdout) == (2, "")
    assert named in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.splitlines()) <= 4
    assert not (tmp_path / "runs").exists()


def test_wrong_sql_leaves_nothing_but_its_message_on_stderr(tmp_path: Path, bench: Any, said: Any) -> None:
    bench.run([(Problem("1 + 1?", "answer", "hand", gold="2"), [said("2")])], folder="runs/hand")
    done = tracemill(tmp_path, "sql", "SELECT 1 FRM x")
    assert done.returncode == 2
    assert done.stderr.startswith("error: SQL: Parser Error")
    assert len(done.stderr.splitlines()) <= 4


def test_a_reader_that_goes_away_is_no_error(tmp_path: Path, bench: Any, said: Any) -> None:
    bench.run([(Problem("1 + 1?", "answer", "hand", gold="2"), [said("2")])], folder="runs/hand")
    script = f"{COMMAND} sql 'FROM range(300000)' --format csv --run runs/hand | head -n 1"
    done = subprocess.run(["sh", "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout, done.stderr) == ("range\n", "")
