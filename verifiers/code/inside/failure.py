"""An exception as data: what a candidate's code raised, told without trusting it."""

from __future__ import annotations

import errno
from typing import Any, Final

TEXT: Final = 500

_bases = type.__dict__["__mro__"].__get__
_name_of = type.__dict__["__name__"].__get__


def described(error: BaseException) -> dict[str, Any]:
    """``raised``: the names of its classes, the nearest first; ``message``; ``limit``: memory or output, where it says so."""
    kind = type(error)
    try:
        message = str(error)[:TEXT]
    # The message of a foreign exception is foreign code.
    except BaseException:  # noqa: BLE001
        message = ""
    names = [_name_of(base)[:80] for base in _bases(kind)[:8]]
    limit = None
    if isinstance(error, MemoryError):
        limit = "memory"
    elif isinstance(error, OSError):
        limit = {errno.ENOMEM: "memory", errno.EFBIG: "output"}.get(error.errno or 0)
    return {"raised": names, "message": message, "limit": limit}
