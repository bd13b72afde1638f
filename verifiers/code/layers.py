"""Which walls stand on this host, what each is for, and what is given up where one is missing.

What must stay true: a protection without any layer is a refusal, unless the options name it; then the verdicts say so.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from tracemill.schemas.errors import TracemillError
from tracemill.verifiers.code.inside.fence import Layers

#: Protection -> what holds it up, and what is given up without.
GIVEN_UP: Final[Mapping[str, tuple[str, str]]] = {
    "processes": (
        "a pid name space or seccomp",
        "a program can start processes that outlive it and send signals to yours",
    ),
    "network": ("a network name space or seccomp", "a program can reach the network and the services of this host"),
    "files": (
        "a mount name space or Landlock",
        "a program can read your files and change those that you may write",
    ),
}


def missing(layers: Layers) -> tuple[str, ...]:
    """The protections that no layer gives."""
    held = {
        "processes": layers.namespaces or layers.seccomp,
        "network": layers.namespaces or layers.seccomp,
        "files": layers.namespaces or layers.landlock > 0,
    }
    return tuple(name for name, good in held.items() if not good)


def require(layers: Layers, without: tuple[str, ...]) -> None:
    """Refuse a host that lacks a protection which ``without`` does not name. Raises TracemillError."""
    lacking = [name for name in missing(layers) if name not in without]
    if lacking:
        needs = "; ".join(f"{name} needs {GIVEN_UP[name][0]}: without it {GIVEN_UP[name][1]}" for name in lacking)
        raise TracemillError(
            f"programs cannot be walled in here: {needs}",
            where="verifier code",
            mend="run where the kernel offers it (in a container: allow unprivileged user name spaces, or Landlock and seccomp),"
            f" or accept that with the option without: [{', '.join(lacking)}]",
        )


def described(layers: Layers, without: tuple[str, ...] = ()) -> str:
    """As kept with each verdict: the layers that were up, and what was missing."""
    up = ["user+pid+mount+net+ipc+uts+cgroup namespaces"] if layers.namespaces else []
    up += [f"landlock {layers.landlock}"] if layers.landlock else []
    up += ["seccomp"] if layers.seccomp else []
    lacking = missing(layers)
    return ", ".join([*up, "rlimits", *(f"no protection of {name}" for name in lacking)])
