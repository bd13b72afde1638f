"""Which back end: the user's Lean where there is one, the embedded one everywhere else."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from tracemill.schemas.errors import UsageError
from tracemill.verifiers.lean.backend import Backend, embedded
from tracemill.verifiers.lean.install import ensure, installed
from tracemill.verifiers.lean.install.announce import announced
from tracemill.verifiers.lean.levels import ProofLevel

NAMES: Final = ("auto", "embedded")


def backend(name: str, project: str | None = None, *, install: bool = False) -> Backend:
    """The back end of that name. ``install``: say on standard error what is being installed, where it is.

    Raises UsageError for an unknown name, TracemillError where the embedded one cannot be installed.
    """
    if name not in NAMES:
        raise UsageError(f"no back end {name!r}", where="verifier lean", mend=f"use one of {', '.join(NAMES)}")
    if install:
        with announced() as progress:
            ensure(progress)
    return _embedded()


@lru_cache(maxsize=1)
def _embedded() -> Backend:
    return embedded(ensure())


def absent() -> str | None:
    """Why no back end is here without an installation; None where one is."""
    return None if installed() is not None else "no Lean is installed: tracemill lean install"


def highest(chosen: Backend) -> ProofLevel:
    """The highest level that a back end can reach."""
    return ProofLevel.REPLAY_FRESH_PROCESS
