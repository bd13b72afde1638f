"""``tracemill report``."""

from __future__ import annotations

from typing import Annotated

import typer


def report(run: Annotated[str, typer.Argument(metavar="RUN", help="A run's folder or name.")]) -> None:
    """Write a run's report (Markdown, and one HTML file that needs nothing else) and print where it is.

    \b
    Example:
      tracemill report data/runs/demo
    """
    from tracemill.flows.cli.places import open_run
    from tracemill.tasks.reporting.report import write_report

    typer.echo(write_report(open_run(run)))
