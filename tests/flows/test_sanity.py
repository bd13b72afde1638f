"""Problems whose tests cannot be trusted are flagged once, with the reason, and keep their traces out of training views."""

from __future__ import annotations

import json
import sys

import pytest

from tracemill.flows.pipeline import import_traces
from tracemill.schemas.recipe import ImportRecipe

if sys.platform != "linux":
    pytest.skip("programs are walled in on Linux only", allow_module_level=True)

ADD = "def add(a, b):\n    return a + b"
PROBLEMS = {
    "sound": (["assert add(1, 2) == 3", "assert add(5, -5) == 0"], ADD),
    "weak": (["assert add(0, 0) == 0 or add(0, 0) is None"], ADD),
    "wrong": (["assert add(1, 2) == 4", "assert add(1, 1) == 5"], ADD),
}


def recipe(tmp_path, **more):
    problems, traces = tmp_path / "problems.jsonl", tmp_path / "traces.jsonl"
    with problems.open("w") as asked, traces.open("w") as said:
        for name, (tests, reference) in PROBLEMS.items():
            spec = {"tests": tests, "entry_point": "add"}
            row = {"id": name, "prompt": f"Write add ({name}).", "spec": spec, "reference_solution": reference}
            asked.write(json.dumps(row) + "\n")
            said.write(json.dumps({"problem_id": name, "response": f"```python\n{ADD}\n```"}) + "\n")
    return ImportRecipe.model_validate(
        {
            "name": "r",
            "files": [str(traces)],
            "format": "columns",
            "model": "m",
            "problems": [{"kind": "file", "path": str(problems), "verifier": "code"}],
            "verifier_workers": 1,
            **more,
        }
    )


async def test_flagged_problems_are_kept_out_and_judged_once(tmp_path):
    run = await import_traces(recipe(tmp_path), str(tmp_path / "run"))
    problems = {row["problem_id"]: row["prompt"] for row in run.read("problems", ["problem_id", "prompt"]).to_pylist()}
    drops = run.read("drops").to_pylist()
    flagged = {problems[row["subject_id"]]: row["reason"] for row in drops if row["stage"] == "problem"}
    assert flagged == {"Write add (weak).": "passes_trivial", "Write add (wrong).": "gold_fails"}
    out = {row["reason"] for row in drops if row["stage"] == "view:sft"}
    assert out == {"problem_passes_trivial", "problem_gold_fails"}
    verdicts = [row for row in run.read("verdicts").to_pylist() if row["verifier"] == "code_sanity"]
    assert {problems[row["subject_id"]]: row["score"] for row in verdicts}["Write add (sound)."] == 1.0
    again = await import_traces(recipe(tmp_path), str(tmp_path / "run"))
    assert again.read("drops").num_rows == len(drops)
    assert sum(row["verifier"] == "code_sanity" for row in again.read("verdicts").to_pylist()) == 3


async def test_the_recipe_can_leave_it_out(tmp_path):
    run = await import_traces(recipe(tmp_path, sanity={"enabled": False}), str(tmp_path / "run"))
    assert not [row for row in run.read("drops").to_pylist() if row["stage"] == "problem"]
