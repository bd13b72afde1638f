"""One real Lean for the tests of a module, and where the data that only developers have is."""

from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parents[4] / "shared"


def shared(*parts):
    """A file beside the checkout; the test is skipped where it is not there."""
    path = SHARED.joinpath(*parts)
    if not path.exists():
        pytest.skip(f"no {'/'.join(parts)} beside this checkout")
    return path


def task(row, false):
    """(response, statement, header) of a row of ``cheats``."""
    _, response, *rest = row
    return response, rest[0] if rest else false, rest[1] if len(rest) > 1 else ""
