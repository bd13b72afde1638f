"""A child's own walls: what each candidate's process does to itself before the first line of foreign code.

What must stay true: every layer that the server announced is up, or the child ends without running anything. After
``put_up`` the process has no descriptor but those it was given, no capability, no way to get one, and its limits.
"""

from __future__ import annotations

import os
import resource
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from tracemill.verifiers.code.inside import kernel, landlock, root, seccomp

#: The spaces that each candidate is born into; the user space is the server's.
FRESH: Final = (
    kernel.CLONE_NEWPID | kernel.CLONE_NEWNS | kernel.CLONE_NEWIPC | kernel.CLONE_NEWUTS | kernel.CLONE_NEWCGROUP
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

    @property
    def spaces(self) -> int:
        """The name spaces to be born into. A net space of its own costs half a millisecond and more when it is taken down;
        where no socket can be made the server's, which has no interface, cannot be told from it.
        """
        if not self.namespaces:
            return 0
        return FRESH if self.seccomp else FRESH | kernel.CLONE_NEWNET

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

    def as_json(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__}


class Walls:
    """Everything that can be made ready before a child is born: in the child, each step costs copied pages.

    Made once for each set of limits.
    """

    def __init__(self, limits: Limits, layers: Layers, files: landlock.Rules | None) -> None:
        self._layers = layers
        self._limits = [(kind, (bound, bound)) for kind, bound in _bounds(limits)]
        if layers.namespaces:
            data = f"size={limits.scratch},nr_inodes={limits.scratch_files},mode=1777"
            flags = kernel.MS_NOSUID | kernel.MS_NODEV | kernel.MS_NOEXEC
            self._scratch = kernel.Mount("tmpfs", root.SCRATCH, "tmpfs", flags, data)
        self._files = files
        self._calls = _filter(limits, layers) if layers.seccomp and layers.namespaces else None
        self._processes = limits

    def put_up(self, fds: Sequence[int], scratch: str) -> None:
        """Confine the calling child, fresh from ``kernel.fork``. OSError where a wall cannot be put up."""
        layers = self._layers
        if layers.namespaces:
            self._scratch.mount()
        os.chdir(scratch)
        kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
        if self._files is not None:
            self._files.restrict(scratch)
        _take(fds)
        for kind, bounds in self._limits:
            resource.setrlimit(kind, bounds)
        kernel.drop_capabilities()
        kernel.die_with_parent()
        if layers.seccomp:  # without a pid name space the filter names this process, so it is made here
            (self._calls or _filter(self._processes, layers)).install()


def _filter(limits: Limits, layers: Layers) -> seccomp.Filter:
    if limits.processes > 1:
        return seccomp.Filter(seccomp.program(limits.processes, None))
    own = 1 if layers.namespaces else os.getpid()
    return seccomp.Filter(seccomp.program(1, own, own_files=layers.namespaces))


def _take(fds: Sequence[int]) -> None:
    """Move ``fds`` to 0, 1, 2, ... and close all others."""
    high = [os.dup2(fd, 100 + place, inheritable=False) for place, fd in enumerate(fds)]
    for place, fd in enumerate(high):
        os.dup2(fd, place, inheritable=True)
    os.closerange(len(fds), 256)


def _bounds(limits: Limits) -> list[tuple[int, int]]:
    wanted = (
        (resource.RLIMIT_CPU, int(limits.cpu) + 1),
        (resource.RLIMIT_AS, limits.memory),
        (resource.RLIMIT_FSIZE, limits.file_size),
        (resource.RLIMIT_NOFILE, OPEN_FILES),
        (resource.RLIMIT_NPROC, THREADS + limits.processes),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_MEMLOCK, 0),
        (resource.RLIMIT_STACK, STACK),
    )
    hard = {kind: resource.getrlimit(kind)[1] for kind, _ in wanted}
    return [(k, value if hard[k] == resource.RLIM_INFINITY else min(value, hard[k])) for k, value in wanted]
