"""A mistake that only the problems, the registries or the disk can tell is told before a folder is made."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from tracemill.flows import pipeline
from tracemill.schemas.errors import TracemillError, UsageError
from tracemill.schemas.recipe import ImportRecipe, Recipe


def recipe(folder: Path, **changes: Any) -> Recipe:
    (folder / "problems.jsonl").write_text('{"prompt": "What is 1 + 1?", "gold": "2"}\n')
    source = {"kind": "file", "path": str(folder / "problems.jsonl"), **changes.pop("source", {})}
    document = {"name": "wrong", "problems": [source], "engine": {"kind": "simulated"}, "orchestrator": "none"}
    return Recipe.model_validate({**document, **changes})


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"source": {"verifier": "answr"}}, "'answr'"),
    ({"source": {"verifier": "nowhere:check"}}, "nowhere"),
    ({"verifiers": [{"kind": "answer", "options": {"tolerence": 1}}]}, "tolerence"),
    ({"verifiers": [{"kind": "consensus", "options": {"shar": 0.5}}]}, "shar"),
    ({"verifiers": [{"kind": "puzzle"}]}, "no problem is checked by the verifier 'puzzle'"),
    ({"template": {"user": "{{problem}} {{question}}"}}, "question"),
    ({"template": {"user": "Solve it."}}, "lacks the problem"),
    ({"strategy": {"kind": "star", "parameters": {"hintt": "x"}}}, "did you mean 'hint'"),
    ({"strategy": {"parameters": {"k": 1}}}, "no parameter 'k'"),
    ({"views": {"tokenizer": "./none"}}, "none"),
]


@pytest.mark.parametrize(("changes", "told"), WRONG)
def test_it_is_told_before_a_folder_is_made(tmp_path: Path, changes: dict[str, Any], told: str) -> None:
    for work in (pipeline.synthesize, pipeline.dry_run):
        with pytest.raises(UsageError) as error:
            asyncio.run(work(recipe(tmp_path, **changes), str(tmp_path / "run")))
        assert told in str(error.value)
    assert not (tmp_path / "run").exists()


def test_a_run_to_reuse_that_is_not_there_leaves_no_folder(tmp_path: Path) -> None:
    with pytest.raises(TracemillError, match="no such run"):
        asyncio.run(pipeline.synthesize(recipe(tmp_path), str(tmp_path / "run"), reuse=str(tmp_path / "none")))
    assert not (tmp_path / "run").exists()


def test_an_import_is_held_to_the_same(tmp_path: Path) -> None:
    (tmp_path / "said.jsonl").write_text(json.dumps({"problem": "1 + 1?", "answer": "2", "response": "2"}))
    for changes in ({"verifier": "answr"}, {"views": {"tokenizer": "./none"}}):
        wrong = {"name": "wrong", "files": [str(tmp_path / "said.jsonl")], "format": "columns", **changes}
        with pytest.raises(UsageError):
            asyncio.run(pipeline.import_traces(ImportRecipe.model_validate(wrong), str(tmp_path / "run")))
    assert not (tmp_path / "run").exists()


def test_a_dry_run_refuses_the_folder_of_another_recipe_and_counts_only_what_is_owed(tmp_path: Path) -> None:
    run = str(tmp_path / "run")
    asyncio.run(pipeline.synthesize(recipe(tmp_path), run))
    done = asyncio.run(pipeline.dry_run(recipe(tmp_path), run))
    assert (done.attempts, done.owed, done.prompt_tokens, done.max_completion_tokens) == (4, 0, 0, 0)
    with pytest.raises(UsageError, match=r"sampling\.temperature"):
        asyncio.run(pipeline.dry_run(recipe(tmp_path, sampling={"temperature": 0.1}), run))


def test_a_dry_run_installs_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def installed(*_: Any, **__: Any) -> None:
        raise AssertionError("a verifier was built")

    monkeypatch.setattr("tracemill.tasks.labelling.build_verifier", installed)
    done = asyncio.run(pipeline.dry_run(recipe(tmp_path, source={"verifier": "lean"}, verifiers=[{"kind": "lean"}])))
    assert done.problems == 1


def test_a_dry_run_needs_no_engine_on_this_machine_but_a_whole_recipe(tmp_path: Path) -> None:
    missing = recipe(tmp_path, engine={"kind": "local", "model": str(tmp_path / "none.gguf")})
    assert asyncio.run(pipeline.dry_run(missing)).owed == 4
    with pytest.raises(UsageError, match="base_url"):
        asyncio.run(pipeline.dry_run(recipe(tmp_path, engine={"kind": "openai", "model": "m"})))
