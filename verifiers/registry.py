"""A name, or module:function, to a Verifier."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tracemill.verifiers.base import Verifier


def build_verifier(
    name_or_path: str, options: Mapping[str, Any] | None = None, time_limit: float | None = None
) -> Verifier:
    raise NotImplementedError
