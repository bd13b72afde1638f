"""The file system that candidates see: the standard library, two devices, and an empty scratch folder.

What must stay true: nothing else of the host is below the new root, it is read-only, and the old root is gone before the
first candidate. Paths keep their names, so that the interpreter finds its library where it was.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Final

from tracemill.verifiers.code.inside import kernel

SCRATCH: Final = "/tmp"
DEVICES: Final = ("/dev/null", "/dev/urandom")
#: A user and group who own nothing.
NOBODY: Final = 65534
_OLD: Final = "/.old"
#: What ``statvfs`` says of a mount that a new name space may not take away: nosuid, nodev, noexec.
_LOCKED: Final = kernel.MS_NOSUID | kernel.MS_NODEV | kernel.MS_NOEXEC


def enter(folders: Sequence[str]) -> None:
    """Move this process where only ``folders`` and ``DEVICES`` exist, as nobody who may make name spaces.

    Raises OSError where the host does not allow it; the process is then of no more use.
    """
    user, group = os.geteuid(), os.getegid()
    proc = os.open("/proc", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        privileged = user == 0 and _may_mount()
        if not privileged:
            kernel.unshare(kernel.CLONE_NEWUSER | kernel.CLONE_NEWNS)
            _map(proc, user, group)
        _build(folders)
        if privileged:
            os.setgroups([])
            os.setresgid(NOBODY, NOBODY, NOBODY)
            os.setresuid(NOBODY, NOBODY, NOBODY)
            # Both were lost with the change of user.
            kernel.prctl(kernel.PR_SET_DUMPABLE, 1)
            kernel.die_with_parent()
            kernel.unshare(kernel.CLONE_NEWUSER)
            _map(proc, NOBODY, NOBODY)
    finally:
        os.close(proc)


def _may_mount() -> bool:
    try:
        kernel.unshare(kernel.CLONE_NEWNS)
    except PermissionError:
        return False
    return True


def _map(proc: int, user: int, group: int) -> None:
    """Be NOBODY inside the new user name space, ``user`` and ``group`` outside."""
    for name, text in (("setgroups", "deny"), ("uid_map", f"{NOBODY} {user} 1"), ("gid_map", f"{NOBODY} {group} 1")):
        file = os.open(f"self/{name}", os.O_WRONLY | os.O_CLOEXEC, dir_fd=proc)
        try:
            os.write(file, text.encode())
        finally:
            os.close(file)


def _build(folders: Sequence[str]) -> None:
    kernel.mount("none", "/", None, kernel.MS_REC | kernel.MS_PRIVATE)
    kernel.mount("tmpfs", SCRATCH, "tmpfs", kernel.MS_NOSUID | kernel.MS_NODEV, "mode=755,size=1m")
    os.mkdir(SCRATCH + _OLD)
    kernel.pivot_root(SCRATCH, SCRATCH + _OLD)
    os.chdir("/")
    for folder in folders:
        os.makedirs(folder, exist_ok=True)
        _bind(folder, kernel.MS_RDONLY | kernel.MS_NOSUID | kernel.MS_NODEV)
    os.makedirs("/dev", exist_ok=True)
    for device in DEVICES:
        os.close(os.open(device, os.O_CREAT | os.O_WRONLY, 0o644))
        _bind(device, kernel.MS_NOSUID | kernel.MS_NOEXEC)
    os.makedirs(SCRATCH, exist_ok=True)
    kernel.unmount(_OLD)
    os.rmdir(_OLD)
    kernel.mount(
        "none", "/", None, kernel.MS_REMOUNT | kernel.MS_BIND | kernel.MS_RDONLY | kernel.MS_NOSUID | kernel.MS_NODEV
    )


def _bind(path: str, flags: int) -> None:
    kernel.mount(_OLD + path, path, None, kernel.MS_BIND | kernel.MS_REC)
    locked = os.statvfs(path).f_flag & _LOCKED
    if path in DEVICES:
        locked &= ~kernel.MS_NODEV
    kernel.mount("none", path, None, kernel.MS_REMOUNT | kernel.MS_BIND | flags | locked)
