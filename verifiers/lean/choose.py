"""Which back end: the user's Lean where there is one, the embedded one everywhere else, a server where it is named."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from tracemill.schemas.errors import UsageError
from tracemill.verifiers.lean.backend import Backend, embedded
from tracemill.verifiers.lean.install import ensure, installed
from tracemill.verifiers.lean.install.announce import announced
from tracemill.verifiers.lean.kimina import kimina
from tracemill.verifiers.lean.levels import ProofLevel
from tracemill.verifiers.lean.native import checker, find, native

NAMES: Final = ("auto", "embedded", "native", "kimina")


def backend(name: str, project: str | None = None, address: str | None = None, *, install: bool = False) -> Backend:
    """The back end of that name. ``install``: say on standard error what is being installed, where it is.

    ``auto`` is ``native`` where a project is named or a ``lean`` is on the PATH. Raises UsageError for an unknown name, a
    ``native`` that is not there and a ``kimina`` without address, TracemillError where the embedded one cannot be installed.
    """
    if name not in NAMES:
        raise UsageError(f"no back end {name!r}", where="verifier lean", mend=f"use one of {', '.join(NAMES)}")
    if name == "auto":
        name = "native" if project is not None or find() is not None else "embedded"
    if project is not None and name != "native":
        raise UsageError(
            "only the native back end has projects", where="verifier lean, project", mend="use backend native"
        )
    if name == "native":
        return _native(project)
    if name == "kimina":
        return kimina(address)
    if install:
        with announced() as progress:
            ensure(progress)
    return _embedded()


@lru_cache(maxsize=1)
def _embedded() -> Backend:
    return embedded(ensure())


@lru_cache(maxsize=4)
def _native(project: str | None) -> Backend:
    return native(project)


def absent() -> str | None:
    """Why no back end is here without an installation; None where one is."""
    if installed() is not None or find() is not None:
        return None
    return "no Lean is installed: tracemill lean install"


def highest(chosen: Backend) -> ProofLevel:
    """The highest level that a back end can reach."""
    if chosen.name == "kimina":
        return ProofLevel.COMPILES
    return ProofLevel.SECOND_CHECKER if checker(chosen) else ProofLevel.REPLAY_FRESH_PROCESS
