"""Verifying a run again: one command, and twice is as good as once."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tracemill.flows.cli import app
from tracemill.flows.pipeline import verify_run
from tracemill.schemas.recipe import Recipe
from tracemill.schemas.records import Problem
from tracemill.tasks.queries import connect
from tracemill.tasks.store import RunStore

OUTSIDE = Path(__file__).parents[1] / "verifiers" / "outside"


@pytest.fixture
def outside(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Verifiers from outside the repository, importable here and in workers."""
    monkeypatch.syspath_prepend(str(OUTSIDE))
    yield
    for name in ("gullible", "changing"):
        sys.modules.pop(name, None)


def unlabelled(bench: Any, said: Any, verifier: str, *texts: str) -> str:
    """A run with one problem and these traces, none verified: its folder."""
    problem = Problem("What is 1 + 1?", verifier, "hand", gold="good")
    path = bench.run([(problem, [said(None, text=text) for text in texts])]).path
    options = {"state": str(bench.root / "state")} if verifier.startswith("changing") else {}
    document = {
        "name": "hand",
        "problems": [{"kind": "file", "path": "p.jsonl"}],
        "verifiers": [{"kind": verifier, "options": options}],
    }
    RunStore.start(path, Recipe.model_validate(document)).close()
    return path


def outcomes(path: str) -> list[str]:
    return sorted(RunStore.open(path).read("verdicts")["outcome"].to_pylist())


async def test_verifying_a_run_again_mends_errors_finds_what_changes_and_adds_nothing_the_second_time(
    bench: Any, said: Any, outside: None
) -> None:
    path = unlabelled(bench, said, "changing:verifier", "steady", "mends", "flip")
    assert (await verify_run(path, recheck=0.0)).given == 3
    assert outcomes(path) == ["correct", "correct", "error"]

    found = await verify_run(path, recheck=1.0)
    assert (found.given, found.asked, found.mended, found.compared) == (0, 1, 1, 3)
    assert len(found.differing) == 1
    assert "correct, then incorrect" in found.differing[0]
    run = RunStore.open(path)
    assert outcomes(path) == ["correct", "correct", "correct", "error"]
    with connect([run]) as connection:
        final = connection.execute("SELECT outcome FROM final_verdict").fetchall()
    assert final == [("correct",)] * 3
    assert [row["reason"] for row in run.read("drops").to_pylist() if row["stage"] == "problem"] == ["flaky"]

    def rows() -> dict[str, int]:
        return {name: RunStore.open(path).read(name).num_rows for name in ("verdicts", "traces", "problems", "drops")}

    before = rows()
    again = await verify_run(path, recheck=1.0)
    assert (again.given, again.asked, again.mended) == (0, 0, 0)
    assert rows() == before


async def test_a_new_version_of_a_verifier_gives_new_verdicts_beside_the_old(
    bench: Any, said: Any, outside: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = unlabelled(bench, said, "gullible:verifier", "good", "bad")
    assert (await verify_run(path)).given == 2
    import gullible

    monkeypatch.setattr(gullible, "VERSION", "4")
    assert (await verify_run(path)).given == 2
    assert (await verify_run(path)).given == 0
    assert sorted(RunStore.open(path).read("verdicts")["version"].to_pylist()) == ["3", "3", "4", "4"]


def test_the_command_says_what_it_found_and_exits_with_1_where_a_verdict_changed(
    bench: Any, said: Any, outside: None, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app, "_hush", lambda: None)
    path = unlabelled(bench, said, "changing:verifier", "steady", "flip")
    assert app.call(["verify", path, "--recheck", "0"]) == 0
    assert "new verdicts     2" in capsys.readouterr().out
    assert app.call(["verify", path, "--recheck", "1"]) == 1
    said_now = capsys.readouterr().out
    assert "compared         2, of which 1 differ" in said_now
    assert "flaky: correct, then incorrect" in said_now
    assert app.call(["verify", path, "--verifier", "answer"]) == 2
