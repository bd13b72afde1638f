"""The verifiers that look at more than one candidate, or that ask a model: never run candidate by candidate in the pool."""

from __future__ import annotations

from typing import Final

from tracemill.verifiers import consensus
from tracemill.verifiers.registry import ASKING

OPINIONS: Final = ASKING | {consensus.NAME}
