"""``tracemill serve``."""

from __future__ import annotations

from typing import Annotated

import typer


def serve(
    port: Annotated[int, typer.Option(min=1, max=65535, help="The loopback port of the Prefect server.")] = 4200,
) -> None:
    """Start a Prefect server of our own (loopback, SQLite) and run what is due until Ctrl-C.

    \b
    Example:
      tracemill serve --port 4200
    """
    from tracemill.flows.server import serve as run_server

    run_server(port=port)
