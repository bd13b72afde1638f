"""Disks that fill, refuse or break at any moment: nothing half-published, nothing lost, and a retry succeeds."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from tracemill.schemas.errors import StoreError
from tracemill.tasks.store import RunStore, location


class Faults:
    """Fails the k-th file operation, and all after it, while it is armed; counts them otherwise."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls = 0
        self.fail_at = 0
        self.code = errno.ENOSPC
        self._real_open = open
        for name in ("fsync", "link", "rename", "open", "makedirs"):
            monkeypatch.setattr(location.os, name, self._failing(getattr(os, name)))
        monkeypatch.setattr(location, "open", self._open, raising=False)

    @contextlib.contextmanager
    def at(self, k: int, code: int = errno.ENOSPC) -> Iterator[None]:
        self.calls, self.fail_at, self.code = 0, k, code
        try:
            yield
        finally:
            self.fail_at = 0

    def step(self) -> None:
        self.calls += 1
        if self.fail_at and self.calls >= self.fail_at:
            raise OSError(self.code, os.strerror(self.code))

    def _failing(self, real: Any) -> Any:
        def call(*args: Any, **kwargs: Any) -> Any:
            self.step()
            return real(*args, **kwargs)

        return call

    def _open(self, *args: Any, **kwargs: Any) -> Any:
        self.step()
        return _File(self._real_open(*args, **kwargs), self)


class _File:
    def __init__(self, file: Any, faults: Faults) -> None:
        self._file, self._faults = file, faults

    def write(self, data: Any) -> int:
        self._faults.step()
        return int(self._file.write(data))

    def flush(self) -> None:
        self._file.flush()

    def __enter__(self) -> _File:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


@pytest.fixture
def faults(monkeypatch):
    return Faults(monkeypatch)


def test_whatever_operation_of_a_commit_fails_the_shard_is_whole_or_absent(
    tmp_path, make_recipe, drops, policies, faults
):
    run = RunStore.start(tmp_path, make_recipe())
    run.commit("sample", "before", {"drops": drops("kept"), "policies": policies("kept")})
    k = failures = 0
    while True:
        k += 1
        shard = f"s{k}"
        tables = {"drops": drops(f"{shard}-a", f"{shard}-b"), "policies": policies(shard)}
        failed: StoreError | None = None
        with faults.at(k):
            try:
                run.commit("sample", shard, tables)
            except StoreError as error:
                failed = error
        reader = RunStore.open(tmp_path)
        subjects = reader.read("drops").column("subject_id").to_pylist()
        seen = [subject for subject in subjects if subject.startswith(f"{shard}-")]
        assert len(seen) == (2 if reader.is_committed("sample", shard) else 0)
        assert run.is_committed("sample", shard) == (len(seen) == 2)
        assert (shard in reader.read("policies").column("policy_id").to_pylist()) == (len(seen) == 2)
        assert "kept" in subjects
        if failed is None:
            break
        failures += 1
        assert "no space left" in failed.what
        assert str(tmp_path) in str(failed.where)
        assert "resumes" in str(failed.mend)
        run.commit("sample", shard, tables)
        assert run.is_committed("sample", shard)
    assert failures > 10
    assert run.read("drops").num_rows == 1 + 2 * k
    assert run.read("policies").num_rows == 1 + k
    run.collect()
    assert RunStore.open(tmp_path).read("drops").num_rows == 1 + 2 * k


def test_whatever_operation_of_a_start_fails_the_next_start_succeeds(tmp_path, make_recipe, faults):
    k = 0
    while True:
        k += 1
        folder = tmp_path / str(k)
        with faults.at(k):
            try:
                RunStore.start(folder, make_recipe()).close()
            except StoreError:
                pass
            else:
                break
        with RunStore.start(folder, make_recipe()) as run:
            assert run.read("traces").num_rows == 0
        shutil.rmtree(folder)
    assert k > 20


def test_whatever_operation_of_a_resume_fails_the_history_is_whole(tmp_path, make_recipe, faults):
    RunStore.start(tmp_path, make_recipe()).close()
    for k in range(1, 100):
        before = RunStore.open(tmp_path).invocation
        with faults.at(k):
            try:
                RunStore.start(tmp_path, make_recipe(limit=k)).close()
            except StoreError:
                assert RunStore.open(tmp_path).invocation in (before, before + 1)
            else:
                break
    assert 3 < k < 99
    assert RunStore.open(tmp_path).recipe() == make_recipe(limit=k)


@pytest.mark.parametrize("code", [errno.EACCES, errno.EROFS, errno.EDQUOT, errno.EIO])
def test_every_refusal_of_the_disk_is_told_with_its_place(tmp_path, make_recipe, drops, faults, code):
    run = RunStore.start(tmp_path, make_recipe())
    with faults.at(1, code), pytest.raises(StoreError) as failed:
        run.commit("sample", "one", {"drops": drops("a")})
    assert str(tmp_path) in str(failed.value.where)
    assert (failed.value.mend is not None) == (code != errno.EIO)


def test_a_file_system_without_hard_links_still_commits_once(tmp_path, make_recipe, drops, monkeypatch):
    run = RunStore.start(tmp_path, make_recipe())

    def refuse(*_: object) -> None:
        raise OSError(errno.EOPNOTSUPP, "no links here")

    monkeypatch.setattr(location.os, "link", refuse)
    first = run.commit("sample", "one", {"drops": drops("a")})
    assert RunStore.open(tmp_path).commit("sample", "one", {"drops": drops("b")}) == first
    assert run.read("drops").num_rows == 1
    assert run.garbage() == []


@pytest.fixture
def small_disk(tmp_path):
    """A real disk of 2 MB."""
    mount, umount = shutil.which("mount"), shutil.which("umount")
    if os.geteuid() != 0 or mount is None or umount is None:
        pytest.skip("mounting a small disk needs root")
    folder = tmp_path / "disk"
    folder.mkdir()
    if subprocess.run([mount, "-t", "tmpfs", "-o", "size=2m", "tmpfs", folder], capture_output=True).returncode:
        pytest.skip("mounting is not allowed here")
    yield folder
    subprocess.run([umount, "-l", folder], check=True)


def test_a_really_full_disk_stops_the_run_and_space_resumes_it(small_disk, make_recipe, drops, said):
    run = RunStore.start(small_disk / "run", make_recipe())
    run.commit("sample", "one", {"drops": drops("a")})
    ledger = run.ledger("two")
    ledger.put("r_1", 10, said("paid"))
    ledger.close()
    ballast = small_disk / "ballast"
    with contextlib.suppress(OSError), open(ballast, "wb", buffering=0) as file:
        while True:
            file.write(b"x" * 4096)
    with pytest.raises(StoreError, match="no space left"):
        run.commit("sample", "two", {"drops": drops(*(f"{i}" * 40 for i in range(20_000)))})
    assert run.read("drops").num_rows == 1

    def pay() -> None:
        ledger = run.ledger("two")
        for i in range(500):
            ledger.put(f"r_x{i}", 10, said("more" * 500))
        ledger.close()

    with pytest.raises(StoreError) as failed:
        pay()
    assert failed.value.mend is not None
    ballast.unlink()
    run.commit("sample", "two", {"drops": drops("b")})
    assert run.read("drops").num_rows == 2
    again = run.ledger("two")
    assert again.get("r_1") == said("paid")
    again.close()
