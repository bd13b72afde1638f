"""What is tried again, when, and when the whole engine is given up.

What must stay true: only overload, server faults, lost connections, time-outs and answers that cannot be read are tried
again; everything else is the prompt's own failure and is final. A fault of the engine never becomes an error row on every
prompt: the breaker turns it into one ``EngineError``, and the run resumes later.
"""

from __future__ import annotations

import random
from collections.abc import Hashable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import Enum
from typing import Final

LONGEST_PAUSE: Final = 300.0  # seconds; a longer Retry-After is cut to this


class Kind(Enum):
    """What went wrong with one try."""

    OVERLOAD = "overload"  # 429, 503: retried, and the concurrency goes down
    SERVER = "server"  # other 5xx
    CONNECTION = "connection"  # refused, lost, reset, no such host
    TIMEOUT = "timeout"
    GARBAGE = "garbage"  # an answer that is not one
    REJECTED = "rejected"  # this prompt or its parameters; final
    REFUSED = "refused"  # us: the key, the model, the address; final for the whole engine

    @property
    def retried(self) -> bool:
        return self not in (Kind.REJECTED, Kind.REFUSED)

    @property
    def overload(self) -> bool:
        return self in (Kind.OVERLOAD, Kind.TIMEOUT)


@dataclass(slots=True, eq=False)
class Fault(Exception):
    """One failed try: ``message`` is for people, clean and without secrets; ``pause`` is what the server asked for, in seconds."""

    kind: Kind
    message: str
    pause: float = 0.0


def kind_of_status(status: int) -> Kind:
    """The kind of an HTTP status that is not a success."""
    if status in (429, 503):
        return Kind.OVERLOAD
    if status == 408:
        return Kind.TIMEOUT
    if status >= 500:
        return Kind.SERVER
    if status in (401, 402, 403, 404, 405) or 300 <= status < 400:
        return Kind.REFUSED
    return Kind.REJECTED


def delay(attempt: int, pause: float, uniform: float, *, base: float = 0.5, cap: float = 30.0) -> float:
    """Seconds before try ``attempt`` + 1 (0-based): full jitter over an exponential, after ``pause``.

    ``uniform`` is a draw from [0, 1). Source: Brooker, "Exponential backoff and jitter", 2015.
    """
    return pause + uniform * min(cap, base * 2.0 ** min(attempt, 30))


def jitter() -> float:
    return random.random()


def pause_of(retry_after: str | None, now: datetime | None = None) -> float:
    """Seconds that a ``Retry-After`` header asks for, as a number or a date; 0 where it says nothing usable."""
    if not retry_after:
        return 0.0
    try:
        seconds = float(retry_after)
    except ValueError:
        try:
            when = parsedate_to_datetime(retry_after)
        except ValueError:
            return 0.0
        if when.tzinfo is None:
            when = when.replace(tzinfo=UTC)
        seconds = (when - (now or datetime.now(UTC))).total_seconds()
    return min(LONGEST_PAUSE, seconds) if seconds > 0 else 0.0  # not (NaN > 0)


@dataclass(slots=True)
class Breaker:
    """Trips when ``limit`` different prompts in a row exhausted their retries and nothing succeeded between them.

    An engine that has never answered well trips at once where it cannot be reached, refuses, or answers garbage; one that
    has may lose a prompt that brings the server down or that it refuses.
    """

    limit: int = 3
    answered: bool = False
    _failed: set[Hashable] = field(default_factory=set)

    def succeeded(self) -> None:
        self.answered = True
        if self._failed:
            self._failed.clear()

    def failed(self, kind: Kind, prompt: Hashable) -> bool:
        """Count a prompt that is given up; True where the engine is to be given up instead."""
        if kind is Kind.REJECTED:
            return False  # an engine that explains itself is alive, and may answer the next prompt
        self._failed.add(prompt)
        if not self.answered and kind in (Kind.CONNECTION, Kind.GARBAGE, Kind.REFUSED):
            return True
        return len(self._failed) >= self.limit
