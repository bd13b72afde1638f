"""Tables on stdout: drawn on a terminal, plain text otherwise."""

from __future__ import annotations

import sys
from dataclasses import replace

from tracemill.tasks.reporting.grid import Grid, to_text


def print_grid(grid: Grid) -> None:
    """Print ``grid`` to stdout. On a terminal that is too narrow for it numbers stay whole and words are folded."""
    if not sys.stdout.isatty():
        print(to_text(grid))
        return
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    if max(map(len, to_text(replace(grid, note="")).splitlines())) > console.width:
        grid = lifted(grid)
    table = Table(
        title=grid.title,
        title_justify="left",
        caption=grid.note or None,
        caption_justify="left",
        box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        pad_edge=False,
        show_edge=False,
    )
    for i, header in enumerate(grid.headers):
        number = grid.is_number(i)
        table.add_column(header, justify="right" if number else "left", no_wrap=number, overflow="fold")
    for row in grid.cells():
        table.add_row(*(Text(cell) for cell in row))
    console.print(table)


def lifted(grid: Grid) -> Grid:
    """``grid`` with the columns of words that say the same in every row in its title instead."""
    same = [i for i in range(len(grid.headers)) if not grid.is_number(i) and len({row[i] for row in grid.rows}) == 1]
    if len(same) == len(grid.headers):
        return grid
    cells = grid.cells()
    title = ", ".join([grid.title, *(f"{grid.headers[i]} {cells[0][i]}" for i in same)])
    kept = [i for i in range(len(grid.headers)) if i not in same]
    rows = tuple(tuple(row[i] for i in kept) for row in grid.rows)
    return Grid(title, tuple(grid.headers[i] for i in kept), rows, grid.note)
