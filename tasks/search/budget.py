"""What a search may spend: nodes, tokens, seconds.

Nodes and tokens hold exactly: before anything is asked its most is reserved, clipping the number of steps and then their
``max_tokens``; what was not used is given back. After the seconds nothing new starts, and the tree says ``time_cut``.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

from tracemill.schemas.enums import TreeStatus


class Spent(Exception):
    """Nothing new may be asked. ``status`` says which budget is spent."""

    def __init__(self, status: TreeStatus) -> None:
        super().__init__(status.value)
        self.status = status


@dataclass(frozen=True, slots=True)
class Budgets:
    """Limits of one tree; None is no limit. The root is a node."""

    nodes: int | None = None
    tokens: int | None = None
    seconds: float | None = None

    def document(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(slots=True)
class Purse:
    """What is left of ``budgets``. ``spent`` is the budget that ended the search, once one did."""

    budgets: Budgets
    clock: Callable[[], float] = time.monotonic
    nodes: int = 0
    tokens: int = 0
    spent: TreeStatus | None = None
    _deadline: float | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        if self.budgets.seconds is not None:
            self._deadline = self.clock() + self.budgets.seconds

    def check(self) -> None:
        """Raise ``Spent`` where nothing new may start."""
        if self._deadline is not None and self.clock() >= self._deadline:
            self.spent = TreeStatus.TIME_CUT
        elif self.budgets.nodes is not None and self.nodes >= self.budgets.nodes:
            self.spent = TreeStatus.NODE_BUDGET
        elif self.budgets.tokens is not None and self.tokens >= self.budgets.tokens:
            self.spent = TreeStatus.TOKEN_BUDGET
        if self.spent is not None:
            raise Spent(self.spent)

    @property
    def nodes_left(self) -> int | None:
        return None if self.budgets.nodes is None else self.budgets.nodes - self.nodes

    def reserve(self, count: int | None, each: int | None, *, nodes: bool = True) -> tuple[int | None, int | None, int]:
        """How many of ``count`` may be asked, at how many tokens each at most, and the tokens set aside for them.

        ``each`` is the most that one may cost, None where they are free. ``nodes`` tells whether each makes a node.
        """
        if nodes and count is not None and self.budgets.nodes is not None:
            count = min(count, self.budgets.nodes - self.nodes)
            if count <= 0:
                return 0, each, 0
            self.nodes += count
        if each is None or count is None or self.budgets.tokens is None:
            return count, each, 0
        left = self.budgets.tokens - self.tokens
        fits = min(count, left)
        if nodes and self.budgets.nodes is not None:
            self.nodes -= count - max(fits, 0)
        if fits <= 0:
            return 0, each, 0
        each = min(each, left // fits)
        self.tokens += fits * each
        return fits, each, fits * each

    def settle(self, reserved: int, used: int) -> None:
        """Give back what was set aside and charge what was used."""
        self.tokens += used - reserved
