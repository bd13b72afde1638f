"""``tracemill verify``."""

from __future__ import annotations

from typing import Annotated, Any

import typer


def verify(
    file: Annotated[str, typer.Argument(metavar="FILE", help="One JSON object a line; - is standard input.")],
    verifier: Annotated[str, typer.Option(help="answer, puzzle ..., or module:function.")],
    out: Annotated[
        str | None, typer.Option(help="Write the verdicts to this Parquet file.  [default: JSON lines on stdout]")
    ] = None,
    option: Annotated[
        list[str] | None, typer.Option("--option", metavar="KEY=VALUE", help="An option of the verifier; repeatable.")
    ] = None,
    time_limit: Annotated[float | None, typer.Option(help="Seconds per candidate.")] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Worker processes.  [default: one per core]")] = None,
) -> None:
    """Check any candidates; no run needed.

    Each line has `id`, `response`, and the verifier's inputs: for answer `gold`, and optionally `question`, `choices`,
    `options`. Exits with 0 whatever the verdicts are.

    \b
    Examples:
      tracemill verify outputs.jsonl --verifier answer --out verdicts.parquet
      echo '{"id": "a", "response": "The answer is \\\\boxed{2}", "gold": "2"}' | tracemill verify - --verifier answer
    """
    import yaml

    from tracemill.schemas.errors import UsageError
    from tracemill.tasks.verify_file import verify_file

    options: dict[str, Any] = {}
    for text in option or []:
        key, equals, value = text.partition("=")
        if not equals:
            raise UsageError("not key=value", where=f"--option {text}")
        try:
            options[key] = yaml.safe_load(value)
        except yaml.YAMLError:
            raise UsageError("the value is not YAML", where=f"--option {key}") from None
    counts = verify_file(file, verifier, out, options=options or None, time_limit=time_limit, workers=workers)
    width = max((len(outcome) for outcome in counts), default=0)
    for outcome, count in counts.items():
        typer.echo(f"{outcome.ljust(width)}  {count:,}", err=True)
