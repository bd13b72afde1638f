"""The user's own Lean: found on the PATH or below elan's folder, in a lake project or without one, and its ``leanchecker``.

The same server runs under ``lean --run``, so every verdict is reached in the same way. What must stay true: the version is asked of the
executable that is used. There is no sandbox around it: with the default policy no code of a submission runs, and other policies are refused.
``leanchecker`` (in toolchains since 4.28) replays a compiled module by a program of its own; it has the same kernel, so it guards against our server, not
against the kernel.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from tracemill.schemas.errors import UsageError
from tracemill.verifiers.lean.backend import SERVER, Backend

#: Seconds for asking an executable what it is; elan may download nothing meanwhile, because it is told not to.
ASK: Final = 60.0
_VERSION: Final = re.compile(r"version ([\w.+-]+)")
_MODULE: Final = "TracemillSubmission"


@dataclass(frozen=True, slots=True)
class Tools:
    """Executables of one toolchain; ``lake`` and ``checker`` may be missing."""

    lean: str
    lake: str | None
    checker: str | None


def find() -> Tools | None:
    """The toolchain on the PATH, else elan's; None where there is none."""
    path = os.pathsep.join((os.environ.get("PATH", os.defpath), str(_elan() / "bin")))
    lean = shutil.which("lean", path=path)
    if lean is None:
        return None
    return Tools(lean, shutil.which("lake", path=path), shutil.which("leanchecker", path=path))


def native(project: str | None = None) -> Backend:
    """The back end over that toolchain, inside the lake project where one is given.

    Raises UsageError where there is no Lean, no lake for a project, or where the executable does not say what it is.
    """
    tools = find()
    if tools is None:
        raise UsageError(
            "no lean on the PATH", where="verifier lean, backend native", mend="install elan, or use backend embedded"
        )
    folder: str | None = None
    prefix: tuple[str, ...] = (tools.lean,)
    if project is not None:
        folder = str(Path(project).resolve())
        if tools.lake is None:
            raise UsageError("no lake on the PATH", where="verifier lean, project", mend="install elan")
        if not any((Path(folder) / name).is_file() for name in ("lakefile.lean", "lakefile.toml")):
            raise UsageError("it has no lakefile", where=folder, mend="name the folder of a lake project")
        prefix = (tools.lake, "env", tools.lean)
    environment = _environment()
    return Backend(
        "native",
        _version((*prefix, "--version"), folder, environment),
        (*prefix, "--run", str(SERVER / "Server.lean")),
        environment,
        folder=folder,
        isolation="process",
        modules="what the toolchain and the project have",
    )


def checker(backend: Backend) -> str | None:
    """``leanchecker`` of the toolchain, None where it does not ship it."""
    tools = find()
    return tools.checker if tools is not None and backend.name == "native" else None


def second_check(backend: Backend, request: Mapping[str, Any], limit: float) -> str | None:
    """Compile the submission to a module and have ``leanchecker`` replay it; why it does not pass, None where it does.

    ``limit`` is in seconds, for both together.
    """
    program = checker(backend)
    if program is None:
        return "this toolchain has no leanchecker"
    lean = backend.command[: backend.command.index("--run")]
    imports = "".join(f"import {name}\n" for name in request["imports"])
    with TemporaryDirectory(prefix="tracemill-lean-") as folder:
        source, olean = Path(folder) / f"{_MODULE}.lean", Path(folder) / f"{_MODULE}.olean"
        header = "" if request.get("whole") else request["header"]
        source.write_text(f"{imports}{header}\n{request['source']}\n", encoding="utf-8")
        for command in ((*lean, "-o", str(olean), str(source)), (*lean[:-1], program, _MODULE)):
            why = _run(command, folder, backend, limit)
            if why is not None:
                return why
    return None


def _run(command: tuple[str, ...], folder: str, backend: Backend, limit: float) -> str | None:
    environment = dict(backend.environment)
    environment["LEAN_PATH"] = os.pathsep.join(filter(None, (folder, environment.get("LEAN_PATH"))))
    try:
        done = subprocess.run(
            command,
            cwd=backend.folder or folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=limit,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"{Path(command[0]).name} took longer than {limit:g} s"
    except OSError as error:
        return f"{command[0]} does not run: {error.strerror}"
    if done.returncode:
        said = (done.stdout + done.stderr).decode("utf-8", "replace").strip()
        return f"exit status {done.returncode}: {said[-300:]}"
    return None


def _elan() -> Path:
    return Path(os.environ.get("ELAN_HOME") or Path.home() / ".elan")


def _environment() -> dict[str, str]:
    """What elan and lake need, and nothing else of ours."""
    kept = ("PATH", "HOME", "ELAN_HOME", "ELAN_TOOLCHAIN", "LEAN_PATH", "LAKE_HOME", "LANG")
    environment = {name: os.environ[name] for name in kept if name in os.environ}
    environment["PATH"] = os.pathsep.join((environment.get("PATH", os.defpath), str(_elan() / "bin")))
    return environment


def _version(command: tuple[str, ...], folder: str | None, environment: Mapping[str, str]) -> str:
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=ASK,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UsageError(f"it does not run: {error}", where=command[0], mend="run it by hand to see why") from error
    said = done.stdout.decode("utf-8", "replace")
    found = _VERSION.search(said)
    if done.returncode or found is None:
        why = (said + done.stderr.decode("utf-8", "replace")).strip()[-300:]
        raise UsageError(f"it does not say its version: {why}", where=command[0], mend="run it by hand to see why")
    return found[1].rstrip(",")
