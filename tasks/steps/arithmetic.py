"""The first step with an equation that does not hold, worked out exactly; nothing of the text is evaluated."""

from __future__ import annotations

from tracemill.tasks.equations import false_equations
from tracemill.tasks.steps.base import FirstError, Source, Steps


def first_false_equation(steps: Steps) -> FirstError | None:
    """The step of the first false equation of the text."""
    for place in false_equations(steps.text):
        step = steps.at(place)
        if step is not None:
            return FirstError(step, Source.ARITHMETIC)
    return None
