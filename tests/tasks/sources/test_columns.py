"""Cells become text without surprise, and names are found with their dots, the plain name first."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from tracemill.tasks.sources.columns import CellError, bind, cell_text, lookup, split_of
from tracemill.tasks.sources.read import Row


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, None),
        ("", ""),
        (" as it is ", " as it is "),
        (18, "18"),
        (18.0, "18"),
        (0.1, "0.1"),
        (1e300, "1e+300"),
        (float("nan"), None),
        (True, "True"),
        (Decimal("1.50"), "1.50"),
        (date(2020, 1, 2), "2020-01-02"),
        (["5"], "5"),
    ],
)
def test_a_cell_is_text(value: Any, text: str | None) -> None:
    assert cell_text(value, "gold") == text


@pytest.mark.parametrize("value", [[], ["1", "2"], {"a": 1}, b"bytes"])
def test_a_cell_that_is_no_text_names_its_column_and_type(value: Any) -> None:
    with pytest.raises(CellError, match=f"column 'gold' holds a {type(value).__name__}"):
        cell_text(value, "gold")


def test_a_plain_name_goes_before_a_path() -> None:
    values = {"a.b": 1, "a": {"b": 2, "c": None}}
    assert lookup(values, "a.b") == (True, 1)
    assert lookup(values, "a.c") == (True, None)
    assert lookup(values, "a.d") == (False, None)
    assert lookup(values, "x.y") == (False, None)


def test_a_column_that_only_a_later_row_has_is_found() -> None:
    rows = [Row("f", 1, {"prompt": "x"}), Row("f", 2, {"prompt": "y", "licence": "MIT"})]
    columns = bind(rows, {}, {"prompt": ("prompt",), "licence": ("licence",)}, required=["prompt"])
    assert [columns.text(row, "licence") for row in rows] == [None, "MIT"]


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("train", "train"),
        ("train_sft", "train"),
        (None, "train"),
        ("default", "train"),
        ("dev", "validation"),
        ("valid", "validation"),
        ("Validation", "validation"),
        ("test", "test"),
        ("test5000", "test"),
    ],
)
def test_splits_have_our_names(name: str | None, split: str) -> None:
    assert split_of(name) == split
