"""The seccomp filter: which system calls a candidate may make.

What must stay true: what is not allowed is refused with an error number, never waved through; another architecture's
calls kill. No socket can be opened, no file run, no process made (threads can) unless ``processes`` says so, and no
signal sent to another process.
"""

from __future__ import annotations

import ctypes
import errno
import struct
from typing import Final

from tracemill.verifiers.code.inside import kernel
from tracemill.verifiers.code.inside.syscalls import ALLOWED, audit_architecture, numbers

_LOAD, _EQUAL, _GREATER_EQUAL, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_KILL, _ALLOW = 0x8000_0000, 0x7FFF_0000
_NUMBER, _ARCHITECTURE, _ARGUMENT, _ARGUMENT_1 = 0, 4, 16, 24

CLONE_THREAD: Final = 0x0001_0000
_NEW_SPACES: Final = 0x7E02_0000 | 0x80
_AF_UNIX: Final = 1
_PR_NAMES: Final = (15, 16, 0x5356_4D41)
#: TCGETS, FIONREAD, FIONBIO, FIONCLEX, FIOCLEX, TIOCGWINSZ.
_IOCTLS: Final = (0x5401, 0x541B, 0x5421, 0x5450, 0x5451, 0x5413)
_BY_PATH: Final = ("chmod", "fchmod", "fchmodat", "truncate", "utime", "utimes", "utimensat", "futimesat")
_REFUSED: Final = (
    "fork",
    "vfork",
    "execve",
    "execveat",
    "socket",
    "connect",
    "bind",
    "unshare",
    "setns",
    "mount",
    "ptrace",
)


def _op(code: int, value: int, yes: int = 0, no: int = 0) -> bytes:
    return struct.pack("=HBBI", code, yes, no, value)


def _error(number: int) -> bytes:
    return _op(_RETURN, 0x0005_0000 | number)


def _one_of(number: int, argument: int, values: tuple[int, ...], otherwise: int) -> bytes:
    """Allow the call ``number`` when its argument is one of ``values``."""
    body = _op(_LOAD, argument)
    for value in values:
        body += _op(_EQUAL, value & 0xFFFF_FFFF, 0, 1) + _op(_RETURN, _ALLOW)
    body += _error(otherwise)
    return _op(_EQUAL, number, 0, len(body) // 8) + body


def program(processes: int = 1, own_pid: int | None = 1, own_files: bool = True) -> bytes:
    """The filter. ``own_pid`` is the one process that may be signalled; None allows any (a pid name space has no other).

    Without ``own_files``, a root that holds nothing of the host's, files may not be changed by path alone: Landlock
    does not watch modes and times.
    """
    known = numbers()
    allowed = [name for name in ALLOWED if own_files or name not in _BY_PATH]
    allowed += ["setsid", "setpgid"] if processes > 1 else []
    parts = [
        _op(_LOAD, _ARCHITECTURE),
        _op(_EQUAL, audit_architecture(), 1, 0),
        _op(_RETURN, _KILL),
        _op(_LOAD, _NUMBER),
        _op(_GREATER_EQUAL, 0x4000_0000, 0, 1),
        _error(errno.ENOSYS),
    ]
    parts += [_op(_EQUAL, known[name], 0, 1) + _op(_RETURN, _ALLOW) for name in allowed if name in known]
    clone = _op(_LOAD, _ARGUMENT)
    if processes > 1:
        clone += _op(_ANY_BIT, _NEW_SPACES, 0, 1) + _error(errno.EPERM) + _op(_RETURN, _ALLOW)
    else:
        clone += _op(_ANY_BIT, CLONE_THREAD, 0, 1) + _op(_RETURN, _ALLOW) + _error(errno.EPERM)
    parts.append(_op(_EQUAL, known["clone"], 0, len(clone) // 8) + clone)
    for name in ("kill", "tgkill"):
        if own_pid is None:
            parts.append(_op(_EQUAL, known[name], 0, 1) + _op(_RETURN, _ALLOW))
        else:
            parts.append(_one_of(known[name], _ARGUMENT, (own_pid,), errno.EPERM))
    parts.append(_one_of(known["prctl"], _ARGUMENT, _PR_NAMES, errno.EPERM))
    parts.append(_one_of(known["ioctl"], _ARGUMENT_1, _IOCTLS, errno.ENOTTY))
    parts.append(_one_of(known["socketpair"], _ARGUMENT, (_AF_UNIX,), errno.EPERM))
    refused = [name for name in _REFUSED if name in known and not (processes > 1 and name in ("fork", "vfork"))]
    parts += [_op(_EQUAL, known[name], 0, 1) + _error(errno.EPERM) for name in refused]
    if processes > 1:
        parts += [_op(_EQUAL, known[n], 0, 1) + _op(_RETURN, _ALLOW) for n in ("fork", "vfork") if n in known]
    parts.append(_error(errno.ENOSYS))
    return b"".join(parts)


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))


class Filter:
    """A filter ready to be put up."""

    def __init__(self, code: bytes) -> None:
        self._code = ctypes.create_string_buffer(code, len(code))
        self._program = _Program(len(code) // 8, ctypes.addressof(self._code))

    def install(self) -> None:
        """Put this process, and all that come from it, under the filter for good."""
        kernel.call("seccomp", 1, 0, ctypes.byref(self._program))
