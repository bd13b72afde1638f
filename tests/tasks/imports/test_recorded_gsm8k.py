"""The 16,151 recorded GSM8K solutions: all of them come in, weighted, labelled, their kinds apart, in seconds."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path

import pytest

from tracemill.schemas.recipe import ImportRecipe, SourceSpec
from tracemill.tasks.imports import Imported, read_traces

SHARED = Path(__file__).resolve().parents[4] / "shared" / "datasets"
OUTPUTS = SHARED / "gsm8k_model_outputs" / "outputs.jsonl.gz"
PROBLEMS = SHARED / "gsm8k" / "test.jsonl.gz"


@pytest.fixture(scope="module")
def timed() -> tuple[Imported, float]:
    if not (OUTPUTS.exists() and PROBLEMS.exists()):
        pytest.skip("the shared GSM8K sets are not here")
    recipe = ImportRecipe(
        name="gsm8k",
        files=[str(OUTPUTS)],
        format="columns",
        map={"skip_kinds": "python-program"},
        problems=[SourceSpec(kind="gsm8k", path=str(PROBLEMS))],
    )
    start = time.process_time()
    found = read_traces(recipe)
    return found, time.process_time() - start


def test_every_solution_is_a_trace_of_a_known_problem(timed: tuple[Imported, float]) -> None:
    found, _ = timed
    assert (found.rows_in, found.traces.num_rows, len(found.problems), len(found.policies)) == (
        16_151,
        16_151,
        1319,
        12,
    )
    assert len(set(found.traces["trace_id"].to_pylist())) == 16_151
    assert sum(found.traces["repeats"].to_pylist()) == 21_101
    assert Counter((drop.stage, drop.reason) for drop in found.drops) == {("verify", "needs_execution"): 2635}
    assert found.kinds == {"cot": 5276, "code-interleaved": 5602, "tool-integrated": 2638, "python-program": 2635}


def test_the_labels_that_came_with_them_are_kept(timed: tuple[Imported, float]) -> None:
    found, _ = timed
    assert Counter((label.source, label.outcome) for label in found.labels) == {
        ("correct", "correct"): 10_074,
        ("correct", "incorrect"): 6077,
        ("source_label", "correct"): 6256,
        ("source_label", "incorrect"): 4622,
    }


def test_it_takes_seconds(timed: tuple[Imported, float]) -> None:
    assert timed[1] < 6
