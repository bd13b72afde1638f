"""The shipped problems are what their generator makes, and their own solutions solve them."""

from __future__ import annotations

import json
import runpy
from pathlib import Path

from tracemill.schemas.enums import Outcome
from tracemill.schemas.recipe import SourceSpec
from tracemill.tasks.sources import load_problems
from tracemill.verifiers.base import Candidate
from tracemill.verifiers.registry import build_verifier

FOLDER = Path(__file__).parents[2] / "data" / "word_sums"


def test_the_file_is_what_the_generator_makes() -> None:
    made = list(runpy.run_path(str(FOLDER / "generate.py"))["problems"]())
    assert [json.loads(line) for line in (FOLDER / "problems.jsonl").read_text().splitlines()] == made


def test_every_reference_solution_is_verified() -> None:
    loaded = load_problems([SourceSpec(kind="file", path=str(FOLDER / "problems.jsonl"), verifier="answer")])
    assert (len(loaded.problems), loaded.drops) == (120, [])
    verifier = build_verifier("answer")
    for problem in loaded.problems:
        candidate = Candidate(problem.problem_id, problem.reference_solution or "", problem.gold)
        assert verifier.check(candidate, verifier.config).outcome is Outcome.CORRECT
