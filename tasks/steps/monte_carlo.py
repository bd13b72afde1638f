"""What a step is worth, by rolling out from it: Math-Shepherd's labels and OmegaPRM's search for the first error.

MC(s) is the share of k fresh continuations of the prefix s that end right. Math-Shepherd (arXiv 2312.08935) estimates every
prefix; OmegaPRM (arXiv 2406.06592) finds the first prefix without a right continuation by binary search, in at most
floor(log2 T) + 1 estimates of T steps. What must stay true: a whole right or wrong trace is worth its own outcome exactly and is never
rolled out; where the completer solves the problem always or never, its labels say nothing, and there are none.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

from tracemill.tasks.steps.base import FirstError, Source

NEVER = "completer_never_right"
ALWAYS = "completer_always_right"


@dataclass(frozen=True, slots=True)
class Count:
    """``correct`` of ``k`` continuations ended right."""

    correct: int
    k: int

    @property
    def value(self) -> float:
        return self.correct / self.k

    @property
    def hard(self) -> bool:
        return self.correct > 0


#: Rolls out from the prefix of so many steps (0 is the problem alone).
Estimate = Callable[[int], Awaitable[Count]]


@dataclass(frozen=True, slots=True)
class Searched:
    """``error`` is None where every proper prefix has a right continuation: then only the last step can be wrong.

    ``counts`` are the estimates by number of steps. ``violations`` counts pairs of them that contradict the assumption
    of the search, that a prefix without a right continuation has none further on either.
    """

    error: FirstError | None
    counts: Mapping[int, Count] = field(default_factory=dict)

    @property
    def violations(self) -> int:
        ordered = [self.counts[m].hard for m in sorted(self.counts)]
        return sum(later and not earlier for i, earlier in enumerate(ordered) for later in ordered[i + 1 :])


async def first_wrong_step(estimate: Estimate, steps: int) -> Searched:
    """The first wrong step of a wrong trace of ``steps`` steps, at most floor(log2 steps) + 1 estimates."""
    counts: dict[int, Count] = {}
    low, high = 1, steps
    while low <= high:
        middle = (low + high) // 2
        counts[middle] = await estimate(middle)
        if counts[middle].hard:
            low = middle + 1
        else:
            high = middle - 1
    return Searched(FirstError(low - 1, Source.MC_SEARCH) if low <= steps else None, counts)


async def values(estimate: Estimate, steps: int, right: bool, k: int) -> tuple[list[Count], str | None]:
    """A count for every step of a trace whose outcome is ``right``; or none, and why the completer's labels say nothing."""
    root = await estimate(0)
    if root.correct in (0, root.k):
        return [], ALWAYS if root.correct else NEVER
    found = [await estimate(done) for done in range(1, steps)]
    return [*found, Count(k if right else 0, k)], None


def agree(counts: Sequence[Count], judged: FirstError | None) -> bool:
    """Whether a judge's first error is that of the hard labels (consensus filtering, arXiv 2501.07301)."""
    first = next((step for step, count in enumerate(counts) if not count.hard), None)
    return first == (None if judged is None else judged.step)
