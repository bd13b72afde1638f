import io
import json
import sys
from types import SimpleNamespace

import pyarrow.parquet as pq
import pytest

from tracemill.schemas.errors import DataError, UsageError
from tracemill.schemas.tables import schema_of
from tracemill.tasks import verify_file as module
from tracemill.tasks.verify_file import verify_file


def written(path, *rows):
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return str(path)


def test_one_row_of_verdicts_for_each_line_in_order(tmp_path):
    rows = [{"id": f"r{i}", "response": rf"\boxed{{{i}}}", "gold": str(i - i % 2)} for i in range(50)]
    out = tmp_path / "deep" / "verdicts.parquet"
    counts = verify_file(written(tmp_path / "in.jsonl", *rows), "answer", str(out), workers=1)
    table = pq.read_table(out)
    assert table.schema.equals(schema_of("verdicts"), check_metadata=True)
    assert table["subject_id"].to_pylist() == [row["id"] for row in rows]
    assert table["outcome"].to_pylist() == ["correct" if i % 2 == 0 else "incorrect" for i in range(50)]
    assert counts == {"correct": 25, "incorrect": 25}
    assert [p.name for p in out.parent.iterdir()] == ["verdicts.parquet"]


def test_a_malformed_line_is_an_error_row_that_names_it(tmp_path):
    good = {"id": 1, "response": "5", "gold": 5}
    bad = [
        "{not json",
        "[1]",
        '{"response": "5"}',
        '{"id": "a"}',
        '{"id": true, "response": "5"}',
        '{"id": "b", "response": 5}',
        '{"id": "c", "response": "5", "gold": [5]}',
        '{"id": "d", "response": "5", "choices": "A"}',
        '{"id": "e", "response": "5", "options": 1}',
        "[" * 100_000,
    ]
    told = []
    verify_file(written(tmp_path / "in.jsonl", *bad, good, ""), "answer", workers=1, sink=told.extend)
    assert [v.judgement.outcome.value for v in told] == ["error"] * len(bad) + ["correct"]
    assert [v.judgement.evidence["line"] for v in told[:-1]] == list(range(1, len(bad) + 1))
    assert told[0].judgement.reason.startswith("line 1:")
    assert told[-1].subject_id == "1"


def test_an_id_that_comes_twice_ends_the_command_and_leaves_no_file(tmp_path):
    row = {"id": "same", "response": "5", "gold": "5"}
    out = tmp_path / "out" / "verdicts.parquet"
    with pytest.raises(UsageError, match=r"'same' comes twice") as error:
        verify_file(written(tmp_path / "in.jsonl", row, row), "answer", str(out), workers=1)
    assert error.value.exit_code == 2
    assert error.value.where.endswith("in.jsonl:2")
    assert list(out.parent.iterdir()) == []


def test_inputs_reach_the_verifier(tmp_path):
    rows = [
        {"id": "a", "response": "2, 1", "gold": "1, 2", "options": {"ordered": True}},
        {"id": "b", "response": r"\boxed{22}", "gold": "B", "choices": ["21", "22"], "question": "how many?"},
        {"id": "c", "response": "The answer is 5", "gold": "5", "finish_reason": "length"},
    ]
    told = []
    verify_file(written(tmp_path / "in.jsonl", *rows), "answer", workers=1, sink=told.extend)
    assert [v.judgement.outcome.value for v in told] == ["incorrect", "correct", "unparsed"]


def test_puzzles_take_their_spec_from_the_line(tmp_path):
    gym = pytest.importorskip("reasoning_gym")
    entry = gym.create_dataset("chain_sum", seed=4, size=2)[1]
    spec = {"family": "chain_sum", "options": {}, "seed": 4, "index": 1, "size": 2}
    row = {"id": "a", "response": f"<answer>{entry['answer']}</answer>", "gold": entry["answer"]}
    told = []
    path = written(tmp_path / "in.jsonl", {**row, **spec}, {**row, "id": "b", "spec": spec})
    verify_file(path, "puzzle", workers=1, sink=told.extend)
    assert [v.judgement.outcome.value for v in told] == ["correct", "correct"]


def test_standard_input_is_read_in_chunks_and_printed_as_json(monkeypatch, capsys):
    monkeypatch.setattr(module, "CHUNK", 7)
    lines = b"".join(json.dumps({"id": i, "response": str(i), "gold": str(i)}).encode() + b"\n" for i in range(20))
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(lines)))
    progress = []
    assert verify_file("-", "answer", workers=1, progress=progress.append) == {"correct": 20}
    printed = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["subject_id"] for row in printed] == [str(i) for i in range(20)]
    assert sum(progress) == 20


def test_a_file_that_is_not_there_says_where(tmp_path):
    with pytest.raises(DataError) as error:
        verify_file(str(tmp_path / "absent.jsonl"), "answer", workers=1)
    assert "absent.jsonl" in error.value.where


def test_an_empty_file_gives_an_empty_table(tmp_path):
    out = tmp_path / "verdicts.parquet"
    assert verify_file(written(tmp_path / "in.jsonl"), "answer", str(out), workers=1) == {}
    assert pq.read_table(out).num_rows == 0


def test_a_folder_as_the_result_is_a_clear_error(tmp_path):
    with pytest.raises(DataError):
        verify_file(written(tmp_path / "in.jsonl"), "answer", str(tmp_path), workers=1)
