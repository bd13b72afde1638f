"""Landlock: which files a candidate may read and where it may write, whatever the mounts say.

What must stay true: only what ``read`` and ``write`` name is open; no TCP port and, where the kernel can, no signal and no
abstract socket beyond the candidate's own domain. Rights follow the kernel's version of the interface ("ABI").
"""

from __future__ import annotations

import ctypes
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


def restrict(read: Sequence[str], write: Sequence[str], abi: int) -> None:
    """Close every file to this process but those below ``read`` and, for writing too, below ``write``."""
    handled = (1 << _FILE_RIGHTS.get(abi, 16)) - 1
    attributes = struct.pack("=QQQ", handled, 3 if abi >= 4 else 0, 3 if abi >= 6 else 0)
    size = 8 if abi < 4 else 16 if abi < 6 else 24
    rules = kernel.call("landlock_create_ruleset", ctypes.c_char_p(attributes), size, 0)
    try:
        for path in read:
            _allow(rules, path, (_READ_FILE | _READ_DIR) & handled)
        for path in write:
            rights = _READ_FILE | _READ_DIR | _WRITE_FILE | _CHANGE | _REFER | _TRUNCATE
            _allow(rules, path, rights & handled)
        kernel.call("landlock_restrict_self", rules, 0)
    finally:
        os.close(rules)


def _allow(rules: int, path: str, rights: int) -> None:
    opened = os.open(path, getattr(os, "O_PATH", 0) | os.O_CLOEXEC)
    try:
        if not os.path.isdir(path):
            rights &= _READ_FILE | _WRITE_FILE | _TRUNCATE
        said = ctypes.c_char_p(struct.pack("=Qi", rights, opened))
        kernel.call("landlock_add_rule", rules, 1, said, 0)
    finally:
        os.close(opened)
