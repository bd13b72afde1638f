"""Schedules outlive their server, fire by their cron on a real Prefect server, and add only what is new."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tracemill.flows.deployments import schedule, schedules, shipped, unschedule
from tracemill.flows.server import TAG
from tracemill.schemas.errors import UsageError
from tracemill.schemas.recipe import Recipe
from tracemill.tasks.store import RunStore

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TRACEMILL_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def recipe(**more: Any) -> Recipe:
    document = {
        "name": "tiny",
        "problems": [{"kind": "file", "path": "problems.jsonl", "verifier": "answer"}],
        "engine": {"kind": "simulated", "simulation": {"success": 0.5}},
        "strategy": {"n": 2},
        "verifier_workers": 1,
        **more,
    }
    return Recipe.model_validate(document)


def add_problems(path: Path, numbers: range) -> None:
    with path.open("a") as file:
        file.writelines(json.dumps({"prompt": f"What is {n} + {n}?", "gold": str(2 * n)}) + "\n" for n in numbers)


@pytest.mark.usefixtures("home")
class TestSchedule:
    def test_a_schedule_is_kept_with_the_recipe_and_the_folder_it_was_made_in(self) -> None:
        name = schedule(recipe(), "0 2 * * *", "out", "Europe/Berlin")
        (kept,) = schedules()
        assert (kept.name, kept.cron, kept.timezone) == (name, "0 2 * * *", "Europe/Berlin")
        assert Recipe.model_validate(kept.recipe) == recipe()
        assert (kept.out, kept.folder) == (os.path.abspath("out"), os.getcwd())

    def test_the_same_recipe_and_folder_replace_their_schedule(self) -> None:
        assert schedule(recipe(), "0 2 * * *", "out") == schedule(recipe(limit=3), "0 3 * * *", "out")
        assert [kept.cron for kept in schedules()] == ["0 3 * * *"]
        schedule(recipe(), "0 2 * * *", "elsewhere")
        assert len(schedules()) == 2

    @pytest.mark.parametrize(
        ("cron", "timezone"), [("every night", None), ("61 2 * * *", None), ("0 2 * * *", "Mars/Olympus")]
    )
    def test_what_is_no_cron_or_timezone_is_refused_and_nothing_is_kept(self, cron: str, timezone: str | None) -> None:
        with pytest.raises(UsageError):
            schedule(recipe(), cron, "out", timezone)
        assert schedules() == []

    def test_a_schedule_is_taken_back_by_its_name_or_by_the_name_of_its_recipe(self) -> None:
        name = schedule(recipe(), "0 2 * * *", "out")
        assert unschedule(name) == name
        assert schedules() == []
        one, other = schedule(recipe(), "0 2 * * *", "out"), schedule(recipe(), "0 2 * * *", "elsewhere")
        with pytest.raises(UsageError, match="2 schedules of 'tiny'"):
            unschedule("tiny")
        unschedule(other)
        assert unschedule("tiny") == one
        with pytest.raises(UsageError, match="no schedule 'tiny'"):
            unschedule("tiny")

    def test_a_damaged_schedule_is_named(self, home: Path) -> None:
        schedule(recipe(), "0 2 * * *", "out")
        (path,) = (home / "home" / "schedules").glob("*.json")
        path.write_text("{")
        with pytest.raises(UsageError, match="not a schedule"):
            schedules()


def test_shipped_deployments_name_the_flow_and_hold_valid_recipes() -> None:
    from prefect.utilities.importtools import import_object

    document = yaml.safe_load((ROOT / "prefect.yaml").read_text())
    found = shipped(str(ROOT / "prefect.yaml"))
    assert [entry["name"] for entry in document["deployments"]] == [scheduled.name for scheduled in found]
    for entry, scheduled in zip(document["deployments"], found, strict=True):
        path, _, attribute = entry["entrypoint"].partition(":")
        module = "tracemill." + path.removesuffix(".py").replace("/", ".")
        flow = import_object(f"{module}:{attribute}")
        flow.validate_parameters(entry["parameters"])
        flow.validate_parameters(scheduled.parameters)
        assert scheduled.paused


SERVE = "import sys; from tracemill.flows.server import serve; serve(port=int(sys.argv[1]), poll=1.0)"


def until(what: Callable[[], bool], timeout: float, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + timeout
    while not what():
        assert process.poll() is None, "serve ended"
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.5)


def deployments(port: int) -> set[str]:
    """The names of the server's deployments that are ours."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/api/deployments/filter",
        data=json.dumps({"deployments": {"tags": {"all_": [TAG]}}}).encode(),
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        return {deployment["name"] for deployment in json.load(answer)}


@pytest.mark.slow
def test_a_cron_fires_on_a_real_server_adds_only_what_is_new_and_is_taken_back(home: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    out, problems = home / "out", home / "problems.jsonl"
    add_problems(problems, range(5))
    schedule(recipe(), "* * * * *", str(out))
    process = subprocess.Popen(
        [sys.executable, "-c", SERVE, str(port)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )

    def finished() -> int:
        return RunStore.open(str(out)).read("runs").num_rows if (out / "_commits").exists() else 0

    try:
        until(lambda: finished() >= 1, 240, process)
        first = RunStore.open(str(out)).read("traces")["trace_id"].to_pylist()
        assert len(first) == 10
        add_problems(problems, range(5, 8))
        before = finished()
        assert len(deployments(port)) == 1
        until(lambda: finished() > before, 240, process)
        run = RunStore.open(str(out))
        assert set(first) < set(run.read("traces")["trace_id"].to_pylist())
        assert run.read("traces").num_rows == run.read("requests").num_rows == 16
        unschedule("tiny")
        until(lambda: deployments(port) == set(), 60, process)
        process.send_signal(signal.SIGTERM)
        _, stderr = process.communicate(timeout=60)
        assert (process.returncode, stderr) == (0, "")
    finally:
        process.kill()
        process.wait()
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", port))
    assert not (home / "home" / "prefect" / "serve.json").exists()


def test_a_taken_port_is_a_clear_error(home: Path) -> None:
    from tracemill.flows.server import serve

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(UsageError, match="port is taken"):
            serve(port=taken.getsockname()[1])
