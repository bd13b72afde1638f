"""``tracemill verify`` at the command line: DESIGN §5's promises about rows, order, exit codes and standard input."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tracemill.flows.cli import app

LINES = "\n".join(
    [
        '{"id": "right", "response": "\\\\boxed{2}", "gold": "2"}',
        "",
        "{broken",
        '{"id": "wrong", "response": "\\\\boxed{3}", "gold": "2"}',
        '{"id": "no response"}',
        '{"id": 7, "response": "nothing here\\nor there", "gold": "2"}',
    ]
)
FOUND = [("right", "correct"), ("line 3", "error"), ("wrong", "incorrect"), ("no response", "error"), ("7", "unparsed")]


@pytest.fixture(autouse=True)
def loud(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(app, "_hush", lambda: None)  # the settings are the process's, not the test's


def test_every_line_is_a_row_in_its_place_and_the_exit_is_0_whatever_the_verdicts(tmp_path: Path) -> None:
    (tmp_path / "said.jsonl").write_text(LINES)
    assert app.call(["verify", "said.jsonl", "--verifier", "answer", "--out", "v.parquet", "--workers", "1"]) == 0
    rows = pq.read_table(tmp_path / "v.parquet").to_pylist()
    assert [(row["subject_id"], row["outcome"]) for row in rows] == FOUND
    assert "line 3: not JSON" in rows[1]["reason"]


def test_standard_input_to_json_lines(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(LINES.encode())))
    assert app.call(["verify", "-", "--verifier", "answer", "--workers", "1"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(row["subject_id"], row["outcome"]) for row in rows] == FOUND


@pytest.mark.parametrize(
    ("lines", "options", "said"),
    [
        ('{"id": "a", "response": "2", "gold": "2"}\n' * 2, [], "said.jsonl:2"),
        ("", ["--option", "tolerence=1"], "tolerence"),
        ("", ["--option", "tolerance"], "not key=value"),
    ],
)
def test_a_mistake_of_the_user_is_exit_2_without_a_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], lines: str, options: list[str], said: str
) -> None:
    (tmp_path / "said.jsonl").write_text(lines)
    assert app.call(["verify", "said.jsonl", "--verifier", "answer", "--out", "v.parquet", *options]) == 2
    assert said in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["said.jsonl"]
