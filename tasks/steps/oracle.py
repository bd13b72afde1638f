"""Exact step labels where a domain can be solved: whether the target can still be reached after each step (algorithms §B4)."""

from __future__ import annotations

import math
from collections.abc import Sequence

from tracemill.tasks.domains.base import Draw
from tracemill.tasks.domains.countdown import Countdown, State, solvable
from tracemill.tasks.search.rng import SplitMix
from tracemill.tasks.steps.monte_carlo import Count


def countdown_labels(states: Sequence[State]) -> list[bool]:
    """For the state after each step, whether its target can still be reached."""
    return [solvable(tuple(sorted(state.numbers)), state.target) for state in states]


def countdown_value(state: State, domain: Countdown) -> float:
    """The exact chance that steps drawn by the domain's policy reach the target from ``state``."""
    if len(state.numbers) == 1:
        return float(state.numbers[0] == state.target)
    return sum(math.exp(step.logprob or 0.0) * countdown_value(step.state, domain) for step in domain.steps(state))


def countdown_count(state: State, domain: Countdown, k: int, rng: SplitMix) -> Count:
    """``k`` rollouts of the domain's policy from ``state``."""
    ends = [domain.rollout(state, Draw(seed=rng.below(2**62))) for _ in range(k)]
    return Count(sum(end.reward >= 1 for end in ends), k)
