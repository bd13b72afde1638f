"""Where runs live, and which run a word names."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from tracemill.schemas.errors import DataError, TracemillError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tracemill.tasks.store import RunStore

#: What the store puts between a run's name and a time when it moves the run aside.
ASIDE: Final = ".old-"


def runs_folder() -> str:
    """``$TRACEMILL_RUNS``, else ``./data/runs``."""
    return os.environ.get("TRACEMILL_RUNS") or os.path.join("data", "runs")


def new_run(name: str, out: str | None) -> str:
    """The folder of a run called ``name``: ``out`` where it is given."""
    return out or os.path.join(runs_folder(), name)


def open_run(named: str) -> RunStore:
    """The run at the path ``named``, or of that name in the runs folder."""
    from tracemill.tasks.store import RunStore

    inside = os.path.join(runs_folder(), named)
    if "://" not in named and not os.path.exists(named) and os.path.exists(inside):
        return RunStore.open(inside)
    if "://" not in named and not os.path.exists(named):
        raise UsageError(
            "no such run", where=named, mend=f"give its folder, or one of: {', '.join(run_names()) or '(none yet)'}"
        )
    return RunStore.open(named)


def run_names(*, aside: bool = False) -> list[str]:
    """The names of the folders in the runs folder that hold a run, sorted; those that ``--fresh`` moved aside if ``aside``."""
    folder = runs_folder()
    try:
        names = sorted(os.listdir(folder))
    except OSError:
        return []
    held = [name for name in names if os.path.isfile(os.path.join(folder, name, "recipe.json"))]
    return [name for name in held if (ASIDE in name) == aside]


def open_runs(named: Sequence[str]) -> list[RunStore]:
    """The runs that are named; all in the runs folder where none is. One that cannot be read is told and left out then."""
    import sys

    if named:
        return [open_run(name) for name in named]
    from tracemill.tasks.store import RunStore

    found: list[RunStore] = []
    for name in run_names():
        path = os.path.join(runs_folder(), name)
        try:
            found.append(RunStore.open(path))
        except TracemillError as error:
            print(f"left out: {error}", file=sys.stderr)
    if not found:
        raise DataError("no runs yet", where=runs_folder(), mend="make one with: tracemill run demo; or give --run DIR")
    return found
