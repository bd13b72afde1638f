"""``tracemill show``."""

from __future__ import annotations

from typing import Annotated

import typer


def show(
    id_: Annotated[str, typer.Argument(metavar="ID", help="An id, or its first characters.")],
    run: Annotated[
        list[str] | None, typer.Option("--run", metavar="DIR", help="A run; repeatable.  [default: all runs]")
    ] = None,
) -> None:
    """Show one problem, trace, tree, stream or pair, readable.

    What a model said is shown with its control characters written out, so that it cannot drive the terminal.

    \b
    Examples:
      tracemill show t_4f1c --run data/runs/demo
      tracemill show p_09ab
    """
    from tracemill.flows.cli.places import open_runs
    from tracemill.tasks.inspect import show_id
    from tracemill.tasks.queries import connect

    connection = connect(open_runs(run or []))
    try:
        typer.echo(show_id(connection, id_))
    finally:
        connection.close()
