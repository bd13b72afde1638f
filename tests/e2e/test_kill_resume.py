"""Promise 3: killed at any instant, a run resumes to the same tables, and pays twice only for what was in flight.

The model is a stand-in server in a process of its own, with 50 ms of latency and a log of every request that it received.
Kills are spread evenly over the stages.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tracemill.tasks.store import RunStore, compare_runs

LATENCY_MS = 50
OPTIONS = ("--latency-ms", str(LATENCY_MS), "--answers", "0.5", "--reply-bytes", "600")
IN_FLIGHT = 16
PROBLEMS, SAMPLES = 200, 4
TOTAL = PROBLEMS * SAMPLES
#: Rows that may be answered and not yet durable: the ledger commits every 100 ms, or 256 rows.
UNCOMMITTED = min(256, IN_FLIGHT * 100 // LATENCY_MS)


def received(log: Path) -> list[tuple[str, str]]:
    """(prompt, seed) of every request that the stand-in received, in order."""
    lines = log.read_text().splitlines() if log.exists() else []
    rows = [json.loads(line) for line in lines]
    return [(row["prompt"], str(row["seed"])) for row in rows]


def recipe(folder: Path, standin: Any) -> Path:
    source = folder.parent / "problems.jsonl"
    rng = random.Random(0)
    rows = [(rng.randrange(1000), rng.randrange(1000)) for _ in range(PROBLEMS)]
    source.write_text("\n".join(json.dumps({"prompt": f"What is {a} + {b}?", "gold": str(a + b)}) for a, b in rows))
    path = folder / "recipe.yaml"
    document = {
        "name": "killed",
        "problems": [{"kind": "file", "path": str(source), "verifier": "answer"}],
        "engine": {"kind": "openai", "model": "standin", "base_url": standin.url, "concurrency": IN_FLIGHT},
        "sampling": {"max_tokens": 1000},
        "strategy": {"n": SAMPLES},
        "shard_size": 10,  # many shards, so that a late look at one commit does not miss all the others
        "verifier_workers": 1,
        "orchestrator": "none",
    }
    path.write_text(json.dumps(document))
    return path


def start(command: str, path: Path, out: Path, environment: dict[str, str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [command, "run", str(path), "--out", str(out)],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def there(out: Path, pattern: str) -> set[Path]:
    """What matches now; a folder that is being renamed meanwhile matches nothing."""
    try:
        return set(out.glob(pattern))
    except FileNotFoundError:
        return set()


def moments(kills: int, out: Path, standin: Any) -> list[Callable[[], Callable[[], bool]]]:
    """When to kill: as many in each of start, load, sample, verify and views. Each is made when its process starts, and
    comes with something that this process did."""
    each = kills // 5

    def after(seconds: float) -> Callable[[], Callable[[], bool]]:
        def made() -> Callable[[], bool]:
            until = time.monotonic() + seconds
            return lambda: time.monotonic() > until

        return made

    def new(pattern: str, count: int = 1) -> Callable[[], Callable[[], bool]]:
        def made() -> Callable[[], bool]:
            before = there(out, pattern)
            return lambda: len(there(out, pattern) - before) >= count

        return made

    def asked(count: int) -> Callable[[], Callable[[], bool]]:
        return lambda: lambda: len(set(received(standin.log))) >= count

    def loading(pattern: str) -> Callable[[], Callable[[], bool]]:
        """At that file; where an earlier process made it already, at the first request, which loading comes before."""

        def made() -> Callable[[], bool]:
            appeared, asked_before = new(pattern)(), len(received(standin.log))
            return lambda: appeared() or len(received(standin.log)) > asked_before

        return made

    start = [after(1.2 * k / each) for k in range(each)]
    load = [
        loading(("_lock", "recipe.json", "problems/_empty.parquet", "_commits/load-*.json")[k % 4]) for k in range(each)
    ]
    load[4:] = [after(0.8 + 0.1 * k) for k in range(len(load[4:]))]
    sample = [asked(TOTAL * (k + 1) // (each + 1)) for k in range(each)]
    verify = [new("_commits/verify-*.json") for _ in range(each)]
    between = [moment for pair in zip(sample, verify, strict=True) for moment in pair]
    views = [new(("views/.part-*", "views/.part-*/*.parquet")[k % 2]) for k in range(each)]
    views[-1] = new("_commits/views-*.json")
    return [*start, *load, *between, *views]


def killed_runs(kills: int, command: str, path: Path, out: Path, environment: dict[str, str], standin: Any) -> int:
    """Start and SIGKILL the command ``kills`` times; returns how many kills hit a living process."""
    hit = 0
    for made in moments(kills, out, standin):
        moment = made()
        child = start(command, path, out, environment)
        while child.poll() is None and not moment():
            time.sleep(0.003)
        if child.poll() is None:
            hit += 1
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()
    return hit


def check(kills: int, tmp_path: Path, command: str, environment: dict[str, str], serve: Callable[..., Any]) -> str:
    calm, hostile = serve("calm", *OPTIONS), serve("hostile", *OPTIONS)
    (tmp_path / "calm").mkdir()
    (tmp_path / "hostile").mkdir()
    undisturbed = start(command, recipe(tmp_path / "calm", calm), tmp_path / "calm" / "run", environment)
    assert undisturbed.wait(timeout=300) == 0
    path, out = recipe(tmp_path / "hostile", hostile), tmp_path / "hostile" / "run"
    hit = killed_runs(kills, command, path, out, environment, hostile)
    assert start(command, path, out, environment).wait(timeout=300) == 0
    differences = compare_runs(RunStore.open(tmp_path / "calm" / "run"), RunStore.open(out))
    assert differences == []
    paid = Counter(received(hostile.log))
    assert len(paid) == TOTAL
    twice = paid.total() - TOTAL
    assert twice <= hit * (IN_FLIGHT + UNCOMMITTED)
    assert hit >= kills // 2  # what is done cannot be killed
    return (
        f"{hit} of {kills} kills hit; {twice} of {TOTAL} requests paid twice (bound {hit * (IN_FLIGHT + UNCOMMITTED)})"
    )


@pytest.mark.slow
def test_twenty_kills_spread_over_the_stages_change_nothing(
    tmp_path: Path, command: str, environment: dict[str, str], serve: Callable[..., Any]
) -> None:
    print(check(20, tmp_path, command, environment, serve))


@pytest.mark.full
def test_a_hundred_kills_change_nothing(
    tmp_path: Path, command: str, environment: dict[str, str], serve: Callable[..., Any]
) -> None:
    print(check(100, tmp_path, command, environment, serve))
