import sys
from pathlib import Path

import pytest


@pytest.fixture
def hostile(monkeypatch):
    """The module ``hostile_checks``, importable here and in workers."""
    monkeypatch.syspath_prepend(str(Path(__file__).parent / "outside"))
    import hostile_checks

    yield hostile_checks
    sys.modules.pop("hostile_checks", None)
