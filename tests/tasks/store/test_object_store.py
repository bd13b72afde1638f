"""A run on an object store: the same promises, a conditional put for a commit, and ledgers on the local disk."""

from __future__ import annotations

import os
import secrets

import fsspec
import pytest

from tracemill.schemas.errors import DataError, UsageError
from tracemill.tasks.store import RunStore
from tracemill.tasks.store.location import RemoteLocation, location_of


@pytest.fixture
def url(tmp_path, monkeypatch):
    monkeypatch.setenv("TRACEMILL_HOME", str(tmp_path / "home"))
    address = f"memory://runs-{secrets.token_hex(4)}/run"
    yield address
    fsspec.filesystem("memory").store.clear()


def test_a_run_starts_commits_resumes_and_is_read_by_url(url, make_recipe, drops):
    with RunStore.start(url, make_recipe()) as run:
        run_id = run.run_id
        first = run.commit("sample", "one", {"drops": drops("a", "b")})
        assert run.commit("sample", "one", {"drops": drops("c")}) == first
    with RunStore.start(url, make_recipe(limit=3)) as again:
        assert (again.run_id, again.invocation) == (run_id, 2)
        assert again.is_committed("sample", "one")
    reader = RunStore.open(url)
    assert reader.read("drops").num_rows == 2
    assert reader.read("traces").num_rows == 0
    assert all(file.startswith(f"{url}/drops/") for file in reader.files("drops"))
    with pytest.raises(UsageError, match=r"sampling\.temperature"):
        RunStore.start(url, make_recipe(sampling={"temperature": 0.1}))
    with pytest.raises(DataError):
        RunStore.open(url + "-not")


def test_a_commit_is_a_put_that_fails_where_one_is_there(url, make_recipe, drops, monkeypatch):
    modes: list[object] = []
    filesystem = type(fsspec.filesystem("memory"))
    pipe = filesystem.pipe_file

    def watched(self, path, value, mode="overwrite", **kwargs):
        if "_commits/" in path:
            modes.append(mode)
        return pipe(self, path, value, mode=mode, **kwargs)

    monkeypatch.setattr(filesystem, "pipe_file", watched)
    monkeypatch.setattr(filesystem, "mv", lambda *_, **__: pytest.fail("renamed"))
    with RunStore.start(url, make_recipe()) as run:
        run.commit("sample", "one", {"drops": drops("a")})
    assert modes == ["create"]
    assert location_of(url).publish("_commits/sample-one.json", b"{}") is False
    assert RunStore.open(url).read("drops").num_rows == 1


def test_the_ledger_is_on_the_local_disk_and_the_run_is_locked_there(url, tmp_path, make_recipe, said):
    run = RunStore.start(url, make_recipe())
    ledger = run.ledger("one")
    ledger.put("r_1", 1, said("x"))
    ledger.close()
    assert os.path.isfile(tmp_path / "home/ledger" / run.run_id / "_ledger/one.sqlite")
    with pytest.raises(UsageError, match="already running"):
        RunStore.start(url, make_recipe())
    run.close()
    with RunStore.start(url, make_recipe()) as again:
        paid = again.paid()
        assert paid("r_1") == said("x")
        paid.close()


def test_what_no_commit_lists_is_garbage_there_too(url, make_recipe, drops):
    with RunStore.start(url, make_recipe()) as run:
        run.commit("sample", "one", {"drops": drops("a")})
        with location_of(url).create("drops/stray.parquet") as file:
            file.write(b"half")
        assert run.collect() == [f"{url}/drops/stray.parquet"]
        assert run.garbage() == []
        assert run.read("drops").num_rows == 1


def test_fresh_is_refused_because_nothing_can_be_moved_aside(url, make_recipe):
    RunStore.start(url, make_recipe()).close()
    with pytest.raises(UsageError, match="--fresh"):
        RunStore.start(url, make_recipe(), fresh=True)


def test_a_file_url_is_a_local_folder(tmp_path):
    assert location_of(f"file://{tmp_path}").root == str(tmp_path)
    assert isinstance(location_of("memory://x"), RemoteLocation)
