"""Tells a person that the embedded Lean is being installed: a bar on a terminal, a line for each step elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from tracemill.verifiers.lean.install.folder import Progress


@contextmanager
def announced() -> Iterator[Progress]:
    """A progress function that writes on standard error, and nothing while nothing is done."""
    if not sys.stderr.isatty():
        yield _lines()
        return
    from rich.console import Console
    from rich.progress import BarColumn, TaskID, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    bar = Bar(
        TextColumn("Lean: {task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    )
    task: list[TaskID] = []

    def show(what: str, done: int, total: int) -> None:
        if not task:
            bar.start()
            task.append(bar.add_task(what, total=total))
        bar.update(task[0], description=what, completed=done, total=total)

    try:
        yield show
    finally:
        bar.stop()


def _lines() -> Progress:
    said: list[str] = []

    def show(what: str, done: int, total: int) -> None:
        if not said or said[-1] != what:
            said.append(what)
            sys.stderr.write(f"Lean: {what} ({done * 100 // max(total, 1)} %)\n")
            sys.stderr.flush()

    return show
