"""Data sets saved to disk or laid out as folders are read by path; the Hub out of reach is an error with the mend."""

from __future__ import annotations

from pathlib import Path

import datasets
import pytest

from tracemill.schemas.errors import DataError, UsageError
from tracemill.schemas.recipe import SourceSpec
from tracemill.tasks.sources import Loaded, load_problems


def from_hub(path: str, split: str | None = None) -> Loaded:
    return load_problems([SourceSpec(kind="hub", path=path, split=split)])


@pytest.fixture
def data() -> datasets.DatasetDict:
    part = {
        name: datasets.Dataset.from_list(
            [{"question": f"A {name} question, number {n}?", "answer": str(n)} for n in range(3)]
        )
        for name in ("train", "test")
    }
    return datasets.DatasetDict(part)


def test_a_data_set_saved_to_disk_keeps_its_splits(data: datasets.DatasetDict, tmp_path: Path) -> None:
    data.save_to_disk(str(tmp_path / "saved"))
    loaded = from_hub(str(tmp_path / "saved"))
    assert [problem.split for problem in loaded.problems] == ["train"] * 3 + ["test"] * 3
    assert loaded.problems[0].source_row == "train:1"
    assert [p.prompt for p in from_hub(str(tmp_path / "saved"), "test").problems] == [
        f"A test question, number {n}?" for n in range(3)
    ]
    with pytest.raises(DataError, match="its splits: train, test"):
        from_hub(str(tmp_path / "saved"), "validation")


def test_one_split_saved_to_disk_is_read_too(data: datasets.DatasetDict, tmp_path: Path) -> None:
    data["train"].save_to_disk(str(tmp_path / "one"))
    assert len(from_hub(str(tmp_path / "one")).problems) == 3


def test_a_folder_of_parquet_files_is_read_by_their_names(data: datasets.DatasetDict, tmp_path: Path) -> None:
    for name, part in data.items():
        part.to_parquet(str(tmp_path / f"{name}-00000-of-00001.parquet"))
    assert {p.split for p in from_hub(str(tmp_path)).problems} == {"train", "test"}
    assert len(from_hub(str(tmp_path), "test").problems) == 3


def test_an_empty_folder_says_what_it_looked_for(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no data files.*\n.*\.parquet"):
        from_hub(str(tmp_path))


def test_a_hub_that_cannot_be_reached_is_an_error_with_the_mend(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*_: object, **__: object) -> None:
        raise ConnectionError("Name or service not known")

    monkeypatch.setattr(datasets, "load_dataset", unreachable)
    with pytest.raises(DataError, match=r"some/set: the Hub cannot be reached.*\n.*give the folder as path"):
        from_hub("some/set")


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (datasets.exceptions.DatasetNotFoundError("x"), "no such file, folder or Hub data set"),
        (ValueError("BuilderConfig 'x' not found."), "check subset, split and revision"),
    ],
)
def test_what_the_hub_refuses_is_told_apart(monkeypatch: pytest.MonkeyPatch, error: Exception, said: str) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(datasets, "load_dataset", refuse)
    with pytest.raises(DataError, match=said):
        from_hub("some/set")


def test_a_data_set_of_the_hub_is_read_split_by_split(
    monkeypatch: pytest.MonkeyPatch, data: datasets.DatasetDict
) -> None:
    asked: list[object] = []

    def load(name: str, subset: str | None, revision: str | None) -> datasets.DatasetDict:
        asked.append((name, subset, revision))
        return data

    monkeypatch.setattr(datasets, "load_dataset", load)
    assert len(load_problems([SourceSpec(kind="gsm8k")]).problems) == 6
    assert asked == [("openai/gsm8k", "main", None)]


def test_a_path_that_looks_like_a_file_is_never_asked_of_the_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets, "load_dataset", lambda *_, **__: pytest.fail("asked the Hub"))
    with pytest.raises(DataError, match="no such file"):
        from_hub("data/problems.jsonl")


def test_a_source_without_a_path_says_what_it_needs() -> None:
    with pytest.raises(UsageError, match="needs a path"):
        load_problems([SourceSpec(kind="hub")])
