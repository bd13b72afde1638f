"""Where a response says its answer: extraction, apart from comparison."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Extracted:
    """``answer`` as written, or None and why. ``how`` is box, marker, line, choice, last_number or none."""

    answer: str | None
    reason: str
    how: str = "none"


def extract(
    response: str, finish_reason: str = "stop", last_number: bool = False, choices: Sequence[str] | None = None
) -> Extracted:
    raise NotImplementedError
