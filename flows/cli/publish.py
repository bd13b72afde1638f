"""``tracemill publish``."""

from __future__ import annotations

from typing import Annotated

import typer


def publish(
    run: Annotated[str, typer.Argument(metavar="RUN", help="A run's folder or name.")],
    repo: Annotated[str, typer.Option(metavar="ORG/NAME", help="The data set repository.")],
    private: Annotated[bool, typer.Option("--private", help="Make the repository private.")] = False,
    dry_run: Annotated[
        str | None, typer.Option("--dry-run", metavar="DIR", help="Write the repository to this folder; send nothing.")
    ] = None,
) -> None:
    """Publish a run to the Hugging Face Hub: one config per view and table, with a card made from the data.

    The token comes from the environment (HF_TOKEN) or from `hf auth login`.

    \b
    Examples:
      tracemill publish data/runs/demo --repo me/demo --dry-run out
      tracemill publish data/runs/demo --repo me/demo --private
    """
    from tracemill.flows.cli.places import open_run
    from tracemill.tasks.publishing import prepare, push

    store = open_run(run)
    if dry_run is not None:
        configs = prepare(store, dry_run, repo)
        typer.echo(f"{dry_run} holds the configs {', '.join(configs)}; nothing was sent")
        return
    typer.echo(push(store, repo, private))
