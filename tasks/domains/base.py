"""What a domain is: states, steps between them, and what a state is worth.

Every method but ``initial``, ``key``, ``show`` and ``read`` may answer at once or with an awaitable: a symbolic domain
pays for no event loop, and one that asks an engine changes nothing in the searches. What must stay true: the same state,
``k`` and ``Draw`` give the same answer; ``read(show(state)) == state``.
"""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeAlias, TypeVar

from tracemill.schemas.records import Problem

S = TypeVar("S")
T = TypeVar("T")

#: The answer itself, or an awaitable of it.
Answer: TypeAlias = T | Awaitable[T]


@dataclass(frozen=True, slots=True)
class Step(Generic[S]):
    """One step from a state: what is done, where it leads, its log-probability under the policy, and its price in tokens."""

    action: str
    state: S
    logprob: float | None = None
    tokens: int = 0


@dataclass(frozen=True, slots=True)
class Draw:
    """What a domain draws with.

    ``first`` counts the steps already drawn from this state, so that each draw of a state is another one; ``max_tokens``
    is the limit of each step, where a budget clips it; ``greedy`` asks for the likeliest step instead of a drawn one.
    """

    seed: int
    first: int = 0
    max_tokens: int | None = None
    greedy: bool = False


@dataclass(frozen=True, slots=True)
class Rollout:
    """One playout to an end: its reward in [0, 1], NaN where nothing is known of it, and its price in tokens. ``text`` is what it
    said, where it said anything.
    """

    reward: float
    tokens: int = 0
    text: str = ""


class Domain(Protocol[S]):
    """``step_tokens`` and ``rollout_tokens`` are the most that one step and one rollout may cost; None where they are free."""

    @property
    def name(self) -> str: ...

    @property
    def step_tokens(self) -> int | None: ...

    @property
    def rollout_tokens(self) -> int | None: ...

    def initial(self, problem: Problem) -> S:
        """The root's state. Raises ``DataError`` for a problem that is not of this domain."""
        ...

    def expand(self, state: S, k: int | None, draw: Draw) -> Answer[Sequence[Step[S]]]:
        """At most ``k`` steps from ``state``, drawn from the policy; None asks for every legal one, in a fixed order."""
        ...

    def terminal(self, state: S) -> Answer[float | None]:
        """The verified reward of a state where the search ends, in [0, 1] with 1 for a goal; None for any other state."""
        ...

    def value(self, state: S, draw: Draw) -> Answer[float]:
        """The domain's own estimate of ``state``; higher is better."""
        ...

    def rollout(self, state: S, draw: Draw) -> Answer[Rollout]:
        """One playout from ``state`` to an end."""
        ...

    def key(self, state: S) -> str | None:
        """Equal for states that are the same position however they were reached; None where the domain has no such notion."""
        ...

    def show(self, state: S) -> str: ...

    def read(self, text: str) -> S: ...
