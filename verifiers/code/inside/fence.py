"""A child's own walls: what each candidate's process does to itself before the first line of foreign code.

What must stay true: every layer that the server announced is up, or the child ends without running anything. After
``confine`` the process has no descriptor but those it was given, no capability, no way to get one, and its limits.
"""

from __future__ import annotations

import os
import resource
from dataclasses import dataclass
from typing import Any, Final

from tracemill.verifiers.code.inside import kernel, landlock, root, seccomp

#: The spaces that each candidate is born into; the user space is the server's.
FRESH: Final = (
    kernel.CLONE_NEWPID
    | kernel.CLONE_NEWNS
    | kernel.CLONE_NEWNET
    | kernel.CLONE_NEWIPC
    | kernel.CLONE_NEWUTS
    | kernel.CLONE_NEWCGROUP
)
#: Where the descriptors of a child end up: input, output, errors, the line to the parent, a second line.
LINE: Final = 3
#: Most threads of a candidate.
THREADS: Final = 64
OPEN_FILES: Final = 64
#: Bytes of stack of the main thread: programs of contests recurse deeply.
STACK: Final = 64 << 20


@dataclass(frozen=True, slots=True)
class Layers:
    """What this host offers. ``landlock`` is the version of its interface, 0 for none."""

    namespaces: bool
    landlock: int
    seccomp: bool

    def as_json(self) -> dict[str, Any]:
        return {"namespaces": self.namespaces, "landlock": self.landlock, "seccomp": self.seccomp}


@dataclass(frozen=True, slots=True)
class Limits:
    """What one child may use: ``cpu`` and ``wall`` in seconds, sizes in bytes; ``scratch`` is all its files together."""

    cpu: float = 5.0
    wall: float = 10.0
    memory: int = 1 << 30
    file_size: int = 4 << 20
    scratch: int = 64 << 20
    scratch_files: int = 4096
    processes: int = 1


def confine(limits: Limits, layers: Layers, read: list[str], fds: list[int], scratch: str, filter_code: bytes) -> None:
    """Put the calling child, fresh from ``kernel.fork``, behind every layer. OSError where one cannot be put up."""
    if layers.namespaces:
        data = f"size={limits.scratch},nr_inodes={limits.scratch_files},mode=1777"
        kernel.mount("tmpfs", root.SCRATCH, "tmpfs", kernel.MS_NOSUID | kernel.MS_NODEV | kernel.MS_NOEXEC, data)
    kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
    os.chdir(scratch)
    _take(fds)
    _limit(limits)
    if layers.landlock:
        landlock.restrict([*read, "/dev/urandom"], [scratch, "/dev/null"], layers.landlock)
    kernel.drop_capabilities()
    kernel.die_with_parent()
    if layers.seccomp:
        seccomp.install(filter_code)


def filter_for(limits: Limits, layers: Layers) -> bytes:
    """The seccomp program for a child; without a pid name space it names the calling process as the one to signal."""
    if limits.processes > 1:
        return seccomp.program(limits.processes, None)
    return seccomp.program(1, 1 if layers.namespaces else os.getpid(), own_files=layers.namespaces)


def _take(fds: list[int]) -> None:
    """Move ``fds`` to 0, 1, 2, ... and close all others."""
    high = [os.dup2(fd, 100 + place, inheritable=False) for place, fd in enumerate(fds)]
    for place, fd in enumerate(high):
        os.dup2(fd, place, inheritable=True)
    os.closerange(len(fds), 256)


def _limit(limits: Limits) -> None:
    seconds = int(limits.cpu) + 1
    wanted = (
        (resource.RLIMIT_CPU, seconds),
        (resource.RLIMIT_AS, limits.memory),
        (resource.RLIMIT_FSIZE, limits.file_size),
        (resource.RLIMIT_NOFILE, OPEN_FILES),
        (resource.RLIMIT_NPROC, THREADS + limits.processes),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_MEMLOCK, 0),
        (resource.RLIMIT_STACK, STACK),
    )
    for kind, value in wanted:
        hard = resource.getrlimit(kind)[1]
        bound = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(kind, (bound, bound))
