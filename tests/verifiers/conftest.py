import sys
from pathlib import Path

import pytest
from hypothesis import settings

# A busy machine is no failure of a property.
settings.register_profile("no-deadline", deadline=None)
settings.load_profile("no-deadline")


@pytest.fixture
def hostile(monkeypatch):
    """The module ``hostile_checks``, importable here and in workers."""
    monkeypatch.syspath_prepend(str(Path(__file__).parent / "outside"))
    import hostile_checks

    yield hostile_checks
    sys.modules.pop("hostile_checks", None)
