"""``tracemill doctor``."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from collections.abc import Iterator
from typing import Annotated

import typer


def doctor(
    canaries: Annotated[
        bool, typer.Option("--canaries", help="Run each verifier on candidates that must pass, and that must not.")
    ] = False,
) -> None:
    """Say what works here: Python, cores, memory, engines, Prefect, the Hub.

    With --canaries, whether the verifiers can be trusted here: exits with 1 where one accepts a known-bad candidate or
    refuses a known-good one. A run does the same for the verifiers that it uses, and stops where one fails.

    \b
    Examples:
      tracemill doctor
      tracemill doctor --canaries
    """
    if canaries:
        raise typer.Exit(0 if _canaries() else 1)
    rows = list(checks())
    width = max(len(name) for name, _, _ in rows)
    for name, good, detail in rows:
        mark = {True: "yes", False: "no", None: "-"}[good]
        typer.echo(f"{name.ljust(width)}  {mark:<4}{detail}")


def _canaries() -> bool:
    """Print a line for each verifier with canaries; whether all that are there passed."""
    from tracemill.tasks.canaries import prove_all

    good = True
    for name, report, why in prove_all():
        if report is None:
            typer.echo(f"{name.ljust(10)} -    not here: {why}")
            continue
        good = good and report.passed
        typer.echo(
            f"{name.ljust(10)} {'yes' if report.passed else 'NO':<4} version {report.version}: "
            f"{len(report.false_accepts)} false accepts of {report.bad} known-bad, "
            f"{len(report.lost)} lost of {report.good} known-good"
        )
        for accepted in report.false_accepts:
            typer.echo(f"{'':<16}accepts: {accepted}")
        for lost in report.lost:
            typer.echo(f"{'':<16}refuses: {lost}")
    return good


def checks() -> Iterator[tuple[str, bool | None, str]]:
    """(what, whether it works or None where that is no question, detail). Asks nobody, and starts only the sandbox."""
    from tracemill.flows.cli.places import run_names, runs_folder

    yield "python", sys.version_info >= (3, 11), sys.version.split()[0]
    yield "cores", None, str(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count())
    yield "memory", None, _memory()
    yield "runs folder", None, f"{runs_folder()} ({len(run_names())} runs, {_free(runs_folder())} free)"
    yield "engine local", *_module("xllamacpp", "pip install 'tracemill[local]'")
    yield "engine vllm", *_vllm()
    key = "set" if os.environ.get("OPENAI_API_KEY") else "not set"
    yield "engine openai", True, f"needs engine.base_url; OPENAI_API_KEY is {key}"
    yield "engine replay", True, "in process"
    yield "engine simulated", True, "in process"
    yield (
        "gpu",
        shutil.which("nvidia-smi") is not None,
        "nvidia-smi on the PATH" if shutil.which("nvidia-smi") else "only vLLM needs one",
    )
    yield "prefect", *_module("prefect", "pip install prefect")
    yield "verifier answer", *_module("math_verify", "pip install math-verify")
    yield "verifier puzzle", *_module("reasoning_gym", "pip install reasoning-gym")
    from tracemill.flows.cli.lean import rows as lean_rows

    yield from lean_rows()
    yield "verifier pool", True, "worker processes, one a core unless the recipe sets verifier_workers"
    yield "sandbox", *_sandbox()
    yield "hub token", _hub_token(), "needed by publish alone"


def _sandbox() -> tuple[bool, str]:
    """Which walls stand around the programs of the verifier ``code``, found by putting them up."""
    from tracemill.schemas.errors import TracemillError
    from tracemill.verifiers.code.layers import described
    from tracemill.verifiers.code.verifier import walls

    try:
        return True, described(walls())
    except TracemillError as error:
        return False, f"{error.what}; {error.mend}"


def _module(name: str, mend: str) -> tuple[bool, str]:
    if importlib.util.find_spec(name) is None:
        return False, mend
    from importlib import metadata

    try:
        return True, f"{name} {metadata.version(name.replace('_', '-'))}"
    except metadata.PackageNotFoundError:
        return True, name


def _vllm() -> tuple[bool, str]:
    if importlib.util.find_spec("vllm") is not None:
        return _module("vllm", "")
    found = shutil.which("vllm")
    return found is not None, found or "set engine.executable to the python or vllm of its own environment"


def _memory() -> str:
    try:
        return f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.1f} GiB"
    except (ValueError, OSError):
        return "unknown"


def _free(folder: str) -> str:
    while folder and not os.path.isdir(folder):
        folder = os.path.dirname(folder)
    return f"{shutil.disk_usage(folder or '.').free / 2**30:.1f} GiB"


def _hub_token() -> bool:
    """Whether there is a token, never which."""
    home = os.environ.get("HF_HOME") or os.path.join(os.path.expanduser("~"), ".cache", "huggingface")
    path = os.environ.get("HF_TOKEN_PATH") or os.path.join(home, "token")
    return bool(os.environ.get("HF_TOKEN")) or os.path.isfile(path)
