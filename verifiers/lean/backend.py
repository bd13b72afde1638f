"""The back ends: how a Lean process is started, which Lean it is, and what keeps it apart from the host."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tracemill.verifiers.lean.install import Installed

SERVER: Final = Path(__file__).resolve().parent / "server"
#: V8's stack in KB; deep recursion of the elaborator needs it, and the process's own stack limit must be above.
STACK_KB: Final = 200_000
#: Resident bytes of one embedded Lean process after its first checks.
EMBEDDED_BYTES: Final = 1 << 30


@dataclass(frozen=True, slots=True)
class Backend:
    """A Lean that speaks the server's protocol on its standard input and output.

    ``memory`` is how many resident bytes the process may have before it is ended; ``recycle`` those above which it is replaced
    between candidates. ``modules`` says which libraries it has, for messages.
    """

    name: str
    version: str
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    folder: str | None = None
    isolation: str = "process"
    memory: int = 8 << 30
    recycle: int = 6 << 30
    modules: str = "Init, Std"

    @property
    def label(self) -> str:
        """As the column ``backend`` of verdicts has it."""
        return f"lean-{self.name} {self.version}"


def embedded(toolchain: Installed) -> Backend:
    """Lean under WebAssembly. It sees two folders of the host, read-only: the toolchain and our server's source.

    Memory is the module's own (2 GB at most); Node's permission model allows no writing, no network, no processes and no addons.
    """
    root = str(toolchain.folder)
    command = (
        str(toolchain.node),
        "--permission",
        f"--allow-fs-read={root}",
        f"--allow-fs-read={SERVER}",
        "--allow-worker",
        "--disable-warning=PERM0006",
        f"--stack-size={STACK_KB}",
        str(toolchain.script),
        "--run",
        "/server/Server.lean",
    )
    return Backend(
        "embedded",
        toolchain.version,
        command,
        {"TRACEMILL_LEAN_ROOT": root, "TRACEMILL_LEAN_SERVER": str(SERVER)},
        folder="/",
        isolation="wasm, node permissions",
        memory=2_400_000_000,
        recycle=1_600_000_000,
    )


def launcher(command: tuple[str, ...], *, die_with_parent: bool) -> list[str]:
    """The command behind a small program that sets its limits; forking with Python code in between is unsafe with threads."""
    return [sys.executable, "-I", "-S", str(SERVER.parent / "launch.py"), str(int(die_with_parent)), *command]


def plain_environment(given: Mapping[str, str]) -> dict[str, str]:
    """Nothing of ours but what the back end needs."""
    return {"PATH": os.defpath, "LANG": "C.UTF-8", **given}
