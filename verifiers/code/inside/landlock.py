"""Landlock: which files a candidate may read and where it may write, whatever the mounts say.

What must stay true: only what the rules name is open; no TCP port and, where the kernel can, no signal and no
abstract socket beyond the candidate's own domain. Rights follow the kernel's version of the interface ("ABI").
"""

from __future__ import annotations

import os
import struct
from collections.abc import Sequence
from typing import Final

from tracemill.verifiers.code.inside import kernel

_WRITE_FILE, _READ_FILE, _READ_DIR = 1 << 1, 1 << 2, 1 << 3
#: Removing, making directories, regular files, symbolic links; not devices, sockets or pipes.
_CHANGE: Final = 1 << 4 | 1 << 5 | 1 << 7 | 1 << 8 | 1 << 12
_REFER, _TRUNCATE = 1 << 13, 1 << 14
#: How many file rights each ABI knows.
_FILE_RIGHTS: Final = {1: 13, 2: 14, 3: 15, 4: 15}


def version() -> int:
    """The kernel's ABI; 0 where there is no Landlock."""
    try:
        return kernel.call("landlock_create_ruleset", 0, 0, 1)
    except OSError:
        return 0


class Rules:
    """Rules made ready: the folders ``read`` and the files ``write`` are open here, whatever is their name later."""

    def __init__(self, read: Sequence[str], write: Sequence[str], abi: int) -> None:
        self._handled = (1 << _FILE_RIGHTS.get(abi, 16)) - 1
        self._attributes = struct.pack("=QQQ", self._handled, 3 if abi >= 4 else 0, 3 if abi >= 6 else 0)
        self._size = 8 if abi < 4 else 16 if abi < 6 else 24
        self._rules = [_rule(path, (_READ_FILE | _READ_DIR) & self._handled) for path in read]
        self._rules += [_rule(path, (_READ_FILE | _WRITE_FILE | _TRUNCATE) & self._handled) for path in write]

    def restrict(self, scratch: str) -> None:
        """Close every file to this process but those of the rules and, for writing too, those below ``scratch``."""
        rules = kernel.call("landlock_create_ruleset", self._attributes, self._size, 0)
        rights = _READ_FILE | _READ_DIR | _WRITE_FILE | _CHANGE | _REFER | _TRUNCATE
        for rule in (*self._rules, _rule(scratch, rights & self._handled)):
            kernel.call("landlock_add_rule", rules, 1, rule, 0)
        kernel.call("landlock_restrict_self", rules, 0)


def _rule(path: str, rights: int) -> bytes:
    opened = os.open(path, os.O_PATH | os.O_CLOEXEC)
    if not os.path.isdir(path):
        rights &= _READ_FILE | _WRITE_FILE | _TRUNCATE
    return struct.pack("=Qi", rights, opened)
