"""The verifiers that look at more than one candidate, or that ask a model: never run candidate by candidate in the pool."""

from __future__ import annotations

from typing import Final

OPINIONS: Final = frozenset({"consensus", "judge", "reward"})
