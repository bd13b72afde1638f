"""How many requests are in flight: first come, first served, with a limit that follows what the server can take.

What must stay true: never more in flight than the limit, except right after a decrease, when nothing new starts until
enough has ended; waiting and waking cost O(1) each however many wait; a cancelled waiter neither takes nor loses a slot.
The limit follows additive increase and multiplicative decrease (Chiu and Jain 1989): one slot more after every sixteen
successes, one decrease per window of overload, so that a burst of refusals to one window counts once.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final

DECREASE: Final = 0.7
SUCCESSES_PER_SLOT: Final = 16


class Limiter:
    """Slots for at most ``cap`` requests. Starts wide open; ``limit`` stays in [1, cap].

    Use as ``ticket = await limiter.acquire()``, then ``succeeded(ticket)`` or ``overloaded(ticket, pause)`` if either holds,
    then ``release()`` in every case. A ticket tells before or after which decrease the request was sent.
    """

    def __init__(self, cap: int) -> None:
        if cap < 1:
            raise ValueError("cap must be at least 1")
        self.cap = cap
        self.in_flight = 0
        self._limit = float(cap)
        self._successes = 0
        self._epoch = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._paused_until = 0.0
        self._alarm: asyncio.TimerHandle | None = None

    @property
    def limit(self) -> int:
        return int(self._limit)

    async def acquire(self, *, first: bool = False) -> int:
        """Wait for a slot; ``first`` goes before all others (a retry, which has waited already). Returns the ticket."""
        if not self._waiting and self._free():
            self.in_flight += 1
            return self._epoch
        slot: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if first:
            self._waiting.appendleft(slot)
        else:
            self._waiting.append(slot)
        self._wake()
        try:
            await slot
        except asyncio.CancelledError:
            if slot.done() and not slot.cancelled():
                self.release()  # the slot was handed over in the same turn as the cancellation
            raise
        return self._epoch

    def release(self) -> None:
        self.in_flight -= 1
        self._wake()

    def succeeded(self, ticket: int) -> None:
        """Count a success; those sent before the last decrease say nothing of the limit since."""
        if ticket != self._epoch or self._limit >= self.cap:
            return
        self._successes += 1
        if self._successes >= SUCCESSES_PER_SLOT:
            self._successes = 0
            self._limit = min(float(self.cap), self._limit + 1.0)
            self._wake()

    def overloaded(self, ticket: int, pause: float = 0.0) -> None:
        """The server refused or timed out. ``pause`` is the seconds it asked for, in which nothing new starts."""
        if pause > 0:
            self._paused_until = max(self._paused_until, asyncio.get_running_loop().time() + pause)
        if ticket == self._epoch:
            self._epoch += 1
            self._successes = 0
            self._limit = max(1.0, self._limit * DECREASE)

    def _free(self) -> bool:
        if self.in_flight >= int(self._limit):
            return False
        return self._paused_until == 0.0 or self._resumed()

    def _resumed(self) -> bool:
        loop = asyncio.get_running_loop()
        if loop.time() >= self._paused_until:
            self._paused_until = 0.0
            return True
        if self._alarm is None:
            self._alarm = loop.call_at(self._paused_until, self._ring)
        return False

    def _ring(self) -> None:
        self._alarm = None
        self._wake()

    def _wake(self) -> None:
        while self._waiting:
            if self._waiting[0].done():  # cancelled while it waited
                self._waiting.popleft()
            elif self._free():
                self._waiting.popleft().set_result(None)
                self.in_flight += 1
            else:
                return
