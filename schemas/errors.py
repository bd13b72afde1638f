"""Errors for people: what is wrong, where, and what to do about it. Shown without a traceback."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class TracemillError(Exception):
    """A failure that the user can act on; the command line prints it and exits with ``exit_code``.

    ``what`` names the thing that is wrong, ``where`` the place (file, row, column, recipe key, address), and
    ``mend`` the next thing to try. All three are plain text; secrets never go into any of them.
    """

    exit_code = 1

    def __init__(self, what: str, *, where: str | None = None, mend: str | None = None) -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.mend = mend

    def __str__(self) -> str:
        lines = [self.what if self.where is None else f"{self.where}: {self.what}"]
        if self.mend:
            lines.append(f"  mend: {self.mend}")
        return "\n".join(lines)


class UsageError(TracemillError):
    """The request itself is wrong (a recipe key, an argument, a folder of another recipe)."""

    exit_code = 2


class DataError(TracemillError):
    """A file, row or column that cannot be read as what it is said to be."""


class EngineError(TracemillError):
    """The engine as a whole cannot be used: it is down, refuses, or answers garbage."""


class StoreError(TracemillError):
    """The run folder cannot be read or written: disk full, unknown schema version, damaged file."""


def did_you_mean(name: str, known: Iterable[str], *, cutoff: float = 0.6) -> str:
    """The beginning of a mend: a question with the known name nearest to ``name``; nothing where none is near."""
    near = get_close_matches(name, list(known), n=1, cutoff=cutoff)
    return f"did you mean {near[0]!r}? " if near else ""


def refuse_unknown(given: Iterable[str], known: Iterable[str], owner: str) -> None:
    """Raises UsageError for the first of the options ``given`` to ``owner`` (such as "the answer verifier") that is not ``known``."""
    allowed = list(known)
    for name in sorted(set(given) - set(allowed)):
        all_of_it = f"it has {', '.join(allowed)}" if allowed else "it has none"
        raise UsageError(f"unknown option {name!r} of {owner}", mend=did_you_mean(name, allowed) + all_of_it)
