"""What ``run`` and ``import`` print when they are done: where the data is, what came of it, what to try next."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from typing import TYPE_CHECKING, Any

from tracemill.flows.cli.show_tables import print_grid
from tracemill.tasks.queries import connect
from tracemill.tasks.reporting.examples import example_text, examples
from tracemill.tasks.reporting.grid import Grid
from tracemill.tasks.reporting.summary import summary_of

if TYPE_CHECKING:
    from tracemill.tasks.reporting.summary import Summary
    from tracemill.tasks.store import RunStore


def print_closing(run: RunStore, shown: int = 0) -> None:
    """Print the summary of ``run``, ``shown`` example traces, and the next commands to try."""
    connection = connect([run])
    try:
        summary = summary_of(connection, run)
        picked = examples(connection, shown) if shown else []
        first = connection.execute("SELECT min(trace_id) FROM traces").fetchone()
    finally:
        connection.close()
    place = os.path.relpath(run.path) if "://" not in run.path else run.path
    place = run.path if place.startswith("..") else place
    print(f"\nThe data is in {place}\n")
    for grid in summary.grids():
        print_grid(grid)
        print()
    views = view_rows(run)
    if views:
        print_grid(Grid("Views (what a trainer loads)", ("view", "split", "rows", "files"), tuple(views)))
        print()
    for example in picked:
        print(example_text(example) + "\n")
    for line in remarks(summary):
        print(line + "\n")
    named, command = shlex.quote(place), shlex.quote(as_typed())
    print(
        "Next:\n"
        f"  {command} sql 'FROM pass_rate ORDER BY pass_rate LIMIT 20' --run {named}\n"
        f"  {command} sql 'FROM disagreements' --run {named}\n"
        f"  {command} show {picked[0].trace_id if picked else (first and first[0]) or 'ID'} --run {named}\n"
        f"  {command} report {named}\n"
        f"  {command} publish {named} --repo ORG/NAME --dry-run out"
    )


def as_typed() -> str:
    """What to type for this command: its name where the shell finds it under that, else the path that it was started by."""
    name, here = "tracemill", sys.argv[0]
    found = shutil.which(name)
    if os.path.basename(here) != name or (found is not None and os.path.exists(here) and os.path.samefile(found, here)):
        return name
    return here


def remarks(summary: Summary) -> list[str]:
    """What the numbers alone would not tell: who disagrees, and why views may be empty."""
    kinds = {
        "verifiers": "verdicts that two verifiers, or one and a label, differ on",
        "majority": "majority answers that are not the gold one",
    }
    lines = [
        f"{summary.disagreements[kind]:,} {what} (FROM disagreements WHERE kind = '{kind}')"
        for kind, what in kinds.items()
        if summary.disagreements.get(kind)
    ]
    if any(count.reason == "test_split" and count.stage.startswith("view:") for count in summary.funnel):
        lines.append(
            "Some of these problems are a benchmark's test split, which no view takes; "
            "--set views.include_test=true lets them in"
        )
    return lines


def view_rows(run: RunStore) -> list[tuple[Any, ...]]:
    """(view, split, rows, files) of the Parquet files below ``views/`` of a run on a local disk."""
    import pyarrow.parquet as pq

    if "://" in run.path:
        return []
    found: dict[tuple[str, str], list[int]] = {}
    root = os.path.join(run.path, "views")
    for folder, _, names in sorted(os.walk(root)):
        for name in sorted(names):
            if name.endswith(".parquet"):
                split = name.split("-")[0].removesuffix(".parquet")
                rows = pq.read_metadata(os.path.join(folder, name)).num_rows
                found.setdefault((os.path.relpath(folder, root), split), []).append(rows)
    return [(view, split, sum(rows), len(rows)) for (view, split), rows in found.items()]
