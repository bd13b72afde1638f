"""``tracemill run``."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from tracemill.schemas.recipe import Recipe
    from tracemill.tasks.store import RunStore


def run(
    recipe: Annotated[str, typer.Argument(metavar="RECIPE", help="A YAML file, or the name of a shipped recipe.")],
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change a key of the recipe; repeatable.")
    ] = None,
    limit: Annotated[int | None, typer.Option(help="At most so many problems.")] = None,
    out: Annotated[
        str | None, typer.Option(help="The run's folder.  [default: $TRACEMILL_RUNS or ./data/runs, / NAME]")
    ] = None,
    reuse: Annotated[str | None, typer.Option(metavar="DIR", help="Pay for nothing that this run paid for.")] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Move what is in the folder aside and start anew.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the first prompt, counts and estimates; ask nothing.")
    ] = False,
    examples: Annotated[int, typer.Option(min=0, help="Print so many example traces at the end.")] = 0,
) -> None:
    """Sample, verify and curate: from a recipe to a run folder.

    Giving the same command again resumes the run, or extends it where only counts, limits and such were changed.

    \b
    Examples:
      tracemill run demo
      tracemill run demo --set strategy.n=8 --set sampling.temperature=0.7 --limit 20
      tracemill run my.yaml --dry-run
      tracemill run my.yaml --out runs/hotter --reuse runs/first --set sampling.temperature=1.0
    """
    from tracemill.flows.recipes import load_recipe

    overrides = [*(set_ or []), *([f"limit={limit}"] if limit is not None else [])]
    loaded = load_recipe(recipe, overrides)
    from tracemill.flows.cli.places import new_run

    folder = new_run(loaded.name, out)
    if dry_run:
        _dry_run(loaded, folder)
        return
    finished = _synthesize(loaded, folder, fresh, reuse)
    from tracemill.flows.cli.closing import print_closing

    print_closing(finished, examples)


def _dry_run(recipe: Recipe, folder: str) -> None:
    import asyncio

    from tracemill.flows.pipeline import dry_run
    from tracemill.tasks.reporting.grid import visible

    plan = asyncio.run(dry_run(recipe, folder))
    typer.echo("The first prompt:\n")
    typer.echo("\n".join(f"  | {line}" for line in visible(plan.prompt, lines=True).split("\n")))
    typer.echo(
        f"\nproblems                     {plan.problems:,}"
        f"\nattempts                     {plan.attempts:,}, of which owed {plan.owed:,}"
        f"\nprompt tokens, about         {plan.prompt_tokens:,}"
        f"\ncompletion tokens, at most   {plan.max_completion_tokens:,}"
        f"\nidentity                     {plan.identity_hash}"
        f"\nfolder                       {folder}"
        "\n\nNothing was asked and nothing was written."
    )


def _synthesize(recipe: Recipe, folder: str, fresh: bool, reuse: str | None) -> RunStore:
    import asyncio

    from tracemill.flows.cli.signals import terminate_as_interrupt
    from tracemill.tasks.reporting.panel import Panel

    panel = Panel(recipe.name, plain=True if os.environ.get("TERM") == "dumb" else None)
    try:
        with terminate_as_interrupt():
            if recipe.orchestrator == "none":
                from tracemill.flows.pipeline import synthesize

                return asyncio.run(synthesize(recipe, folder, fresh=fresh, reuse=reuse, listener=panel))
            from tracemill.flows.synthesize import run_recipe

            return run_recipe(recipe, folder, fresh=fresh, reuse=reuse, listener=panel)
    finally:
        panel.close()
