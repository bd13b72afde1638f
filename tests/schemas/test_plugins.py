"""Names resolve to objects from a registry, or from anywhere on the Python path."""

from __future__ import annotations

from pathlib import Path

import pytest

from tracemill.schemas.errors import UsageError
from tracemill.schemas.plugins import resolve


def test_a_known_name_is_itself() -> None:
    assert resolve("a", {"a": 1}, noun="thing", group="none") == 1


def test_an_unknown_name_suggests_the_nearest_and_lists_the_known() -> None:
    with pytest.raises(UsageError) as caught:
        resolve("sampels", {"samples": 1, "star": 2}, noun="strategy", group="none")
    assert "'samples'" in (caught.value.mend or "")
    assert "star" in (caught.value.mend or "")


def test_a_module_of_the_current_folder_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a_module_of_mine.py").write_text("def thing():\n    return 7\n")
    monkeypatch.chdir(tmp_path)
    assert resolve("a_module_of_mine:thing", {}, noun="thing", group="none")() == 7


@pytest.mark.parametrize("name", ["no_such_module_here:f", "json:no_such_function"])
def test_what_cannot_be_imported_is_a_usage_error(name: str) -> None:
    with pytest.raises(UsageError, match="no_such"):
        resolve(name, {}, noun="thing", group="none")
