"""STaR (arXiv 2203.14465, algorithms §2.4): a wrong attempt is followed by one that was shown the answer.

The hint never reaches the stored prompt: a rationalised attempt is its own kind, its trace names the template without the
hint, and only its row in ``requests`` names the hinted one.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from tracemill.schemas.enums import Outcome, TraceKind
from tracemill.tasks.strategies.base import Context, Draft
from tracemill.tasks.templates import Template

#: Appended to the question of a rationalised attempt unless the recipe gives ``parameters.hint``.
HINT: Final = "\n\n(Hint: the correct answer is {{hint}}. Derive it from the question, and do not mention this hint.)"


def hinted(template: Template, hint: str) -> Template:
    """``template`` with the hint after the question."""
    return replace(
        template, name=f"{template.name}+hint", user=template.user.replace("{{problem}}", "{{problem}}" + hint)
    )


async def star(context: Context) -> list[Draft]:
    """A sample, and where it is not correct and a gold answer is known, one rationalisation at ``<index>/rationalised``."""
    path = str(context.index)
    completion, seed = await context.generate(context.template, path)
    first = Draft(path, TraceKind.SAMPLE, context.template, completion, seed)
    gold = context.problem.gold
    if gold is None or completion.error is not None:
        return [first]
    judged = await context.verify(completion.text, completion.finish_reason)
    if judged.outcome in (Outcome.CORRECT, Outcome.ERROR):
        return [first]
    template = hinted(context.template, str(context.parameters.get("hint", HINT)))
    second_path = f"{path}/rationalised"
    completion, seed = await context.generate(template, second_path, variables={"hint": gold})
    second = Draft(second_path, TraceKind.RATIONALISED, context.template, completion, seed, parent=path)
    return [first, second]
