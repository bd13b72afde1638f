import sys
from pathlib import Path

import pytest
from hypothesis import settings

# A busy machine is no failure of a property.
settings.register_profile("no-deadline", deadline=None)
settings.load_profile("no-deadline")


@pytest.fixture
def outside(monkeypatch):
    """The modules of the folder ``outside`` can be imported, here and in workers."""
    monkeypatch.syspath_prepend(str(Path(__file__).parent / "outside"))
    yield
    for name in ("hostile_checks", "gullible", "changing"):
        sys.modules.pop(name, None)


@pytest.fixture
def hostile(outside):
    """The module ``hostile_checks``."""
    import hostile_checks

    return hostile_checks


@pytest.fixture
def attacks(monkeypatch):
    """The generator of ``attacks.py``: distinct attacks without end, by seed."""
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    import attacks

    yield attacks.attacks
    sys.modules.pop("attacks", None)
