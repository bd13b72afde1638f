"""The repository that is published."""

from __future__ import annotations

import socket
from pathlib import Path

import datasets
import duckdb
import pyarrow.parquet as pq
import pytest
import yaml

from tracemill.schemas.errors import UsageError
from tracemill.schemas.recipe import Recipe, ViewsSpec
from tracemill.tasks.provenance import invocation
from tracemill.tasks.publishing import prepare
from tracemill.tasks.publishing.layout import EXPLAINING
from tracemill.tasks.store import RunStore
from tracemill.tasks.views import build_views
from tracemill.verifiers.canaries.base import Report


def everything(folder: Path) -> str:
    """All text of a repository: the card and every cell of every file."""
    cells = [(folder / "README.md").read_text()]
    cells += [str(pq.read_table(path, partitioning=None).to_pylist()) for path in sorted(folder.rglob("*.parquet"))]
    return "\n".join(cells)


def test_every_config_loads_whole_and_streamed(run, tmp_path) -> None:
    folder = tmp_path / "out"
    configs = prepare(run, str(folder), "org/name")
    files = {path.parent.name for path in folder.rglob("*.parquet")}
    assert {"sft", "rl", "all", "unverified_mix", *EXPLAINING} == files
    empty = {"runs", "templates", "samplings", "trees", "nodes", "edges"}  # datasets loads no split without rows
    assert set(configs) == files - empty
    assert sorted(datasets.get_dataset_config_names(str(folder))) == sorted(configs)
    for config in configs:
        whole = datasets.load_dataset(str(folder), config, cache_dir=str(tmp_path / "cache"))
        streamed = datasets.load_dataset(str(folder), config, streaming=True)
        assert set(whole) == set(streamed)
        for split in whole:
            assert list(streamed[split]) == list(whole[split])
    assert datasets.load_dataset(str(folder), "traces", split="train", cache_dir=str(tmp_path / "cache")).num_rows == 9


def test_a_published_row_leads_to_all_that_explains_it(run, tmp_path) -> None:
    prepare(run, str(tmp_path / "out"), "org/name")
    tables = tmp_path / "out" / "tables"
    found = (
        duckdb.connect()
        .execute(
            f"""SELECT s.trace_id, t.text, p.licence, m.model, v.outcome
        FROM '{tmp_path}/out/views/sft/*.parquet' s
        JOIN '{tables}/traces/*.parquet' t USING (trace_id) JOIN '{tables}/problems/*.parquet' p ON p.problem_id = s.problem_id
        JOIN '{tables}/policies/*.parquet' m ON m.policy_id = t.policy_id
        JOIN '{tables}/verdicts/*.parquet' v ON v.subject_id = t.trace_id"""
        )
        .fetchall()
    )
    assert len(found) == 3
    assert {row[2:] for row in found} == {("cc0-1.0", "tiny-model", "correct")}
    dropped = (
        duckdb.connect()
        .execute(
            f"SELECT reason, count(*) FROM '{tables}/drops/*.parquet' WHERE stage = 'view:sft' GROUP BY 1 ORDER BY 1"
        )
        .fetchall()
    )
    assert dropped == [("error", 3), ("incorrect", 3)]


def test_drops_of_older_builds_are_not_published(run, tmp_path) -> None:
    build_views(run, ViewsSpec(names=["sft"]))
    prepare(run, str(tmp_path / "out"), "org/name")
    rows = pq.read_table(tmp_path / "out" / "tables" / "drops", partitioning=None).to_pylist()
    assert sum(row["stage"] == "view:sft" for row in rows) == 6
    assert {row["stage"] for row in rows} == {"view:sft"}


def test_no_path_address_or_host_of_this_machine_is_published(run, tmp_path) -> None:
    prepare(run, str(tmp_path / "out"), "org/name")
    text = everything(tmp_path / "out")
    assert "p.jsonl" in text
    for private in (str(tmp_path), "secret-folder", "gpu7.cluster", "10.1.2.3", str(Path.home()) + "/"):
        assert private not in text
    if len(socket.gethostname()) > 3:
        assert socket.gethostname() not in text


def test_a_planted_key_is_refused_and_nothing_is_left(bench, said, by_rule, tmp_path, monkeypatch) -> None:
    from tracemill.schemas.records import Problem

    key = "sk-planted-0123456789"
    problem = Problem("Say it.", "answer", "made", gold="7")
    run = bench.run([(problem, [said("7", [by_rule("correct")], text=f"the key is {key}")])])
    build_views(run, ViewsSpec())
    monkeypatch.setenv("SOME_API_KEY", key)
    with pytest.raises(UsageError, match="SOME_API_KEY") as refusal:
        prepare(run, str(tmp_path / "out"), "org/name")
    assert key not in str(refusal.value)
    assert not (tmp_path / "out").exists()
    assert not list(tmp_path.glob(".part-*"))


def test_the_card_says_what_the_data_says(run, tmp_path) -> None:
    prepare(run, str(tmp_path / "out"), "org/name")
    card = (tmp_path / "out" / "README.md").read_text()
    _, front, body = card.split("---\n", 2)
    head = yaml.safe_load(front)
    assert head["license"] == ["cc0-1.0"] or head["license"] == "cc0-1.0"
    assert head["size_categories"] == ["n<1K"]
    assert [config["config_name"] for config in head["configs"] if config.get("default")] == ["sft"]
    assert "tiny-model" in body
    assert "blind" in body
    assert "| answer | 1.0 | rule | correct | 3 |" in body


def test_the_card_says_what_the_canaries_showed_and_where_there_were_none(run, tmp_path) -> None:
    prepare(run, str(tmp_path / "out"), "org/name")
    assert "| answer | - | - |" in (tmp_path / "out" / "README.md").read_text()
    recipe = Recipe.model_validate({"name": "hand", "problems": [{"kind": "file", "path": "p.jsonl"}]})
    with RunStore.start(run.path, recipe) as store, invocation(store, recipe) as begun:
        begun.canaries = {"answer": Report("answer", "1", 8, 19), "mine": None}
    prepare(store, str(tmp_path / "out"), "org/name")
    assert "| answer | 1 | 19 | 0 | 8 | 0 |" in (tmp_path / "out" / "README.md").read_text()


def test_names_that_others_chose_cannot_become_markup(bench, said, by_rule, tmp_path) -> None:
    from tracemill.schemas.records import Problem

    problem = Problem("q", "answer", "<script>alert(1)</script>|x", gold="7", licence="my *own*")
    run = bench.run([(problem, [said("7", [by_rule("correct")])])])
    build_views(run, ViewsSpec())
    prepare(run, str(tmp_path / "out"), "org/name")
    card = (tmp_path / "out" / "README.md").read_text()
    assert "<script>" not in card
    assert "*own*" not in card.replace("\\*", "")


def test_preparing_again_replaces_and_a_strange_folder_is_left_alone(run, tmp_path) -> None:
    folder = tmp_path / "out"
    first = prepare(run, str(folder), "org/name")
    (folder / "views" / "old.parquet").write_bytes(b"")
    assert prepare(run, str(folder), "org/name") == first
    assert not (folder / "views" / "old.parquet").exists()
    strange = tmp_path / "strange"
    strange.mkdir()
    (strange / "thesis.txt").write_text("mine")
    with pytest.raises(UsageError, match="not empty"):
        prepare(run, str(strange), "org/name")
    assert (strange / "thesis.txt").read_text() == "mine"
    with pytest.raises(UsageError, match="name of a repository"):
        prepare(run, str(tmp_path / "other"), "nonsense")
