import sys
from pathlib import Path

import pytest

from tracemill.verifiers.lean import choose, verifier
from tracemill.verifiers.lean.backend import Backend

STANDIN = str(Path(__file__).parent / "standin.py")


@pytest.fixture
def standin():
    """A back end that is no Lean but speaks its protocol."""
    return Backend("embedded", "9.9.9", (sys.executable, STANDIN), isolation="none", memory=1 << 30, recycle=1 << 29)


@pytest.fixture
def check_with(standin, monkeypatch):
    """``check_with(response, **options)``: the judgement of the lean verifier over the stand-in."""
    from tracemill.verifiers.base import Candidate

    monkeypatch.setattr(choose, "backend", lambda *_, **__: standin)
    verifier._SESSIONS.clear()

    def run(response, statement="theorem t : True", header="", **options):
        built = verifier.verifier(options)
        return verifier.check(Candidate("s", response, spec={"statement": statement, "header": header}), built.config)

    yield run
    for session in verifier._SESSIONS.values():
        session.reader.close()
        session.judge.close()
    verifier._SESSIONS.clear()
