"""From recorded solutions to what a trainer loads of their failures, in one command."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from tracemill.flows.pipeline import import_traces
from tracemill.schemas.errors import EngineError, UsageError
from tracemill.schemas.recipe import ImportRecipe, MiningSpec
from tracemill.tasks.inspect import show_id
from tracemill.tasks.queries import connect
from tracemill.tasks.reporting.summary import summarise, to_markdown
from tracemill.tasks.store import RunStore
from tracemill.tasks.tokenizer import load_tokenizer
from tracemill.tasks.views.learning import CHECK, SCHEMAS
from tracemill.tasks.views.write import view_files

pytest.importorskip("tokenizers")


def recipe(solutions: Path, **views: Any) -> ImportRecipe:
    document = {
        "name": "sums",
        "files": [str(solutions)],
        "format": "columns",
        "mining": {},
        "views": {"tokenizer": "local", **views},
        "verifier_workers": 1,
    }
    return ImportRecipe.model_validate(document)


@pytest.fixture
async def run(solutions: Path, tmp_path: Path) -> RunStore:
    return await import_traces(recipe(solutions), str(tmp_path / "run"))


def view(run: RunStore, name: str) -> list[dict[str, Any]]:
    paths = [f"{run.path}/{path}" for path in view_files(run.path)[name]]
    return [row for path in paths for row in pq.read_table(path).to_pylist()]


def roles(messages: list[dict[str, str]]) -> list[str]:
    return [message["role"] for message in messages]


async def test_every_set_is_there_and_in_the_trainers_columns(run):
    found = {name: view(run, name) for name in SCHEMAS}
    assert all(found.values())
    for row in found["corrections"]:
        assert roles(row["prompt"]) == ["user", "assistant", "user"]
        assert row["prompt"][-1]["content"] == CHECK  # the same for what is right and what is wrong
        assert roles(row["completion"]) == ["assistant"]
        same = row["prompt"][1]["content"] == row["completion"][0]["content"]
        assert same == (row["kind"] == "cc")
    kinds = [row["kind"] for row in found["corrections"]]
    assert kinds.count("cc") >= 0.2 * len(kinds)
    for name in ("preference", "step_preference"):
        for row in found[name]:
            assert roles(row["prompt"]) == ["user"]
            assert roles(row["chosen"]) == roles(row["rejected"]) == ["assistant"]
            assert row["chosen"] != row["rejected"]
    for row in found["step_preference"]:
        one, other = (row[side][0]["content"] for side in ("chosen", "rejected"))
        assert one.startswith("Ann has")
        assert one.split("\n\n")[0] == other.split("\n\n")[0]
        assert len(one.strip().split("\n\n")) == len(other.strip().split("\n\n")) == 2  # the prefix and one step
    labels = [row["label"] for row in found["unpaired"]]
    assert labels.count(True) == labels.count(False)
    for row in found["stepwise"]:
        assert len(row["completions"]) == len(row["labels"])
        assert row["labels"] == [True] * (len(row["labels"]) - 1) + [False]


async def test_splices_are_tokenized_by_their_loss_spans(run):
    rows = {row["stream_id"]: row for row in view(run, "splices")}
    tokens = {row["stream_id"]: row for row in view(run, "splices_tokenized")}
    assert rows.keys() == tokens.keys()
    tokenizer = load_tokenizer("local")
    controls = 0
    for stream, row in rows.items():
        content = row["messages"][-1]["content"]
        said = "".join(content[span["start"] : span["end"]] for span in row["loss_spans"])
        labels = [label for label in tokens[stream]["labels"] if label != -100]
        trained = tokenizer._encoder.decode(labels, skip_special_tokens=False)
        assert trained.endswith("<|im_end|>")
        assert len(trained.removesuffix("<|im_end|>")) <= len(said)
        assert "\\boxed{" in trained
        if row["detours"]:
            assert said != content
            assert tokens[stream]["straddling"] >= 0
        else:
            controls += 1
            assert trained == content + "<|im_end|>"
    assert controls == len(rows) / 2


async def test_a_splice_that_a_trainer_would_cut_is_left_out(solutions, tmp_path):
    run = await import_traces(recipe(solutions, max_tokens=120), str(tmp_path / "run"))
    kept = view(run, "splices_tokenized")
    assert all(len(row["input_ids"]) <= 120 for row in kept)
    with connect([run]) as connection:
        lost = connection.execute(
            "SELECT reason, dropped, rows_in FROM funnel WHERE stage = 'view:splices_tokenized'"
        ).fetchall()
    assert lost[0][0] == "too_long"
    assert lost[0][1] + len(kept) == lost[0][2] == len(view(run, "splices"))


async def test_a_pair_is_shown_with_both_sides_and_the_error(run):
    with connect([run]) as connection:
        pair, wrong, right = connection.execute(
            "SELECT pair_id, wrong_id, right_id FROM pairs WHERE kind = 'ic' ORDER BY pair_id LIMIT 1"
        ).fetchone()
        shown = show_id(connection, pair)
    assert wrong in shown
    assert right in shown
    assert "consensus" in shown


async def test_doing_it_again_adds_nothing(run, solutions):
    before = sorted(commit.shard for commit in run.commits("mine"))
    views = {name: view(run, name) for name in SCHEMAS}
    again = await import_traces(recipe(solutions), run.path)
    assert sorted(commit.shard for commit in again.commits("mine")) == before
    assert {name: view(again, name) for name in SCHEMAS} == views


async def test_the_funnel_of_every_mined_set_adds_up(run):
    with connect([run]) as connection:
        rows = connection.execute(
            "SELECT stage, any_value(rows_in), any_value(rows_out), sum(dropped) FROM funnel GROUP BY stage"
        ).fetchall()
    stages = {stage: (into, out, lost) for stage, into, out, lost in rows}
    for stage in ("mine:pairs", "mine:splices", *(f"view:{name}" for name in SCHEMAS), "view:splices_tokenized"):
        into, out, lost = stages[stage]
        assert into == out + lost, stage
    assert stages["mine:pairs"][0] == 84


def scored(solutions: Path, url: str) -> ImportRecipe:
    engine = {"kind": "openai", "base_url": url, "model": "standin"}
    mining = {"scorer": {"engine": engine, "tokenizer": "local"}}
    return recipe(solutions).model_copy(update={"mining": MiningSpec.model_validate(mining)})


async def test_a_finished_run_is_scored_when_a_server_is_named_and_never_twice(run, solutions, standin, tmp_path):
    log = tmp_path / "asked.jsonl"
    named = scored(solutions, standin("--log", str(log)))
    mined = len(run.commits("mine"))
    again = await import_traces(named, run.path)
    assert len(again.commits("mine")) == mined  # only the scores are new
    found = {check.name: check.status for check in summarise(again).checks}
    assert "unmeasured" not in found.values()
    asked = len(log.read_text().splitlines())
    assert 0 < asked <= len(again.read("scores"))
    shown = to_markdown(summarise(again))
    assert "seam\\_surprisal" in shown
    assert "splices stay" in shown
    await import_traces(named, run.path)
    assert len(log.read_text().splitlines()) == asked


async def test_a_server_that_cannot_score_ends_the_run_with_the_reason_and_what_was_mined_stays(
    run, solutions, standin
):
    mined = len(run.commits("mine"))
    with pytest.raises(EngineError, match="no log-probabilities of the prompt"):
        await import_traces(scored(solutions, standin("--no-prompt-logprobs")), run.path)
    with pytest.raises(UsageError, match="no log-probabilities of a text"):
        await import_traces(scored(solutions, standin("--owner", "llamacpp")), run.path)
    assert len(RunStore.open(run.path).commits("mine")) == mined
