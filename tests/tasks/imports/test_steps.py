"""Labelled steps in the shapes that they are published in, each label beside its step."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tracemill.flows.pipeline import import_traces
from tracemill.schemas.recipe import ImportRecipe
from tracemill.tasks.imports import read_traces
from tracemill.tasks.queries import connect

SHARED = Path(__file__).resolve().parents[4] / "shared" / "datasets" / "prm_format_samples"


def step(
    *texts: str, ratings: tuple[int | None, ...] = (1,), chosen: int | None = 0, human: str | None = None
) -> dict[str, Any]:
    completions = [{"text": t, "rating": r, "flagged": False} for t, r in zip(texts, ratings, strict=True)]
    return {
        "completions": completions,
        "human_completion": human and {"text": human, "rating": None},
        "chosen_completion": chosen,
    }


PRM = {
    "question": {"problem": "What is 3 + 4?", "ground_truth_answer": "7"},
    "label": {
        "steps": [
            step("Add them."),
            step("It is 8.", ratings=(-1,), chosen=None, human="It is 7."),
            step("Odd.", "So 7.\n\n# Answer\n\n7", ratings=(0, 1), chosen=0),
            step("Bad.", "Also bad.", ratings=(-1, -1), chosen=None),
        ],
        "finish_reason": "found_error",
    },
}
SHEPHERD = {
    "input": "Two and two? Step 1: 2 + 2 = 4 ки\nStep 2: So 5. The answer is: 5 ки",
    "label": "Two and two? Step 1: 2 + 2 = 4 +\nStep 2: So 5. The answer is: 5 -",
    "task": "GSM8K",
}
BENCH = [
    {
        "id": "a",
        "generator": "m",
        "problem": "1 + 1?",
        "steps": ["One.", "Is 3.", "So 3."],
        "final_answer_correct": False,
        "label": 1,
    },
    {
        "id": "b",
        "generator": "m",
        "problem": "1 + 1?",
        "steps": ["One.", "Is 2."],
        "final_answer_correct": True,
        "label": -1,
    },
]


def read(
    tmp_path: Path, format_: str, rows: list[dict[str, Any]]
) -> list[tuple[list[str], list[tuple[int, str, str]]]]:
    """The steps and labels of each trace."""
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = read_traces(ImportRecipe(name="x", files=[str(path)], format=format_))
    told = []
    for trace in found.traces.to_pylist():
        labels = [(r["step"], r["label"], r["source"]) for r in found.step_labels if r["trace_id"] == trace["trace_id"]]
        steps = [trace["text"][s["start"] : s["end"]] for s in trace["steps"]]
        assert "".join(steps) == trace["text"]
        assert trace["segmenter"] == "recorded"
        told.append(([text.strip() for text in steps], labels))
    return told


def test_prm800k_is_its_chosen_and_human_steps_up_to_the_first_wrong_one(tmp_path):
    """§2.8."""
    ((steps, labels),) = read(tmp_path, "prm800k", [PRM])
    assert steps == ["Add them.", "It is 7.", "Odd.", "Bad."]
    assert labels == [(0, "right", "human"), (1, "right", "human"), (2, "neutral", "human"), (3, "wrong", "human")]


def test_math_shepherds_signs_stand_where_its_tokens_do(tmp_path):
    ((steps, labels),) = read(tmp_path, "math_shepherd", [SHEPHERD])
    assert steps == ["Step 1: 2 + 2 = 4", "Step 2: So 5. The answer is: 5"]
    assert labels == [(0, "right", "mc"), (1, "wrong", "mc")]


def test_process_bench_says_nothing_behind_the_first_wrong_step(tmp_path):
    (wrong, right) = read(tmp_path, "process_bench", BENCH)
    assert wrong == (["One.", "Is 3.", "So 3."], [(0, "right", "human"), (1, "wrong", "human")])
    assert right == (["One.", "Is 2."], [(0, "right", "human"), (1, "right", "human")])


@pytest.mark.parametrize(
    ("format_", "row"),
    [
        ("prm800k", {"question": {}, "label": 3}),
        ("prm800k", PRM | {"label": {"steps": [step("x", ratings=(7,))]}}),
        ("math_shepherd", {"input": "no token", "label": "x"}),
        ("math_shepherd", SHEPHERD | {"label": "shifted" + SHEPHERD["label"]}),
        ("process_bench", BENCH[0] | {"label": 9}),
        ("process_bench", BENCH[0] | {"steps": "x"}),
    ],
)
def test_a_row_in_another_shape_is_a_drop(tmp_path, format_, row):
    good = {"prm800k": PRM, "math_shepherd": SHEPHERD, "process_bench": BENCH[0]}[format_]
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps(good) + "\n" + json.dumps(row) + "\n")
    found = read_traces(ImportRecipe(name="x", files=[str(path)], format=format_))
    assert found.traces.num_rows == 1
    assert [(drop.stage, drop.reason) for drop in found.drops if drop.stage == "import"] == [("import", "bad_row")]


async def test_labels_are_committed_with_their_traces_once(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in BENCH))
    recipe = ImportRecipe(name="x", files=[str(path)], format="process_bench", verifier_workers=1)
    for _ in range(2):
        run = await import_traces(recipe, str(tmp_path / "run"))
    with connect([run]) as connection:
        assert connection.execute("SELECT label, count(*) FROM step_labels GROUP BY ALL ORDER BY ALL").fetchall() == [
            ("right", 3),
            ("wrong", 1),
        ]


@pytest.mark.parametrize(
    ("name", "format_", "least"), [("samples_prm800k", "prm800k", 5), ("samples_math-shepherd", "math_shepherd", 7)]
)
def test_published_samples_are_read(name, format_, least):
    path = SHARED / f"{name}.jsonl.gz"
    if not path.exists():
        pytest.skip("the shared samples are not here")
    found = read_traces(ImportRecipe(name="x", files=[str(path)], format=format_))
    assert found.traces.num_rows >= least
    assert found.step_labels
