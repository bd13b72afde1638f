"""Labelling: what is asked of a verifier before its verdicts are believed, and what is asked again afterwards."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tracemill.schemas.recipe import Recipe
from tracemill.schemas.records import Problem
from tracemill.tasks.labelling import Labeller
from tracemill.tasks.provenance import invocation
from tracemill.tasks.reporting.listener import NullListener
from tracemill.tasks.store import RunStore
from tracemill.verifiers.canaries.base import CanaryError
from tracemill.verifiers.pool import VerifierPool

OUTSIDE = Path(__file__).parents[1] / "verifiers" / "outside"


@pytest.fixture
def outside(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Verifiers from outside the repository, importable here and in workers."""
    monkeypatch.syspath_prepend(str(OUTSIDE))
    yield
    for name in ("gullible", "changing", "hostile_checks"):
        sys.modules.pop(name, None)


def unlabelled(bench: Any, said: Any, verifier: str, *texts: str) -> tuple[str, list[Problem]]:
    """A run with one problem and these traces, none verified: its folder and its problems."""
    problems = [Problem("What is 1 + 1?", verifier, "hand", gold="good")]
    run = bench.run([(problems[0], [said(None, text=text) for text in texts])])
    return run.path, problems


def started(path: str, **changes: Any) -> tuple[RunStore, Recipe]:
    document = {"name": "hand", "problems": [{"kind": "file", "path": "p.jsonl"}], **changes}
    recipe = Recipe.model_validate(document)
    return RunStore.start(path, recipe), recipe


async def test_a_verifier_that_fails_its_canaries_labels_nothing_and_the_run_says_so(
    bench: Any, said: Any, outside: None
) -> None:
    path, problems = unlabelled(bench, said, "gullible:verifier", "good", "bad")
    run, recipe = started(path, verifiers=[{"kind": "gullible:verifier", "options": {"accepts": True}}])
    async with VerifierPool(1) as pool:
        labeller = Labeller(run, pool, problems, recipe.verifiers, NullListener())

        async def work() -> None:
            with invocation(run, recipe) as begun:
                begun.verifiers, begun.canaries = labeller.verifiers, labeller.canaries
                await labeller.label_owed()

        with pytest.raises(CanaryError, match="accepts a trick"):
            await work()
    assert run.read("verdicts").num_rows == 0
    (row,) = run.read("runs").to_pylist()
    assert row["status"] == "failed"
    assert json.loads(row["canaries"])["gullible:verifier"]["false_accepts"] == ["a trick"]
    run.close()


async def test_canaries_are_run_once_a_start_and_recorded(
    bench: Any, said: Any, outside: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, problems = unlabelled(bench, said, "gullible:verifier", "good", "bad")
    run, recipe = started(path)
    async with VerifierPool(1) as pool:
        labeller = Labeller(run, pool, problems, recipe.verifiers, NullListener())
        asked: list[int] = []
        verify = pool.verify

        async def counted(verifier: Any, candidates: Any, *rest: Any) -> Any:
            asked.append(len(candidates))
            return await verify(verifier, candidates, *rest)

        monkeypatch.setattr(pool, "verify", counted)
        with invocation(run, recipe) as begun:
            begun.verifiers, begun.canaries = labeller.verifiers, labeller.canaries
            await labeller.prove()
            await labeller.prove()
            assert await labeller.label_owed() == 2
    assert [n for n in asked if n] == [4, 2]
    (row,) = run.read("runs").to_pylist()
    assert json.loads(row["canaries"])["gullible:verifier"] == {
        "version": "3", "good": 2, "bad": 2, "false_accepts": [], "lost": [], "passed": True,
    }  # fmt: skip
    run.close()


async def labelled(path: str, problems: list[Problem], tmp_path: Path, recheck: float) -> tuple[RunStore, int]:
    options = {"state": str(tmp_path / "state")}
    run, recipe = started(path, verifiers=[{"kind": "changing:verifier", "options": options}])
    async with VerifierPool(1) as pool:
        labeller = Labeller(run, pool, problems, recipe.verifiers, NullListener(), recheck=recheck)
        return run, await labeller.label_owed()


def outcomes(run: RunStore) -> list[str]:
    return sorted(run.read("verdicts")["outcome"].to_pylist())


async def test_a_verdict_that_changes_is_error_and_flags_its_problem_once(
    bench: Any, said: Any, outside: None, tmp_path: Path
) -> None:
    path, problems = unlabelled(bench, said, "changing:verifier", "flip", "steady", "Flip")
    run, _ = await labelled(path, problems, tmp_path, 1.0)
    assert outcomes(run) == ["correct", "error", "error"]
    (flag,) = [row for row in run.read("drops").to_pylist() if row["stage"] == "problem"]
    assert (flag["subject_id"], flag["reason"]) == (problems[0].problem_id, "flaky")
    assert "correct, then incorrect" in flag["detail"]
    run.close()


async def test_traces_of_a_verifier_that_calls_itself_otherwise_than_the_recipe_are_not_owed_again(
    bench: Any, said: Any, outside: None, tmp_path: Path
) -> None:
    path, problems = unlabelled(bench, said, "changing:verifier", "steady", "mends")
    run, given = await labelled(path, problems, tmp_path, 0.0)
    run.close()
    assert given == 2
    run, given = await labelled(path, problems, tmp_path, 0.0)
    assert given == 0
    run.close()


async def test_a_verifier_without_canaries_is_recorded_as_without(bench: Any, said: Any, outside: None) -> None:
    path, problems = unlabelled(bench, said, "hostile_checks:check", "good", "bad")
    run, recipe = started(path)
    async with VerifierPool(1) as pool:
        labeller = Labeller(run, pool, problems, recipe.verifiers, NullListener())
        assert await labeller.label_owed() == 2
    assert labeller.canaries == {"hostile_checks:check": None}
    run.close()
