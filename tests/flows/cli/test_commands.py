"""The commands, in process: what they print, where, and with which exit code."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from tracemill.flows.cli import app
from tracemill.flows.cli.closing import as_typed
from tracemill.schemas.records import Problem

PROBLEM = Problem("1 + 1?", "answer", "hand", gold="2", domain="sum")


@dataclass(frozen=True, slots=True)
class Done:
    code: int
    out: str
    err: str


@pytest.fixture
def tracemill(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Callable[..., Done]:
    monkeypatch.setenv("TRACEMILL_RUNS", str(tmp_path / "runs"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(app, "_hush", lambda: None)  # the settings are the process's, not the test's

    def call(*arguments: str) -> Done:
        capsys.readouterr()
        code = app.call(list(arguments))
        captured = capsys.readouterr()
        return Done(code, captured.out, captured.err)

    return call


@pytest.fixture
def run(bench: Any, said: Any, by_rule: Any) -> Any:
    attempts = [said("2", [by_rule("correct")], text="said\x1b[2J it"), said("3", [by_rule("incorrect")])]
    return bench.run([(PROBLEM, attempts)], folder="runs/hand")


def test_sql_gives_json_csv_and_parquet(tracemill: Callable[..., Done], run: Any, tmp_path: Path) -> None:
    query = "SELECT answer, repeats, steps FROM traces ORDER BY answer"
    rows = json.loads(tracemill("sql", query, "--format", "json").out)
    assert [(row["answer"], row["repeats"]) for row in rows] == [("2", 1), ("3", 1)]
    table = list(csv.DictReader(io.StringIO(tracemill("sql", query, "--format", "csv").out)))
    assert [json.loads(row["steps"])[0]["start"] for row in table] == [0, 0]
    done = tracemill("sql", query, "--format", "parquet", "--output", "out.parquet")
    assert (done.code, done.out) == (0, "")
    assert pq.read_table(tmp_path / "out.parquet")["answer"].to_pylist() == ["2", "3"]


def test_sql_without_rows_is_an_empty_list_of_json(tracemill: Callable[..., Done], run: Any) -> None:
    assert json.loads(tracemill("sql", "FROM traces WHERE false", "--format", "json").out) == []


def test_a_table_cannot_drive_the_terminal(tracemill: Callable[..., Done], run: Any) -> None:
    done = tracemill("sql", "SELECT text FROM traces")
    assert "\x1b" not in done.out
    assert "\\x1b[2J" in done.out


def test_wrong_sql_shows_the_place_and_exits_with_2(tracemill: Callable[..., Done], run: Any) -> None:
    done = tracemill("sql", "SELECT foo FRM traces")
    assert (done.code, done.out) == (2, "")
    assert "LINE 1: SELECT foo FRM traces" in done.err
    assert done.err.rstrip().endswith("^")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("sql", "SELECT 1", "--format", "xml"), "table, csv, json, parquet"),
        (("sql", "SELECT 1", "--format", "parquet"), "--output"),
        (("sql", "SELECT 1", "--run", "nowhere"), "nowhere: no such run"),
        (("show", "t_"), "at least 4"),
        (("import", "nowhere.jsonl", "--map", "openai"), "nowhere.jsonl: no such file"),
        (("schedule", "nowhere.yaml", "--cron", "* * * * *"), "nowhere.yaml"),
        (("schedule", "demo"), "--cron: no cron"),
        (("schedule", "--remove", "demo"), "no schedule 'demo'"),
        (("bogus",), "No such command"),
        (("run",), "Missing argument"),
    ],
)
def test_a_request_that_is_wrong_exits_with_2_and_says_so(
    tracemill: Callable[..., Done], run: Any, arguments: tuple[str, ...], told: str
) -> None:
    done = tracemill(*arguments)
    assert done.code == 2, done
    assert told in done.err
    assert "Traceback" not in done.err


def test_an_import_of_test_problems_says_how_to_let_them_in(tracemill: Callable[..., Done], tmp_path: Path) -> None:
    (tmp_path / "test.jsonl").write_text('{"question": "What is 3+4?", "answer": "3+4=7\\n#### 7"}\n')
    (tmp_path / "said.jsonl").write_text('{"problem": "What is 3+4?", "response": "The answer is 7."}\n')
    command = ("import", "said.jsonl", "--map", "columns", "--problems", "gsm8k=test.jsonl")
    first = tracemill(*command)
    assert (first.code, "--set views.include_test=true lets them in" in first.out) == (0, True)
    second = tracemill(*command, "--set", "views.include_test=true")
    assert (second.code, "lets them in" in second.out) == (0, False)
    assert tracemill(*command, "--set", "views.bogus=1").code == 2


def test_runs_lists_status_and_funnel(tracemill: Callable[..., Done], run: Any) -> None:
    [row] = json.loads(tracemill("runs", "--format", "json").out)
    assert row == {
        "run": "hand",
        "kind": "synthesize",
        "status": "running or killed",
        "funnel": {"load": 1, "sample": 2, "verify": 2},
    }
    assert "load 1, sample 2, verify 2" in tracemill("runs").out


def test_one_unreadable_run_hides_no_other(tracemill: Callable[..., Done], run: Any, tmp_path: Path) -> None:
    broken = tmp_path / "runs" / "broken"
    broken.mkdir()
    (broken / "recipe.json").write_text("{")
    done = tracemill("sql", "SELECT count(*) AS n FROM traces", "--format", "json")
    assert json.loads(done.out) == [{"n": 2}]
    assert "left out" in done.err
    statuses = {row["run"]: row["status"] for row in json.loads(tracemill("runs", "--format", "json").out)}
    assert statuses["broken"].startswith("unreadable")


def test_show_and_report_find_a_run_by_name(tracemill: Callable[..., Done], run: Any, bench: Any) -> None:
    assert "1 + 1?" in tracemill("show", bench.traces[PROBLEM.prompt, 0][:12], "--run", "hand").out
    path = tracemill("report", "hand").out.strip()
    assert Path(path).name == "report.html"
    assert Path(path).exists()


def test_gc_lists_and_frees_only_when_told_to(tracemill: Callable[..., Done], run: Any) -> None:
    orphan = Path(run.path, "traces", "orphan.parquet")
    orphan.write_bytes(b"left by a killed run")
    listed = tracemill("gc")
    assert str(orphan) in listed.out
    assert orphan.exists()
    assert tracemill("gc", "--yes").code == 0
    assert not orphan.exists()
    assert "nothing to free" in tracemill("gc").err
    assert json.loads(tracemill("sql", "SELECT count(*) AS n FROM traces", "--format", "json").out) == [{"n": 2}]


def test_doctor_never_shows_a_secret(tracemill: Callable[..., Done], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_planted")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-planted")
    done = tracemill("doctor")
    assert done.code == 0
    assert "planted" not in done.out + done.err
    assert "hub token" in done.out


@pytest.mark.parametrize(
    ("raised", "code", "told"),
    [
        (KeyboardInterrupt(), 130, "interrupted"),
        (ZeroDivisionError("oh"), 70, "internal error: ZeroDivisionError: oh"),
    ],
)
def test_what_goes_wrong_inside_is_told_in_a_line(
    tracemill: Callable[..., Done],
    run: Any,
    monkeypatch: pytest.MonkeyPatch,
    raised: BaseException,
    code: int,
    told: str,
) -> None:
    def fail(*_: object) -> None:
        raise raised

    monkeypatch.setattr("tracemill.tasks.inspect.show_id", fail)
    done = tracemill("show", "t_1234")
    assert done.code == code
    assert done.err.startswith(told)
    assert "Traceback" not in done.err
    if code == 70:
        log = Path(done.err.split("traceback is in ")[1].split(";")[0])
        assert "ZeroDivisionError: oh" in log.read_text()


def test_debug_shows_the_traceback(tracemill: Callable[..., Done], run: Any) -> None:
    assert "Traceback" in tracemill("--debug", "show", "t_").err


@pytest.mark.parametrize(
    "command",
    ["run", "import", "runs", "sql", "show", "verify", "report", "publish", "schedule", "serve", "doctor", "gc"],
)
def test_help_of_every_command_teaches_by_example(tracemill: Callable[..., Done], command: str) -> None:
    done = tracemill(command, "--help")
    assert done.code == 0
    assert "Example" in done.out
    assert f"tracemill {command}" in done.out


def test_doctor_runs_the_canaries_and_fails_where_a_verifier_does(
    tracemill: Callable[..., Done], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tracemill.tasks.canaries.known", lambda: ["answer"])
    done = tracemill("doctor", "--canaries")
    assert done.code == 0
    assert "answer     yes" in done.out
    assert "0 false accepts of" in done.out
    monkeypatch.setattr("tracemill.verifiers.canaries.answer._BAD", (("really right", r"\boxed{42}", "42"),))
    done = tracemill("doctor", "--canaries")
    assert done.code == 1
    assert "accepts: really right" in done.out


def test_the_next_commands_can_be_typed_as_they_stand(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    ours, other = tmp_path / "ours" / "tracemill", tmp_path / "other" / "tracemill"
    for path in (ours, other):
        path.parent.mkdir()
        path.write_text("#!/bin/sh\n")
        path.chmod(0o755)
    for folder, typed in ((ours.parent, "tracemill"), (other.parent, str(ours)), (tmp_path, str(ours))):
        monkeypatch.setenv("PATH", str(folder))
        monkeypatch.setattr("sys.argv", [str(ours), "run"])
        assert as_typed() == typed
