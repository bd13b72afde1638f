"""The system calls that Python has no function for. Each raises OSError with the kernel's reason."""

from __future__ import annotations

import ctypes
import os
import sys
from typing import Any, Final

from tracemill.verifiers.code.inside.syscalls import numbers

CLONE_NEWNS: Final = 0x0002_0000
CLONE_NEWCGROUP: Final = 0x0200_0000
CLONE_NEWUTS: Final = 0x0400_0000
CLONE_NEWIPC: Final = 0x0800_0000
CLONE_NEWUSER: Final = 0x1000_0000
CLONE_NEWPID: Final = 0x2000_0000
CLONE_NEWNET: Final = 0x4000_0000
SIGCHLD: Final = 17

MS_RDONLY: Final = 1
MS_NOSUID: Final = 2
MS_NODEV: Final = 4
MS_NOEXEC: Final = 8
MS_REMOUNT: Final = 32
MS_BIND: Final = 4096
MS_REC: Final = 16384
MS_PRIVATE: Final = 1 << 18
MNT_DETACH: Final = 2

PR_SET_PDEATHSIG: Final = 1
PR_SET_DUMPABLE: Final = 4
PR_SET_NO_NEW_PRIVS: Final = 38

#: ``PyDLL`` keeps the interpreter's lock through a call: after ``clone`` the child goes on as its one thread.
_C: Final = ctypes.PyDLL(None, use_errno=True)
_NUMBERS: Final = numbers()


def _checked(result: int, what: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result


def call(name: str, *arguments: Any) -> int:
    """The system call ``name``; OSError (ENOSYS) where its number is not known here."""
    if name not in _NUMBERS:
        raise OSError(38, f"{name}: not known on this architecture")
    padded = [*arguments, *(0,) * (6 - len(arguments))]
    wide = [ctypes.c_long(a) if isinstance(a, int) else a for a in padded]
    return _checked(int(_C.syscall(ctypes.c_long(_NUMBERS[name]), *wide)), name)


def fork(flags: int = 0) -> int:
    """``os.fork`` whose child is born into the new name spaces ``flags``."""
    python = ctypes.pythonapi
    python.PyOS_BeforeFork()
    try:
        child = call("clone", flags | SIGCHLD)
    except OSError:
        python.PyOS_AfterFork_Parent()
        raise
    if child == 0:
        python.PyOS_AfterFork_Child()
    else:
        python.PyOS_AfterFork_Parent()
    return child


def unshare(flags: int) -> None:
    """Leave the name spaces ``flags`` for new ones."""
    call("unshare", flags)


def mount(source: str, target: str, kind: str | None, flags: int, data: str | None = None) -> None:
    """``mount(2)``."""
    said = [None if text is None else ctypes.c_char_p(text.encode()) for text in (source, target, kind, data)]
    _checked(_C.mount(said[0], said[1], said[2], ctypes.c_ulong(flags), said[3]), f"mount {target}")


class Mount:
    """A ``mount(2)`` whose arguments are ready."""

    def __init__(self, source: str, target: str, kind: str, flags: int, data: str) -> None:
        self._target = target
        self._arguments = (source.encode(), target.encode(), kind.encode(), ctypes.c_ulong(flags), data.encode())

    def mount(self) -> None:
        _checked(_C.mount(*self._arguments), f"mount {self._target}")


def unmount(target: str, flags: int = MNT_DETACH) -> None:
    """``umount2(2)``."""
    _checked(_C.umount2(ctypes.c_char_p(target.encode()), flags), f"umount {target}")


def pivot_root(new: str, old: str) -> None:
    """Make ``new`` the root and put the old one below it at ``old``."""
    call("pivot_root", ctypes.c_char_p(new.encode()), ctypes.c_char_p(old.encode()))


def prctl(option: int, value: int = 0) -> None:
    """``prctl(2)`` with one argument."""
    _checked(_C.prctl(option, ctypes.c_ulong(value), ctypes.c_ulong(0), ctypes.c_ulong(0), ctypes.c_ulong(0)), "prctl")


def die_with_parent(signum: int = 9) -> None:
    """Have the kernel kill this process when its parent ends."""
    if sys.platform == "linux":
        prctl(PR_SET_PDEATHSIG, signum)


class _CapabilityHeader(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


def drop_capabilities() -> None:
    """Give up every capability of this process, for good (with ``PR_SET_NO_NEW_PRIVS`` nothing brings one back)."""
    header = _CapabilityHeader(0x2008_0522, 0)
    empty = (ctypes.c_uint32 * 6)()
    call("capset", ctypes.byref(header), ctypes.byref(empty))
