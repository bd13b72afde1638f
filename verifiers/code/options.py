"""Options of the ``code`` verifier, checked once where they come in.

``time_limit`` is seconds of CPU for one run of a program (all calls or asserts together; each case of standard input by
itself); its wall time is ``WALL`` times that. A problem's own ``time_limit`` comes before it. Sizes are in MiB. ``packages``
are third-party modules that programs and tests may import (of those installed here); ``without`` names protections that
may be missing.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Final

from tracemill.schemas.errors import UsageError, refuse_unknown
from tracemill.verifiers.code.inside.fence import Limits

WALL: Final = 2.0
PROTECTIONS: Final = ("processes", "network", "files")


@dataclass(frozen=True, slots=True)
class Options:
    """How programs are run. The defaults suit HumanEval, MBPP and contest problems."""

    time_limit: float = 5.0
    memory: int = 1024
    output: int = 4
    scratch: int = 64
    processes: int = 1
    packages: tuple[str, ...] = ()
    without: tuple[str, ...] = ()

    def as_config(self) -> dict[str, Any]:
        """As kept with a verifier: plain JSON values."""
        found = asdict(self)
        return found | {"packages": list(self.packages), "without": list(self.without)}

    def limits(self, time_limit: float | None = None) -> Limits:
        """The limits of one run."""
        seconds = time_limit or self.time_limit
        return Limits(
            cpu=seconds,
            wall=seconds * WALL,
            memory=self.memory << 20,
            file_size=self.output << 20,
            scratch=self.scratch << 20,
            processes=self.processes,
        )


def options_of(given: Mapping[str, Any]) -> Options:
    """``given`` as Options. Raises UsageError for one that is unknown or out of range, and a package that is not there."""
    refuse_unknown(given, (field.name for field in fields(Options)), "the code verifier")
    values = dict(given)
    for name in ("packages", "without"):
        values[name] = _names(name, values.get(name, ()))
    for name, least, most in (
        ("memory", 64, 1 << 20),
        ("output", 1, 1024),
        ("scratch", 1, 1 << 16),
        ("processes", 1, 256),
    ):
        value = values.get(name, getattr(Options, name, None) if name in values else least)
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise UsageError(
                f"{name} must be a whole number from {least} to {most}, not {value!r}", where="verifier code"
            )
    for name, over, most_real in (("time_limit", 0.0, 3600.0),):
        value = values.get(name, 1.0)
        if isinstance(value, bool) or not isinstance(value, int | float) or not over < value <= most_real:
            raise UsageError(f"{name} is out of range: {value!r}", where="verifier code")
        if name in values:
            values[name] = float(value)
    for name in values["without"]:
        if name not in PROTECTIONS:
            raise UsageError(
                f"unknown protection {name!r}", where="verifier code, without", mend=f"one of {', '.join(PROTECTIONS)}"
            )
    for name in values["packages"]:
        if not name.isidentifier() or importlib.util.find_spec(name) is None:
            raise UsageError(
                f"the package {name!r} is not installed here",
                where="verifier code, packages",
                mend=f"pip install {name}",
            )
    return Options(**values)


def _names(name: str, value: Any) -> tuple[str, ...]:
    found = [value] if isinstance(value, str) else value
    if not isinstance(found, list | tuple) or not all(isinstance(item, str) for item in found):
        raise UsageError(f"{name} is not a list of names", where="verifier code")
    return tuple(found)
