"""A whole run with a vote, a judge and a reward model beside the rules: what each sees, and what counts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tracemill.flows.pipeline import synthesize
from tracemill.schemas.recipe import Recipe
from tracemill.tasks.publishing import prepare
from tracemill.tasks.queries import connect
from tracemill.tasks.store import RunStore
from tracemill.verifiers.canaries import answer as answer_canaries
from tracemill.verifiers.canaries.base import CanaryError


def recipe_of(folder: Path, verifiers: list[dict[str, Any]], **changes: Any) -> Recipe:
    rows = [{"prompt": f"What is {n} + {n}?", "gold": str(2 * n)} for n in range(4)]
    (folder / "solved.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (folder / "open.jsonl").write_text(json.dumps({"prompt": "What is 5 + 5?"}))
    document = {
        "name": "opinions",
        "problems": [
            {"kind": "file", "path": str(folder / "solved.jsonl"), "verifier": "answer"},
            {"kind": "file", "path": str(folder / "open.jsonl"), "verifier": "consensus"},
        ],
        "engine": {"kind": "simulated", "simulation": {"success": 0.7}},
        "strategy": {"n": 20},
        "verifiers": verifiers,
        "orchestrator": "none",
        **changes,
    }
    return Recipe.model_validate(document)


def engine(url: str) -> dict[str, Any]:
    return {"kind": "openai", "model": "standin", "base_url": url, "retries": 1}


async def test_opinions_stand_beside_the_rules_and_never_in_their_place(tmp_path: Path, standin: Any) -> None:
    judge = {"kind": "judge", "options": {"engine": engine(standin("--yes", "0.9")), "decided": True}}
    scored = {"kind": "reward", "options": {"engine": engine(standin()), "part": "final"}}
    recipe = recipe_of(tmp_path, [judge, scored])
    out = str(tmp_path / "run")
    run = await synthesize(recipe, out)
    with connect([run]) as connection:
        counts = dict(
            connection.execute("SELECT verifier || ' ' || level, count(*) FROM verdicts GROUP BY ALL").fetchall()
        )
        assert counts["answer rule"] == 80
        assert counts["consensus pseudo"] == 20  # the problem without gold alone
        assert counts["judge learned"] == counts["reward learned"] == 100
        rules = connection.execute("SELECT DISTINCT level FROM final_verdict WHERE outcome = 'correct'").fetchall()
        assert rules == [("rule",)]
        unsolved = connection.execute(
            "SELECT DISTINCT f.outcome FROM final_verdict f JOIN traces t ON t.trace_id = f.subject_id "
            "JOIN problems p USING (problem_id) WHERE p.verifier = 'consensus'"
        ).fetchall()
        assert unsolved == [(None,)]
    (row,) = run.read("runs").to_pylist()
    reports = json.loads(row["canaries"])
    assert {"answer", "consensus", "judge", "reward"} <= set(reports)
    assert all(report["passed"] for report in reports.values())
    assert {"judge", "reward", "consensus"} <= set(json.loads(row["verifier_versions"]))

    def rows() -> dict[str, int]:
        names = ("traces", "verdicts", "requests", "critiques", "drops")
        return {name: RunStore.open(out).read(name).num_rows for name in names}

    before = rows()
    await synthesize(recipe, out)  # again: nothing is owed
    assert rows() == before
    prepare(RunStore.open(out), str(tmp_path / "repo"), "org/name")
    card = (tmp_path / "repo" / "README.md").read_text()
    assert "Canaries" in card
    assert "127.0.0.1" not in card


async def test_a_run_whose_verifier_fails_its_canaries_stops_before_anything_is_paid(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answer_canaries, "_BAD", (("really right", r"\boxed{42}", "42"),))
    with pytest.raises(CanaryError, match="accepts really right"):
        await synthesize(recipe_of(tmp_path, []), str(tmp_path / "run"))
    run = RunStore.open(str(tmp_path / "run"))
    assert [run.read(name).num_rows for name in ("traces", "requests", "verdicts")] == [0, 0, 0]
    (row,) = run.read("runs").to_pylist()
    assert row["status"] == "failed"
    assert json.loads(row["canaries"])["answer"]["false_accepts"] == ["really right"]
