"""The first step with an equation that does not hold, worked out exactly; nothing of the text is evaluated."""

from __future__ import annotations

from collections.abc import Iterable

from tracemill.tasks.equations import false_equations
from tracemill.tasks.steps.base import FirstError, Source, Steps
from tracemill.tasks.steps.chains import false_chain


def first_false_equation(steps: Steps) -> FirstError | None:
    """The step of the first false equation of the text, or of the first chain of equalities with unequal sides."""
    return step_holding(steps, false_places(steps.text))


def false_places(text: str) -> list[int]:
    """Places of what does not hold in ``text``: its false equations, and the first of its false chains; in order."""
    chain = false_chain(text)
    return sorted([*false_equations(text), *([chain] if chain is not None else [])])


def step_holding(steps: Steps, places: Iterable[int]) -> FirstError | None:
    """The step of the first of ``places``, those of the false equations of its text."""
    found = (step for step in map(steps.at, places) if step is not None)
    step = next(found, None)
    return None if step is None else FirstError(step, Source.ARITHMETIC)
