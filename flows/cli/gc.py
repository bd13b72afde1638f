"""``tracemill gc``."""

from __future__ import annotations

import os
import shutil
from typing import Annotated

import typer


def gc(
    run: Annotated[
        list[str] | None, typer.Option("--run", metavar="DIR", help="A run; repeatable.  [default: all runs]")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Remove what is listed.")] = False,
) -> None:
    """List what can be freed: leftovers of killed runs, spent ledgers, and runs that --fresh moved aside.

    Nothing that a commit lists is ever freed.

    \b
    Examples:
      tracemill gc
      tracemill gc --yes
    """
    from tracemill.flows.cli.places import open_runs, run_names

    aside = [] if run else _set_aside()
    stores = open_runs(run or []) if run or run_names() else []
    found = [path for store in stores for path in store.garbage()]
    for path in [*found, *aside]:
        print(f"{_size(path):>12,}  {path}")
    if not found and not aside:
        typer.echo("nothing to free", err=True)
    elif not yes:
        typer.echo("nothing was removed; tracemill gc --yes removes what is listed", err=True)
    else:
        removed = [path for store in stores for path in store.collect()]
        for path in aside:
            shutil.rmtree(path)
        typer.echo(f"removed {len(removed) + len(aside):,} of {len(found) + len(aside):,}", err=True)


def _set_aside() -> list[str]:
    from tracemill.flows.cli.places import run_names, runs_folder

    return [os.path.join(runs_folder(), name) for name in run_names(aside=True)]


def _size(path: str) -> int:
    if os.path.isdir(path):
        return sum(os.path.getsize(os.path.join(f, name)) for f, _, names in os.walk(path) for name in names)
    return os.path.getsize(path) if os.path.exists(path) else 0
