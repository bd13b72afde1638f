"""Tables on stdout: drawn on a terminal, plain text otherwise."""

from __future__ import annotations

import sys

from tracemill.tasks.reporting.grid import Grid, to_text


def print_grid(grid: Grid) -> None:
    """Print ``grid`` to stdout."""
    if not sys.stdout.isatty():
        print(to_text(grid))
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title=grid.title, title_justify="left", caption=grid.note or None, caption_justify="left")
    for i, header in enumerate(grid.headers):
        table.add_column(header, justify="right" if grid.is_number(i) else "left")
    for row in grid.cells():
        table.add_row(*(Text(cell) for cell in row))
    Console().print(table)
