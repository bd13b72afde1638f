"""``tracemill import``."""

from __future__ import annotations

import os
import re
from typing import Annotated, Any

import typer

from tracemill.schemas.errors import UsageError


def import_(
    files: Annotated[
        list[str], typer.Argument(metavar="FILE", help="Files with traces (.jsonl, .jsonl.gz, .parquet ...).")
    ],
    map_: Annotated[
        str,
        typer.Option(
            "--map",
            metavar="FORMAT",
            help="columns, nemo, openai, openr1, reasoning, rollouts, sharegpt, or module:function.",
        ),
    ],
    columns: Annotated[
        list[str] | None, typer.Option(metavar="OURS=THEIRS", help="A column that has another name; repeatable.")
    ] = None,
    problems: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SOURCE=PATH", help="The problems that the traces answer, where the files lack them; repeatable."
        ),
    ] = None,
    model: Annotated[str | None, typer.Option(help="The model, where the files do not name it.")] = None,
    verifier: Annotated[str | None, typer.Option(help="The verifier of problems that come with the traces.")] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Set a key of the recipe; repeatable.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="The run's name.  [default: the first file's]")] = None,
    out: Annotated[
        str | None, typer.Option(help="The run's folder.  [default: $TRACEMILL_RUNS or ./data/runs, / NAME]")
    ] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Move what is in the folder aside and start anew.")] = False,
    examples: Annotated[int, typer.Option(min=0, help="Print so many example traces at the end.")] = 0,
) -> None:
    """Take traces that exist already: verify, curate and query them as any run's.

    Besides columns, --columns takes labels=COLUMN,... (what the data itself says is right; known names are found) and
    skip_kinds=KIND,... (traces of these kinds, whose answer only execution can tell, are kept and set apart by name).

    \b
    Examples:
      tracemill import chats.jsonl --map openai --model my-model
      tracemill import outputs.jsonl.gz --map columns --problems gsm8k=test.jsonl.gz --columns skip_kinds=program
      tracemill import dump.parquet --map reasoning --columns gold=answer --set views.include_test=true
    """
    import asyncio

    from tracemill.flows.cli.places import new_run
    from tracemill.flows.recipes import overridden
    from tracemill.schemas.recipe import ImportRecipe

    missing = [path for path in files if "://" not in path and not os.path.exists(path)]
    if missing:
        raise UsageError("no such file", where=missing[0], mend="give files that exist")
    document: dict[str, Any] = {
        "name": name or _name_of(files[0]),
        "files": files,
        "format": map_,
        "map": dict(_pair(column, "--columns") for column in columns or []),
        "problems": [_source(source) for source in problems or []],
        "model": model,
        "verifier": verifier,
    }
    recipe = overridden(ImportRecipe, document, set_ or [], where="tracemill import")
    from tracemill.flows.cli.closing import print_closing
    from tracemill.flows.cli.signals import terminate_as_interrupt
    from tracemill.flows.pipeline import import_traces
    from tracemill.tasks.reporting.panel import Panel

    panel = Panel(recipe.name)
    try:
        with terminate_as_interrupt():
            run = asyncio.run(import_traces(recipe, new_run(recipe.name, out), fresh=fresh, listener=panel))
    finally:
        panel.close()
    print_closing(run, examples)


def _pair(text: str, option: str) -> tuple[str, str]:
    left, equals, right = text.partition("=")
    if not equals or not left or not right:
        raise UsageError("not of the form a=b", where=f"{option} {text}")
    return left, right


def _source(text: str) -> dict[str, str]:
    kind, equals, path = text.partition("=")
    return {"kind": kind, "path": path} if equals else {"kind": kind}


def _name_of(path: str) -> str:
    stem = os.path.basename(path.rstrip("/")).split(".")[0]
    return re.sub(r"[^a-zA-Z0-9._-]+", "-", stem).strip("-._") or "imported"
