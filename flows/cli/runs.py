"""``tracemill runs``."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from tracemill.tasks.store import RunStore


def runs(
    format_: Annotated[str, typer.Option("--format", help="table or json")] = "table",
) -> None:
    """List the runs in the runs folder, with status and funnel.

    \b
    Example:
      TRACEMILL_RUNS=/data/runs tracemill runs
    """
    from tracemill.flows.cli.places import run_names, runs_folder
    from tracemill.schemas.errors import TracemillError, UsageError
    from tracemill.tasks.store import RunStore

    if format_ not in ("table", "json"):
        raise UsageError(f"no format {format_!r}", where="--format", mend="one of: table, json")
    found: list[dict[str, Any]] = []
    for name in run_names():
        try:
            found.append(_described(name, RunStore.open(os.path.join(runs_folder(), name))))
        except TracemillError as error:
            found.append({"run": name, "kind": None, "status": f"unreadable: {error.what}", "funnel": {}})
    if format_ == "json":
        print(json.dumps(found, indent=1))
        return
    if not found:
        typer.echo(f"no runs in {runs_folder()}; make one with: tracemill run demo", err=True)
        return
    from tracemill.flows.cli.show_tables import print_grid
    from tracemill.tasks.reporting.grid import Grid

    rows = tuple(
        (row["run"], row["kind"], row["status"], ", ".join(f"{stage} {out:,}" for stage, out in row["funnel"].items()))
        for row in found
    )
    print_grid(Grid(f"Runs in {runs_folder()}", ("run", "kind", "status", "funnel (rows out)"), rows))


def _described(name: str, run: RunStore) -> dict[str, Any]:
    from tracemill.tasks.queries.connection import funnels_of

    funnel: dict[str, int] = {}
    for stage in funnels_of(run):
        funnel[stage["stage"]] = funnel.get(stage["stage"], 0) + stage["out"]
    ended = run.read("runs", ["invocation", "status"]).to_pylist()
    last = max(ended, key=lambda row: row["invocation"], default=None)
    status = "running or killed" if last is None or last["invocation"] < run.invocation else last["status"]
    return {"run": name, "kind": run.document["kind"], "status": status, "funnel": funnel}
