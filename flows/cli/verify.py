"""``tracemill verify``."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer

from tracemill.schemas.errors import UsageError


def verify(
    what: Annotated[
        str,
        typer.Argument(
            metavar="FILE|RUN", help="One JSON object a line (- is standard input), or a run's folder or name."
        ),
    ],
    verifier: Annotated[
        str | None, typer.Option(help="answer, code, lean, puzzle ..., or module:function; a run has its own.")
    ] = None,
    out: Annotated[
        str | None, typer.Option(help="Write the verdicts to this Parquet file.  [default: JSON lines on stdout]")
    ] = None,
    option: Annotated[
        list[str] | None, typer.Option("--option", metavar="KEY=VALUE", help="An option of the verifier; repeatable.")
    ] = None,
    time_limit: Annotated[float | None, typer.Option(help="Seconds per candidate.")] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Worker processes.  [default: one per core]")] = None,
    recheck: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1,
            help="Share of the verdicts that are given twice; error where the two differ.  [default: 0.01]",
        ),
    ] = None,
) -> None:
    """Check any candidates, no run needed; or a whole run once more.

    Of a FILE each line has `id`, `response`, and the verifier's inputs: for answer `gold`, and optionally `question`,
    `choices`, `options`; for lean `statement` (a theorem without its body) and optionally `header`, with the proof term, a
    fenced Lean block or a whole submission as response. Exits with 0 whatever the verdicts are.

    Of a RUN everything gets a verdict that has none of its verifiers as they are now; what ended in error is asked again;
    the share --recheck of the rest is verified once more and compared. Twice is as good as once. Exits with 1 where a
    verdict differs from the stored one.

    \b
    Examples:
      tracemill verify outputs.jsonl --verifier answer --out verdicts.parquet
      echo '{"id": "a", "response": "The answer is \\\\boxed{2}", "gold": "2"}' | tracemill verify - --verifier answer
      tracemill verify data/runs/demo --recheck 1
    """
    if _is_run(what):
        given = {
            "--verifier": verifier,
            "--out": out,
            "--option": option,
            "--time-limit": time_limit,
            "--workers": workers,
        }
        for name in (name for name, value in given.items() if value is not None):
            raise UsageError(
                "a run's recipe says how it is verified", where=name, mend="give the recipe again with --set"
            )
        raise typer.Exit(_verify_run(what, recheck))
    if verifier is None:
        raise UsageError("which verifier?", where="--verifier", mend="name one, as in: --verifier answer")
    from tracemill.tasks.verify_file import verify_file

    with _progress() as advance:
        counts = verify_file(
            what,
            verifier,
            out,
            options=_options(option or []) or None,
            time_limit=time_limit,
            workers=workers,
            progress=advance,
            recheck=0.01 if recheck is None else recheck,
        )
    width = max((len(outcome) for outcome in counts), default=0)
    for outcome, count in counts.items():
        typer.echo(f"{outcome.ljust(width)}  {count:,}", err=True)


def _is_run(what: str) -> bool:
    from tracemill.flows.cli.places import runs_folder

    if what == "-" or os.path.isfile(what):
        return False
    return "://" in what or os.path.isdir(what) or os.path.isdir(os.path.join(runs_folder(), what))


def _verify_run(named: str, recheck: float | None) -> int:
    import asyncio

    from tracemill.flows.cli.places import open_run
    from tracemill.flows.cli.signals import terminate_as_interrupt
    from tracemill.flows.pipeline import verify_run
    from tracemill.tasks.reporting.panel import Panel

    run = open_run(named)
    panel = Panel(run.name)
    try:
        with terminate_as_interrupt():
            found = asyncio.run(verify_run(run.path, recheck=recheck, listener=panel))
    finally:
        panel.close()
    typer.echo(f"new verdicts     {found.given:,}")
    typer.echo(f"errors mended    {found.mended:,} of {found.asked:,}")
    typer.echo(f"compared         {found.compared:,}, of which {len(found.differing):,} differ")
    for line in found.differing[:20]:
        typer.echo(f"  {line}")
    return 1 if found.differing else 0


def _options(given: list[str]) -> dict[str, Any]:
    import yaml

    options: dict[str, Any] = {}
    for text in given:
        key, equals, value = text.partition("=")
        if not equals:
            raise UsageError("not key=value", where=f"--option {text}")
        try:
            options[key] = yaml.safe_load(value)
        except yaml.YAMLError:
            raise UsageError("the value is not YAML", where=f"--option {key}") from None
    return options


@contextmanager
def _progress() -> Iterator[Callable[[int], None] | None]:
    """Tells how many are done, on a terminal; stdout is for the verdicts."""
    import sys

    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("verified"), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=None)
        yield lambda n: bar.advance(task, n)
