"""A run folder: starting, resuming, committing, reading, and refusing what it must not touch."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tracemill.schemas.errors import DataError, StoreError, UsageError
from tracemill.schemas.recipe import ImportRecipe
from tracemill.schemas.tables import TABLES, VERSION_KEY, schema_of
from tracemill.tasks.store import Funnel, RunStore, tablefile


def test_a_new_run_has_its_recipe_and_a_file_without_rows_for_every_table(tmp_path, make_recipe):
    run = RunStore.start(tmp_path / "run", make_recipe())
    document = json.loads((tmp_path / "run/recipe.json").read_text())
    assert document["history"][0]["recipe"]["name"] == "test"
    for name in TABLES:
        assert [Path(f).name for f in run.files(name)] == ["_empty.parquet"]
        assert run.read(name).schema.equals(schema_of(name))
    assert run.recipe() == make_recipe()
    assert run.document["kind"] == "synthesize"
    assert run.invocation == 1


def test_readers_see_what_was_committed_and_nothing_else(tmp_path, make_recipe, drops):
    run = RunStore.start(tmp_path, make_recipe())
    stray = tmp_path / "drops" / "sample-dead-00000000.parquet"
    pq.write_table(drops("lost"), stray)
    commit = run.commit("sample", "one", {"drops": drops("a", "b")}, Funnel("sample", 3, 1, {"test": 2}), {"n": 1})
    assert run.read("drops", ["subject_id"]).column(0).to_pylist() == ["a", "b"]
    assert RunStore.open(tmp_path).commits() == [commit]
    assert commit.rows("drops") == 2
    assert run.garbage() == [str(stray)]
    assert run.collect() == [str(stray)]
    assert not stray.exists()
    assert run.read("drops").num_rows == 2


def test_a_second_commit_of_a_shard_returns_the_first(tmp_path, make_recipe, drops):
    run = RunStore.start(tmp_path, make_recipe())
    first = run.commit("sample", "one", {"drops": drops("a")})
    assert run.commit("sample", "one", {"drops": drops("b")}) == first
    other = RunStore.open(tmp_path)  # as a process would that did not see the first being made
    assert other.commit("sample", "one", {"drops": drops("c")}) == first
    assert run.read("drops").num_rows == 1
    assert run.garbage() == []


def test_two_writers_of_one_shard_leave_one_commit(tmp_path, make_recipe, drops, monkeypatch):
    run = RunStore.start(tmp_path, make_recipe())
    rival = RunStore.open(tmp_path)
    publish = run._location.publish

    def beaten(name: str, data: bytes) -> bool:
        rival.commit("sample", "one", {"drops": drops("rival")})
        return publish(name, data)

    monkeypatch.setattr(run._location, "publish", beaten)
    run.commit("sample", "one", {"drops": drops("late")})
    assert run.read("drops").column("subject_id").to_pylist() == ["rival"]
    assert run.garbage() == []


def test_a_reader_follows_a_live_run(tmp_path, make_recipe, drops):
    run = RunStore.start(tmp_path, make_recipe())
    reader = RunStore.open(tmp_path)
    assert not reader.is_committed("sample", "one")
    run.commit("sample", "one", {"drops": drops("a")})
    assert reader.is_committed("sample", "one")
    assert reader.read("drops").num_rows == 1
    assert [c.shard for c in reader.commits("sample")] == ["one"]
    assert reader.commits("other") == []


def test_a_resume_with_tunable_changes_adds_to_the_history(tmp_path, make_recipe):
    with RunStore.start(tmp_path, make_recipe()) as first:
        run_id = first.run_id
    with RunStore.start(tmp_path, make_recipe()) as same:
        assert (same.run_id, same.invocation, len(same.history.entries)) == (run_id, 2, 1)
    with RunStore.start(tmp_path, make_recipe(limit=5)) as more:
        assert (more.run_id, more.invocation, len(more.history.entries)) == (run_id, 3, 2)
        assert more.document["limit"] == 5
    assert RunStore.open(tmp_path).recipe() == make_recipe(limit=5)


def test_another_identity_is_refused_with_every_difference_and_both_mends(tmp_path, make_recipe, said):
    with RunStore.start(tmp_path, make_recipe(sampling={"temperature": 0.5})) as run:
        pay(run, said)
    other = make_recipe(sampling={"temperature": 0.7, "stop": ["\n"]}, problems=[{"kind": "gsm8k"}])
    with pytest.raises(UsageError) as refused:
        RunStore.start(tmp_path, other)
    text = str(refused.value)
    assert refused.value.exit_code == 2
    assert "sampling.temperature: 0.5 in the run, 0.7 now" in text
    assert 'sampling.stop[0]: absent in the run, "\\n" now' in text
    assert 'problems[0].path: "p.jsonl" in the run, null now' in text
    assert "--out NEW --reuse OLD" in text
    assert "--fresh" in text
    assert "max_tokens" not in text
    assert RunStore.open(tmp_path).invocation == 1


def pay(run: RunStore, said) -> None:
    ledger = run.ledger("one")
    ledger.put("r_1", 10, said("paid"))
    ledger.close()


def test_a_mistyped_key_is_mended_in_place_where_nothing_was_paid(tmp_path, make_recipe, policies):
    with RunStore.start(tmp_path / "run", make_recipe(sampling={"temperature": 0.5})) as mistyped:
        mistyped.commit("start", "one", {"policies": policies("p")})
        mistyped.ledger("one").close()
    with RunStore.start(tmp_path / "run", make_recipe(sampling={"temperature": 0.7})) as mended:
        assert (mended.invocation, mended.commits()) == (1, [])
        assert mended.run_id != mistyped.run_id
    (aside,) = tmp_path.glob("run.old-*")
    assert RunStore.open(aside).run_id == mistyped.run_id


def test_a_ledger_that_cannot_be_read_counts_as_paid(tmp_path, make_recipe, said):
    with RunStore.start(tmp_path, make_recipe(sampling={"temperature": 0.5})) as run:
        pay(run, said)
    (ledger,) = run.ledgers()
    with open(ledger, "r+b") as file:
        file.write(b"damaged" * 20)
    with pytest.raises(UsageError, match="another recipe"):
        RunStore.start(tmp_path, make_recipe(sampling={"temperature": 0.7}))


def test_an_import_does_not_go_into_a_synthesis_run(tmp_path, make_recipe):
    RunStore.start(tmp_path, make_recipe()).close()
    with pytest.raises(UsageError, match="kind: synthesize in the run, import now"):
        RunStore.start(tmp_path, ImportRecipe(name="test", files=["f"], format="openai"))


def test_fresh_moves_the_old_run_aside_and_deletes_nothing(tmp_path, make_recipe, drops):
    with RunStore.start(tmp_path / "run", make_recipe()) as old:
        old.commit("sample", "one", {"drops": drops("a")})
    with RunStore.start(tmp_path / "run", make_recipe(round=1), fresh=True) as new:
        assert new.commits() == []
        assert new.run_id != old.run_id
    (aside,) = tmp_path.glob("run.old-*")
    assert RunStore.open(aside).read("drops").num_rows == 1


def test_fresh_does_not_pull_a_run_from_under_its_process(tmp_path, make_recipe):
    run = RunStore.start(tmp_path / "run", make_recipe())
    with pytest.raises(UsageError, match="already running"):
        RunStore.start(tmp_path / "run", make_recipe(), fresh=True)
    run.close()


def test_a_folder_that_is_not_a_run_is_left_alone(tmp_path, make_recipe):
    (tmp_path / "thesis.tex").write_text("mine")
    with pytest.raises(UsageError, match=r"not empty and not a run .*thesis\.tex"):
        RunStore.start(tmp_path, make_recipe())
    assert os.listdir(tmp_path) == ["thesis.tex"]
    with pytest.raises(DataError, match="no run here"):
        RunStore.open(tmp_path)
    with pytest.raises(DataError, match="no such run"):
        RunStore.open(tmp_path / "nowhere")


def test_a_folder_whose_start_died_before_the_recipe_is_started_again(tmp_path, make_recipe):
    (tmp_path / "_lock").write_text("1\n")
    (tmp_path / ".part-0123").write_text("half a rec")
    with RunStore.start(tmp_path, make_recipe()) as run:
        assert run.invocation == 1
        assert [Path(p).name for p in run.collect()] == [".part-0123"]


def test_an_empty_file_that_a_power_loss_cut_short_is_remade(tmp_path, make_recipe):
    RunStore.start(tmp_path, make_recipe()).close()
    (tmp_path / "traces/_empty.parquet").write_bytes(b"")
    with RunStore.start(tmp_path, make_recipe()) as run:
        assert pq.read_schema(run.files("traces")[0]).equals(schema_of("traces"))


def test_one_process_at_a_time_writes(tmp_path, make_recipe):
    run = RunStore.start(tmp_path, make_recipe())
    with pytest.raises(UsageError, match=rf"already running \(process {os.getpid()}\)"):
        RunStore.start(tmp_path, make_recipe())
    code = (
        "import sys; from tracemill.tasks.store import RunStore; from tracemill.schemas.errors import UsageError\n"
        "run = RunStore.open(sys.argv[1])\n"
        "try: RunStore.start(sys.argv[1], run.recipe())\n"
        "except UsageError as error: print(error)"
    )
    said = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)
    assert f"already running (process {os.getpid()})" in said.stdout
    run.close()
    run.close()
    said = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)
    assert said.stdout == ""


def test_a_killed_process_does_not_keep_its_lock_even_with_orphaned_children(tmp_path, make_recipe):
    RunStore.start(tmp_path, make_recipe()).close()
    code = (
        "import os, sys, time; from tracemill.tasks.store import RunStore\n"
        "run = RunStore.start(sys.argv[1], RunStore.open(sys.argv[1]).recipe())\n"
        "child = os.fork()\n"
        "if child == 0:\n    os.close(1); time.sleep(30); os._exit(0)\n"
        "print(child, flush=True); time.sleep(30)"
    )
    writer = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert writer.stdout is not None
    orphan = int(writer.stdout.readline())
    try:
        writer.kill()
        writer.communicate()
        with RunStore.start(tmp_path, make_recipe()) as run:
            assert run.invocation == 3
    finally:
        os.kill(orphan, 9)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (pa.table({"subject_id": ["a"], "stage": ["s"]}), "column reason"),
        (pa.table({"subject_id": ["a"], "stage": ["s"], "reason": ["r"], "why": [1]}), "why"),
        (pa.table({"subject_id": ["a"], "stage": ["s"], "reason": [[1]]}), "column reason"),
    ],
)
def test_rows_that_are_not_the_tables_are_refused_before_anything_is_written(tmp_path, make_recipe, table, message):
    run = RunStore.start(tmp_path, make_recipe())
    with pytest.raises(StoreError, match=message):
        run.commit("sample", "one", {"drops": table})
    assert run.commits() == []
    assert run.garbage() == []


def test_columns_are_put_in_order_and_absent_optional_ones_are_null(tmp_path, make_recipe):
    run = RunStore.start(tmp_path, make_recipe())
    run.commit("sample", "one", {"drops": pa.table({"reason": ["r"], "stage": ["s"], "subject_id": ["a"]})})
    assert run.read("drops").to_pylist() == [{"subject_id": "a", "stage": "s", "reason": "r", "detail": None}]
    assert pq.read_schema(run.files("drops")[1]).metadata == schema_of("drops").metadata


def test_a_name_that_would_leave_the_folder_is_refused(tmp_path, make_recipe, drops):
    run = RunStore.start(tmp_path, make_recipe())
    for stage, shard in (("sample", "../../x"), ("a/b", "x"), ("a-b", "x"), ("", "x"), ("sample", "")):
        with pytest.raises(StoreError, match="not a name"):
            run.commit(stage, shard, {"drops": drops("a")})


def test_a_file_of_a_later_version_is_refused_by_name(tmp_path, make_recipe, drops):
    run = RunStore.start(tmp_path, make_recipe())
    run.commit("sample", "one", {"drops": drops("a")})
    path = run.files("drops")[1]
    metadata = {**schema_of("drops").metadata, VERSION_KEY: b"99"}
    pq.write_table(drops("a").replace_schema_metadata(metadata), path)
    with pytest.raises(StoreError, match="version 99") as refused:
        run.read("drops")
    assert refused.value.where == path


def test_a_damaged_or_missing_file_is_named(tmp_path, make_recipe, drops):
    run = RunStore.start(tmp_path, make_recipe())
    run.commit("sample", "one", {"drops": drops("a")})
    path = Path(run.files("drops")[1])
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(StoreError) as refused:
        run.read("drops")
    assert refused.value.where == str(path)
    path.unlink()
    with pytest.raises(StoreError) as refused:
        run.read("drops")
    assert refused.value.where == str(path)


def test_a_damaged_commit_or_recipe_is_named(tmp_path, make_recipe, drops):
    with RunStore.start(tmp_path, make_recipe()) as run:
        run.commit("sample", "one", {"drops": drops("a")})
    commit = tmp_path / "_commits/sample-one.json"
    commit.write_text(commit.read_text()[:40])
    with pytest.raises(StoreError, match="damaged commit") as refused:
        RunStore.open(tmp_path).commits()
    assert refused.value.where == str(commit)
    (tmp_path / "recipe.json").write_text("{")
    with pytest.raises(StoreError, match="damaged"):
        RunStore.open(tmp_path)


def test_a_funnel_that_loses_rows_is_refused():
    with pytest.raises(StoreError, match="does not add up"):
        Funnel("sample", 3, 1, {"test": 1})


def test_row_groups_stay_under_their_size(tmp_path, make_recipe, monkeypatch):
    monkeypatch.setattr(tablefile, "ROW_GROUP_BYTES", 100_000)
    run = RunStore.start(tmp_path, make_recipe())
    texts = ["x" * (50 if i % 10 else 60_000) for i in range(200)]  # most of the weight in few rows
    rows = [{"subject_id": str(i), "stage": "s", "reason": "r", "detail": t} for i, t in enumerate(texts)]
    run.commit("sample", "one", {"drops": pa.Table.from_pylist(rows, schema=schema_of("drops"))})
    with pq.ParquetFile(run.files("drops")[1]) as file:
        sizes = []
        for i in range(file.num_row_groups):
            group = file.read_row_group(i)
            sizes.append(group.nbytes)
    assert len(sizes) > 5
    assert max(sizes) <= 101_000
    assert run.read("drops").column("detail").to_pylist() == texts


def test_committed_attempts_lists_ends_without_texts(tmp_path, make_recipe):
    run = RunStore.start(tmp_path, make_recipe())
    assert run.committed_attempts().num_rows == 0
    assert {"attempt_id", "finish_reason", "completion_tokens", "trace_id", "kind", "path"} <= set(
        run.committed_attempts().column_names
    )
    assert "text" not in run.committed_attempts().column_names


def test_asking_for_commits_again_and_again_is_cheap(tmp_path, make_recipe, drops, monkeypatch):
    run = RunStore.start(tmp_path, make_recipe())
    for i in range(20):
        run.commit("sample", str(i), {"drops": drops(str(i))})
    reader = RunStore.open(tmp_path)
    reads: list[str] = []
    read = reader._location.read
    monkeypatch.setattr(reader._location, "read", lambda name: (reads.append(name), read(name))[1])
    for _ in range(50):
        assert len(reader.files("drops")) == 21
        assert reader.is_committed("sample", "7")
    assert len(reads) == 20  # each commit once
