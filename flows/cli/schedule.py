"""``tracemill schedule``."""

from __future__ import annotations

from typing import Annotated

import typer


def schedule(
    recipe: Annotated[str, typer.Argument(metavar="RECIPE", help="A YAML file, or the name of a shipped recipe.")],
    cron: Annotated[str, typer.Option(help='When, e.g. "0 2 * * *".')],
    timezone: Annotated[
        str | None, typer.Option(help="The time zone of the cron, e.g. Europe/Berlin.  [default: UTC]")
    ] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change a key of the recipe; repeatable.")
    ] = None,
    out: Annotated[str | None, typer.Option(help="The run's folder.  [default: as for run]")] = None,
) -> None:
    """Run a recipe again and again by a cron; each time only what is new is done. `tracemill serve` runs what is due.

    \b
    Example:
      tracemill schedule my.yaml --cron "0 2 * * *"
    """
    import os

    from tracemill.flows.cli.places import new_run
    from tracemill.flows.deployments import schedule as deploy
    from tracemill.flows.recipes import load_recipe

    loaded = load_recipe(recipe, set_ or [])
    folder = new_run(loaded.name, out)
    name = deploy(loaded, cron, folder if "://" in folder else os.path.abspath(folder), timezone)
    typer.echo(f"scheduled {name} at {cron!r}; run what is due with: tracemill serve")
