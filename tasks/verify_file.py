"""``tracemill verify``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any


def verify_file(
    path: str,
    verifier: str,
    out: str | None = None,
    *,
    options: Mapping[str, Any] | None = None,
    time_limit: float | None = None,
    workers: int | None = None,
    progress: Callable[[int], None] | None = None,
) -> dict[str, int]:
    raise NotImplementedError
