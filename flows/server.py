"""``tracemill serve``: a Prefect server of our own, and the process that runs what is due."""

from __future__ import annotations


def serve(*, port: int = 4200) -> None:
    """Own a Prefect server and run what is due until SIGTERM or SIGINT."""
    raise NotImplementedError
