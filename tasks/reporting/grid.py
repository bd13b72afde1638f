"""A small table of text, and the ways to show it: aligned text, Markdown, HTML. Cells are data and always escaped."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

_MARKS: Final = str.maketrans({c: f"\\{c}" for c in "\\`*_[]<>|#"})


@dataclass(frozen=True, slots=True)
class Grid:
    """``headers`` and rows of as many cells. Numbers are right-aligned; ``note`` is a line below the table."""

    title: str
    headers: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]
    note: str = ""

    def cells(self) -> list[list[str]]:
        return [[cell_text(cell) for cell in row] for row in self.rows]

    def is_number(self, column: int) -> bool:
        """Whether every filled cell of ``column`` is a number."""
        return all(isinstance(row[column], int | float | Share | None) for row in self.rows)


@dataclass(frozen=True, slots=True)
class Share:
    """A share in [0, 1], shown in per cent."""

    value: float


def share(value: float | None) -> Share | None:
    return None if value is None else Share(value)


def cell_text(cell: Any) -> str:
    """How a cell reads: ``-`` where there is nothing, shares in per cent, thousands separated."""
    match cell:
        case None:
            return "-"
        case Share(value):
            return f"{100 * value:.1f} %"
        case bool():
            return str(cell).lower()
        case int():
            return f"{cell:,}"
        case float():
            return f"{cell:,.4g}" if abs(cell) < 1000 else f"{cell:,.0f}"
    return visible(str(cell))


def visible(text: str, *, lines: bool = False) -> str:
    """``text`` without anything that drives a terminal: control and direction marks as escapes; newlines kept if ``lines``."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or (lines and c in "\n\t") else _escaped(c) for c in text)


def _escaped(character: str) -> str:
    code = ord(character)
    if character in "\n\t\r":
        return {"\n": "\\n", "\t": "\\t", "\r": "\\r"}[character]
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}" if code < 65536 else f"\\U{code:08x}"


def to_text(grid: Grid) -> str:
    """Aligned columns with a heading."""
    table = [list(grid.headers), *grid.cells()]
    widths = [max(len(row[i]) for row in table) for i in range(len(grid.headers))]
    right = [grid.is_number(i) for i in range(len(grid.headers))]

    def line(row: Sequence[str]) -> str:
        return "  ".join(
            cell.rjust(width) if r else cell.ljust(width) for cell, width, r in zip(row, widths, right, strict=True)
        ).rstrip()

    lines = [grid.title, line(table[0]), "  ".join("-" * width for width in widths), *map(line, table[1:])]
    return "\n".join([*lines, grid.note] if grid.note else lines)


def to_markdown(grid: Grid) -> str:
    """A Markdown table under a heading of the second level."""
    right = ["---:" if grid.is_number(i) else "---" for i in range(len(grid.headers))]
    rows = [grid.headers, *grid.cells()]
    lines = ["| " + " | ".join(markdown_escape(cell) for cell in row) + " |" for row in rows]
    parts = [f"## {markdown_escape(grid.title)}", "\n".join([lines[0], f"| {' | '.join(right)} |", *lines[1:]])]
    return "\n\n".join([*parts, grid.note] if grid.note else parts)


def markdown_escape(text: str) -> str:
    """``text`` as Markdown that reads as it is."""
    return text.translate(_MARKS)


def to_html(grid: Grid) -> str:
    """A section with a heading and a table."""
    right = [' class="n"' if grid.is_number(i) else "" for i in range(len(grid.headers))]

    def row(tag: str, cells: Sequence[str]) -> str:
        inner = "".join(f"<{tag}{r}>{html.escape(cell)}</{tag}>" for cell, r in zip(cells, right, strict=True))
        return f"<tr>{inner}</tr>"

    body = "\n".join(row("td", cells) for cells in grid.cells())
    note = f"<p>{html.escape(grid.note)}</p>" if grid.note else ""
    return (
        f"<h2>{html.escape(grid.title)}</h2>\n<table>\n<thead>{row('th', grid.headers)}</thead>\n"
        f"<tbody>{body}</tbody>\n</table>\n{note}"
    )
