"""Where the rows of a source come from: a file, a folder of files, a data set saved to disk, or one on the Hub.

A path that exists is read as what it is and never looked for on the Hub; anything else is a Hub id.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from logging import ERROR
from typing import Any, Final

from tracemill.schemas.errors import DataError, UsageError
from tracemill.schemas.recipe import SourceSpec
from tracemill.schemas.records import Drop
from tracemill.tasks.sources.columns import split_of
from tracemill.tasks.sources.read import READERS, Row, clean, read_rows, suffix

_HUB_ID: Final = re.compile(r"[\w.-]+(/[\w.-]+)?")
_SPLIT: Final = re.compile(r"(?:^|[-_.])(train|test|validation|valid|val|dev)(?![a-z])", re.IGNORECASE)
_SAVED: Final = ("dataset_dict.json", "state.json")


def open_rows(spec: SourceSpec, hub_id: str | None = None, subset: str | None = None) -> Iterator[Row | Drop]:
    """The rows that ``spec`` names, each with its split where the file names or the data set tell it.

    ``hub_id`` and ``subset`` stand in where ``spec`` gives no path. A split that is asked for selects by file name, by the
    data set's splits, or by the rows' own ``split`` column.
    """
    path = spec.path or hub_id
    if path is None:
        raise UsageError(
            f"source {spec.kind!r} needs a path", where="problems", mend="add path: FILE, FOLDER or HUB/ID"
        )
    path = os.path.expanduser(path)
    if os.path.isfile(path):
        return _selected(read_rows(path), spec.split)
    if os.path.isdir(path):
        if any(os.path.exists(os.path.join(path, name)) for name in _SAVED):
            return _saved(path, spec.split)
        return _folder(path, spec.split)
    if suffix(path) in READERS or not _HUB_ID.fullmatch(path) or path.startswith("."):
        return read_rows(path)  # which says what is wrong with it
    return _hub(path, spec.subset or (None if spec.path else subset), spec.split, spec.revision)


def split_in_name(path: str) -> str | None:
    """The split that a file's name tells (``train-00000.parquet``, ``test5000.jsonl``); None for none or several."""
    found = {match.lower() for match in _SPLIT.findall(os.path.basename(path))}
    return found.pop() if len(found) == 1 else None


def data_files(folder: str) -> list[str]:
    """The data files below ``folder``, hidden ones left out, in order; ``DataError`` where there are none."""
    paths = []
    for where, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        wanted = (
            name for name in names if suffix(name) in READERS and not name.startswith((".", "dataset_info", "state."))
        )
        paths += [os.path.join(where, name) for name in wanted]
    if not paths:
        raise DataError(
            "no data files in the folder", where=folder, mend=f"known endings: {', '.join(sorted(READERS))}"
        )
    return sorted(paths)


def _selected(rows: Iterator[Row | Drop], split: str | None) -> Iterator[Row | Drop]:
    """``rows`` of ``split``: by their own ``split`` column, else all of them, said to be of that split."""
    if split is None:
        yield from rows
        return
    others: set[str] = set()
    any_row = False
    for row in rows:
        if isinstance(row, Row):
            own = row.values.get("split")
            if isinstance(own, str) and own != split:
                others.add(own)
                continue
            row = Row(row.path, row.number, row.values, split)
        any_row = True
        yield row
    if not any_row:
        raise DataError(
            f"no row of split {split!r}", where="split", mend=f"the rows' own splits: {', '.join(sorted(others))}"
        )


def _folder(folder: str, split: str | None) -> Iterator[Row | Drop]:
    paths = data_files(folder)
    if split is not None and any(split_in_name(path) for path in paths):
        wanted = [path for path in paths if (name := split_in_name(path)) and split_of(name) == split_of(split)]
        if not wanted:
            there = ", ".join(os.path.basename(path) for path in paths)
            raise DataError(f"no file of split {split!r}", where=folder, mend=f"the files are: {there}")
        paths = wanted
    for path in paths:
        for row in _selected(read_rows(path), split):
            if isinstance(row, Row):
                row = Row(row.path, row.number, row.values, split or split_in_name(path))
            yield row


def _saved(folder: str, split: str | None) -> Iterator[Row | Drop]:
    import datasets

    try:
        loaded = datasets.load_from_disk(folder)
    except (OSError, ValueError) as error:
        raise DataError(f"not a saved data set: {error}", where=folder, mend="save it again") from error
    return _data_set(loaded, folder, split)


def _hub(name: str, subset: str | None, split: str | None, revision: str | None) -> Iterator[Row | Drop]:
    import datasets
    from huggingface_hub.utils import logging

    verbosity = logging.get_verbosity()
    logging.set_verbosity(ERROR)  # its retries are ours to report, once
    try:
        loaded = datasets.load_dataset(name, subset, revision=revision)
    except datasets.exceptions.DatasetNotFoundError as error:
        raise DataError(
            "no such file, folder or Hub data set, or it is private",
            where=name,
            mend="check the spelling; for a private one log in with `hf auth login`",
        ) from error
    except OSError as error:
        raise DataError(
            f"the Hub cannot be reached ({type(error).__name__})",
            where=name,
            mend="download it where there is a network (`hf download --repo-type dataset`) and give the folder as path",
        ) from error
    except (ValueError, RuntimeError) as error:
        raise DataError(
            f"cannot be loaded: {error}", where=name, mend="check subset, split and revision against its page"
        ) from error
    finally:
        logging.set_verbosity(verbosity)
    return _data_set(loaded, name, split)


def _data_set(loaded: Any, name: str, split: str | None) -> Iterator[Row | Drop]:
    """Rows of a ``Dataset`` or of the splits of a ``DatasetDict``."""
    if not hasattr(loaded, "column_names") or not isinstance(loaded.column_names, dict):
        parts = {split: loaded}
    elif split is None:
        parts = dict(loaded)
    elif split in loaded:
        parts = {split: loaded[split]}
    else:
        raise DataError(f"no split {split!r}", where=name, mend=f"its splits: {', '.join(loaded)}")
    for part, data in parts.items():
        for number, values in enumerate(data, 1):
            yield Row(f"{name}/{part}" if part else name, number, clean(values), part)
