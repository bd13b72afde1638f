"""The ``tracemill`` command and what becomes of its errors.

What must stay true: an error that the user can act on is shown as what, where and mend, without a traceback, and exits
with its own code; anything else exits with 70 and leaves the traceback in a file; Ctrl-C exits with 130 and loses nothing.
Commands import what they need when they run, so that ``--help`` is quick.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Final

import typer

import tracemill
from tracemill.flows.cli import (
    doctor,
    gc,
    imports,
    lean,
    publish,
    report,
    run,
    runs,
    schedule,
    serve,
    show,
    sql,
    verify,
)
from tracemill.schemas.errors import TracemillError

INTERRUPTED: Final = 130
INTERNAL: Final = 70
BROKEN_PIPE: Final = 141

#: Settings of libraries that would otherwise write on the terminal. The user's own environment variables win.
QUIET: Final = {
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "HF_DATASETS_DISABLE_PROGRESS_BARS": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "TOKENIZERS_PARALLELISM": "false",
}

app = typer.Typer(
    name="tracemill",
    help="Verified reasoning traces: from problems to Parquet.\n\n"
    "\b\nStart here:\n"
    "  tracemill run demo                    sample, verify and curate on this machine\n"
    "  tracemill sql 'FROM pass_rate'        ask the run anything\n"
    "  tracemill doctor                      what works here",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
app.command("run")(run.run)
app.command("import", short_help="Take traces that exist already; verify and curate them.")(imports.import_)
app.command("runs")(runs.runs)
app.command("sql")(sql.sql)
app.command("show")(show.show)
app.command("verify")(verify.verify)
app.command("report", short_help="Write a run's report, as Markdown and HTML.")(report.report)
app.command("publish", short_help="Publish a run to the Hugging Face Hub.")(publish.publish)
app.command("schedule", short_help="Run a recipe by a cron; only what is new is done.")(schedule.schedule)
app.command("serve", short_help="Start a Prefect server and run what is due.")(serve.serve)
app.command("doctor", short_help="Say what works here.")(doctor.doctor)
app.add_typer(lean.app, name="lean")
app.command("gc", short_help="List what can be freed, and free it.")(gc.gc)


@dataclass(slots=True)
class Settings:
    """What the options before the command say."""

    debug: bool = False


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"tracemill {tracemill.__version__}")
        raise typer.Exit


@app.callback()
def options(
    context: typer.Context,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks and warnings.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    context.find_object(Settings).debug = debug  # type: ignore[union-attr]
    if not debug:
        _hush()


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command and exit with its code."""
    sys.exit(call(list(sys.argv[1:] if arguments is None else arguments)))


def call(arguments: list[str]) -> int:
    """Run the command; the exit code, every failure told on stderr."""
    settings = Settings()
    try:
        code = typer.main.get_command(app).main(arguments, prog_name="tracemill", standalone_mode=False, obj=settings)
        sys.stdout.flush()
    except TracemillError as error:
        return _told(f"error: {error}", error.exit_code, settings.debug)
    except typer.exceptions.TyperException as error:
        show = getattr(error, "show", None)
        if show is not None:
            show(file=sys.stderr)
        return int(getattr(error, "exit_code", 2))
    except (KeyboardInterrupt, typer.Abort):
        return _interrupted(arguments)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    except Exception as error:  # noqa: BLE001 (the rim: whatever it is, it is told and kept)
        return _crashed(error, settings.debug)
    if code == INTERRUPTED:  # typer's own way to say that Ctrl-C was pressed
        return _interrupted(arguments)
    return code if isinstance(code, int) else 0


def _interrupted(arguments: list[str]) -> int:
    resumable = any(argument in ("run", "import") for argument in arguments[:2])
    return _told("interrupted" + ("; run the same command to resume" if resumable else ""), INTERRUPTED, False)


def _told(text: str, code: int, debug: bool) -> int:
    if debug:
        traceback.print_exc()
    print(text, file=sys.stderr)
    return code


def _crashed(error: Exception, debug: bool) -> int:
    text = "".join(traceback.format_exception(error))
    if debug:
        print(text, file=sys.stderr)
    first = str(error).splitlines()[0][:300] if str(error) else ""
    print(f"internal error: {type(error).__name__}: {first}", file=sys.stderr)
    path = _keep(text)
    if path is not None:
        print(f"  the traceback is in {path}; please report it", file=sys.stderr)
    return INTERNAL


def _keep(text: str) -> str | None:
    import tempfile
    import time

    from tracemill.flows.cli.places import runs_folder

    name = f"crash-{time.strftime('%Y%m%dT%H%M%S')}-{os.getpid()}.log"
    for folder in (runs_folder(), tempfile.gettempdir()):
        if os.path.isdir(folder):
            try:
                with open(os.path.join(folder, name), "x", encoding="utf-8", errors="replace") as file:
                    file.write(text)
            except OSError:
                continue
            return os.path.join(folder, name)
    return None


def _hush() -> None:
    import logging
    import warnings

    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    warnings.simplefilter("ignore")
    logging.getLogger().addHandler(logging.NullHandler())
