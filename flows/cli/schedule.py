"""``tracemill schedule``."""

from __future__ import annotations

from typing import Annotated

import typer


def schedule(
    recipe: Annotated[
        str | None,
        typer.Argument(
            metavar="[RECIPE]", help="A YAML file, or the name of a shipped recipe.  [default: list schedules]"
        ),
    ] = None,
    cron: Annotated[str | None, typer.Option(help='When, e.g. "0 2 * * *".')] = None,
    timezone: Annotated[
        str | None, typer.Option(help="The time zone of the cron, e.g. Europe/Berlin.  [default: UTC]")
    ] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change a key of the recipe; repeatable.")
    ] = None,
    out: Annotated[str | None, typer.Option(help="The run's folder.  [default: as for run]")] = None,
    remove: Annotated[
        str | None, typer.Option(metavar="NAME", help="Take back the schedule of this name, or of this recipe.")
    ] = None,
) -> None:
    """Run a recipe again and again by a cron; each time only what is new is done. `tracemill serve` runs what is due.

    \b
    Examples:
      tracemill schedule my.yaml --cron "0 2 * * *"
      tracemill schedule                                list what is scheduled
      tracemill schedule --remove my                    take it back; the run stays
    """
    import os

    from tracemill.flows.cli.places import new_run
    from tracemill.flows.deployments import schedule as deploy
    from tracemill.flows.deployments import schedules, unschedule
    from tracemill.flows.recipes import load_recipe
    from tracemill.schemas.errors import UsageError

    if remove is not None:
        if recipe is not None or cron is not None:
            raise UsageError("--remove stands alone", mend=f"tracemill schedule --remove {remove}")
        typer.echo(f"removed {unschedule(remove)}; its run stays")
        return
    if recipe is None:
        if cron is not None:
            raise UsageError("no recipe to schedule", mend='tracemill schedule RECIPE --cron "0 2 * * *"')
        kept = schedules()
        for one in kept:
            typer.echo(f"{one.name}  {one.cron!r} {one.timezone or 'UTC'}  into {one.out}")
        if not kept:
            typer.echo('nothing is scheduled; tracemill schedule RECIPE --cron "0 2 * * *"', err=True)
        return
    if cron is None:
        raise UsageError("no cron: when should it run?", where="--cron", mend='e.g. --cron "0 2 * * *"')
    loaded = load_recipe(recipe, set_ or [])
    folder = new_run(loaded.name, out)
    name = deploy(loaded, cron, folder if "://" in folder else os.path.abspath(folder), timezone)
    typer.echo(f"scheduled {name} at {cron!r}; run what is due with: tracemill serve")
