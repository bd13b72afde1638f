"""Countdown and the Game of 24: combine two numbers at a time until one is left; the goal is the target.

Exact and symbolic. Countdown (arXiv 2404.03683; algorithms §2.19) keeps to whole numbers: sums, products, the larger minus
the smaller, and exact quotients of the larger by the smaller. With ``rational`` (the Game of 24) every quotient is allowed.
All numbers are used. A state is the target and the numbers left, the newest last.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import Any, Final, Literal, TypeAlias

from tracemill.schemas.errors import DataError
from tracemill.schemas.records import Problem
from tracemill.tasks.domains.base import Draw, Rollout, Step
from tracemill.tasks.search.rng import SplitMix

Number: TypeAlias = int | Fraction
Numbers: TypeAlias = tuple[Number, ...]
ValueName = Literal["oracle", "sum", "mult", "none"]

_OPERAND: Final = r"\d+|\(\d+/\d+\)"
_ACTION: Final = re.compile(rf"(?P<a>{_OPERAND})(?P<sign>[-+*/])(?P<b>{_OPERAND})=(?P<c>{_OPERAND})")

#: Numbers of a problem at most: exhaustive search grows as their factorial squared.
MOST_NUMBERS: Final = 6


@dataclass(frozen=True, slots=True)
class State:
    target: Number
    numbers: Numbers


@dataclass(frozen=True, slots=True)
class Countdown:
    """``value`` says what a state is worth: ``oracle`` 1 where the target can still be reached, else 0; ``sum`` and ``mult``
    1 - h/target for the heuristics h of Stream of Search (so 0 is its pruning threshold h = target); ``none`` 0.

    Steps are drawn without replacement, uniformly or with probability proportional to exp(-h/temperature) by ``policy``.
    """

    rational: bool = False
    value_name: ValueName = "sum"
    policy: Literal["uniform", "sum", "mult"] = "uniform"
    temperature: float = 20.0
    step_tokens: None = None
    rollout_tokens: None = None

    @property
    def name(self) -> str:
        return "game24" if self.rational else "countdown"

    def initial(self, problem: Problem) -> State:
        numbers, target = problem.spec.get("numbers"), problem.spec.get("target")
        if (
            not isinstance(numbers, Sequence)
            or not 1 <= len(numbers) <= MOST_NUMBERS
            or not all(isinstance(n, int) and not isinstance(n, bool) and n >= 0 for n in numbers)
            or not isinstance(target, int)
            or isinstance(target, bool)
            or target < 1
        ):
            raise DataError(
                f"not a countdown problem: numbers {numbers!r}, target {target!r}",
                where=f"problem {problem.problem_id}",
                mend=f"give 1 to {MOST_NUMBERS} whole numbers and a target above 0 in its spec",
            )
        return State(target, tuple(numbers))

    def expand(self, state: State, k: int | None, draw: Draw) -> Sequence[Step[State]]:
        steps = self.steps(state)
        if k is None:
            return steps
        if draw.greedy:
            return sorted(steps, key=lambda step: -self.value(step.state, draw))[:k]
        return self._drawn(steps, k, SplitMix(draw.seed))

    def terminal(self, state: State) -> float | None:
        return float(state.numbers[0] == state.target) if len(state.numbers) == 1 else None

    def value(self, state: State, draw: Draw | None = None) -> float:
        if self.value_name == "oracle":
            return float(solvable(tuple(sorted(state.numbers)), state.target, self.rational))
        if self.value_name == "none":
            return 0.0
        return 1.0 - heuristic(self.value_name, state) / float(state.target)

    def rollout(self, state: State, draw: Draw) -> Rollout:
        rng = SplitMix(draw.seed)
        while len(state.numbers) > 1:
            state = self._drawn(self.steps(state), 1, rng)[0].state
        return Rollout(float(state.numbers[0] == state.target))

    def key(self, state: State) -> str:
        return f"{state.target}:{sorted(state.numbers)}"

    def show(self, state: State) -> str:
        return f"{shown(state.target)}:[{', '.join(map(shown, state.numbers))}]"

    def read(self, text: str) -> State:
        target, _, numbers = text.partition(":")
        return State(_number(target), tuple(_number(part) for part in numbers[1:-1].split(", ")))

    def steps(self, state: State) -> list[Step[State]]:
        """Every legal step: pairs by position, and for each the sum, product, difference and quotients."""
        numbers = state.numbers
        found: list[tuple[str, State]] = []
        for i in range(len(numbers)):
            for j in range(i + 1, len(numbers)):
                rest = numbers[:i] + numbers[i + 1 : j] + numbers[j + 1 :]
                for action, result in combined(numbers[i], numbers[j], self.rational):
                    found.append((action, State(state.target, (*rest, result))))
        if not found:
            return []
        if self.policy == "uniform":
            each = -math.log(len(found))
            return [Step(action, after, each) for action, after in found]
        weights = [-heuristic(self.policy, after) / self.temperature for _, after in found]
        total = max(weights) + math.log(math.fsum(math.exp(w - max(weights)) for w in weights))
        return [Step(action, after, w - total) for (action, after), w in zip(found, weights, strict=True)]

    def _drawn(self, steps: list[Step[State]], k: int, rng: SplitMix) -> list[Step[State]]:
        if self.policy == "uniform":
            return rng.sample(steps, k)
        # Gumbel top-k is sampling without replacement from the softmax.
        keyed = [((s.logprob or 0.0) - math.log(-math.log(rng.uniform() or 5e-324)), s) for s in steps]
        return [step for _, step in sorted(keyed, key=lambda item: -item[0])[:k]]


def combined(a: Number, b: Number, rational: bool) -> list[tuple[str, Number]]:
    """The legal combinations of two numbers, each as its equation and its result."""
    found: list[tuple[str, Number]] = [
        (f"{shown(a)}+{shown(b)}={shown(a + b)}", a + b),
        (f"{shown(a)}*{shown(b)}={shown(a * b)}", a * b),
    ]
    large, small = (b, a) if a <= b else (a, b)
    found.append((f"{shown(large)}-{shown(small)}={shown(large - small)}", large - small))
    if rational:
        pairs = [(large, small)] if large == small else [(large, small), (small, large)]
        for over, under in pairs:
            if under:
                quotient = _plain(Fraction(over) / Fraction(under))
                found.append((f"{shown(over)}/{shown(under)}={shown(quotient)}", quotient))
    elif small and large % small == 0:
        found.append((f"{shown(large)}/{shown(small)}={shown(large // small)}", large // small))
    return [(action, _plain(result)) for action, result in found]


def shown(number: Number) -> str:
    return str(number) if isinstance(number, int) else f"({number.numerator}/{number.denominator})"


def heuristic(name: str, state: State) -> float:
    """How far the numbers seem from the target: ``sum`` the mean distance to it, ``mult`` the sum of each number's distance
    to the nearest factor of the target that is 2 or more. 0 is best. Source: algorithms §2.19.
    """
    target = state.target
    if name == "sum":
        return sum(_gap(n, target) for n in state.numbers) / len(state.numbers)
    factors = _factors(int(target))
    return sum(min(_gap(n, f) for f in factors) for n in state.numbers)


@lru_cache(maxsize=1 << 20)
def solvable(numbers: Numbers, target: Number, rational: bool = False) -> bool:
    """Whether the target can be reached from ``numbers`` (sorted): exhaustive search, each set of numbers looked at once."""
    if len(numbers) == 1:
        return numbers[0] == target
    for i in range(len(numbers)):
        for j in range(i + 1, len(numbers)):
            rest = numbers[:i] + numbers[i + 1 : j] + numbers[j + 1 :]
            for result in _results(numbers[i], numbers[j], rational):
                if solvable(tuple(sorted((*rest, result))), target, rational):
                    return True
    return False


def solution(numbers: Sequence[Number], target: Number, rational: bool = False) -> tuple[str, ...] | None:
    """The first solution in the order of ``steps``, as equations; None where there is none."""
    if not solvable(tuple(sorted(numbers)), target, rational):
        return None
    domain, state, actions = Countdown(rational=rational), State(target, tuple(numbers)), []
    while len(state.numbers) > 1:
        step = next(s for s in domain.steps(state) if solvable(tuple(sorted(s.state.numbers)), target, rational))
        actions.append(step.action)
        state = step.state
    return tuple(actions)


def _gap(a: Any, b: Any) -> float:
    return float(abs(a - b))


@lru_cache(maxsize=4096)
def _factors(target: int) -> tuple[int, ...]:
    return tuple(f for f in range(2, target + 1) if target % f == 0) or (target,)


def _results(a: Number, b: Number, rational: bool) -> list[Number]:
    large, small = (b, a) if a <= b else (a, b)
    found: list[Number] = [a + b, a * b, large - small]
    if rational:
        found += [Fraction(x) / Fraction(y) for x, y in ((large, small), (small, large)) if y]
    elif small and large % small == 0:
        found.append(large // small)
    return found


def _plain(number: Number) -> Number:
    return int(number) if number.denominator == 1 else number


def _number(text: str) -> Number:
    return _plain(Fraction(text.strip("()")))


def expression(numbers: Sequence[Number], actions: Sequence[str]) -> str:
    """The steps of a solution as one expression over ``numbers``: ``83-40=43``, ``43*2=86`` to ``((83-40)*2)``.

    Raises ValueError for steps that are none of a solution.
    """
    left = [(number, shown(number)) for number in numbers]
    for action in actions:
        said = _ACTION.fullmatch(action)
        if said is None:
            raise ValueError(f"not a step: {action!r}")
        parts = []
        for operand in (_number(said["a"]), _number(said["b"])):
            at = next((i for i, (value, _) in enumerate(left) if value == operand), None)
            if at is None:
                raise ValueError(f"{operand} is not there for {action!r}")
            parts.append(left.pop(at)[1])
        left.append((_number(said["c"]), f"({parts[0]}{said['sign']}{parts[1]})"))
    if len(left) != 1:
        raise ValueError("numbers are left over")
    return left[0][1].removeprefix("(").removesuffix(")") if actions else left[0][1]
