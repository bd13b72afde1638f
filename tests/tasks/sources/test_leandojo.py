from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tracemill.schemas.errors import TracemillError
from tracemill.schemas.recipe import SourceSpec
from tracemill.tasks.sources.registry import load_problems

FILE = "import Std\n\nopen Nat\n\ndef f := 1\n\n/-- one -/\n@[simp] theorem A.one : f = 1 := by\n  unfold f\n  rfl\n\ntheorem two : f = 1 := rfl\n"
ROW = {
    "url": "https://example.org/r",
    "commit": "abc",
    "file_path": "R/A.lean",
    "full_name": "A.one",
    "start": [8, 1],
    "end": [10, 6],
    "traced_tactics": [
        {
            "tactic": "unfold f",
            "annotated_tactic": ["unfold f", []],
            "state_before": "⊢ f = 1",
            "state_after": "⊢ 1 = 1",
        },
        {"tactic": "rfl", "annotated_tactic": ["rfl", []], "state_before": "⊢ 1 = 1", "state_after": "no goals"},
    ],
}


@pytest.fixture
def repo(tmp_path: Path) -> str:
    (tmp_path / "repo" / "R").mkdir(parents=True)
    (tmp_path / "repo" / "R" / "A.lean").write_text(FILE)
    return str(tmp_path / "repo")


def load(path: str, **options: Any) -> Any:
    return load_problems([SourceSpec(kind="leandojo", path=path, options=options)])


def test_the_statement_is_read_from_the_repository(jsonl: Callable[..., str], repo: str) -> None:
    [problem] = load(jsonl([ROW]), repo=repo).problems
    assert problem.spec["statement"] == "@[simp] theorem A.one : f = 1"
    assert problem.spec["header"] == "import Std\n\nopen Nat\n\ndef f := 1\n\n/-- one -/"
    assert problem.reference_solution == ":= by\n  unfold f\n  rfl"
    assert problem.source_row == "https://example.org/r@abc:R/A.lean:A.one"
    assert [step["tactic"] for step in problem.spec["human_tactics"]] == ["unfold f", "rfl"]
    assert problem.spec["human_tactics"][1]["state_after"] == "no goals"
    assert "Goal:\n⊢ f = 1" in problem.prompt
    assert "rfl" not in problem.prompt


def test_a_row_with_its_statement_needs_no_repository(jsonl: Callable[..., str]) -> None:
    [problem] = load(jsonl([{**ROW, "theorem_statement": "theorem A.one : f = 1"}])).problems
    assert problem.spec["statement"] == "theorem A.one : f = 1"
    assert problem.reference_solution == "by\n  unfold f\n  rfl"


def test_what_has_no_statement_or_another_commit_says_so(jsonl: Callable[..., str], repo: str) -> None:
    loaded = load(jsonl([ROW, {**ROW, "full_name": "A.b", "theorem_statement": "theorem A.b : f = 1"}]))
    assert [drop.reason for drop in loaded.drops] == ["no_statement"]
    with pytest.raises(TracemillError, match="another commit"):
        load(jsonl([{**ROW, "start": [800, 1], "end": [900, 1]}]), repo=repo)
    with pytest.raises(TracemillError, match="cannot be read"):
        load(jsonl([{**ROW, "file_path": "R/B.lean"}]), repo=repo)
