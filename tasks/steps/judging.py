"""A model as a locator, as a stage of a run: asked for the first wrong step of wrong traces, by one judgement or several.

What must stay true: what it says is ``judge``, never verified; a trace whose judgements do not agree, or that it takes for
right, has no label; its words are kept as critiques, beside whether the verdict agrees.
"""

from __future__ import annotations

from typing import Any, Final

from tracemill.schemas import ids
from tracemill.schemas.enums import Outcome
from tracemill.schemas.recipe import StepJudgeSpec
from tracemill.schemas.records import Problem
from tracemill.tasks.engines.base import Engine, Request, Sampling
from tracemill.tasks.sampling import Budget
from tracemill.tasks.search.drive import gather_all
from tracemill.tasks.steps.asking import Asking, Found, Group, Subject
from tracemill.tasks.steps.base import Source
from tracemill.tasks.steps.judge import Judged, by_votes, judge
from tracemill.tasks.steps.labels import located
from tracemill.tasks.templates import Template, question, render

STAGE: Final = "step_judge"
UNDECIDED: Final = "undecided"
NO_ERROR: Final = "no_error_named"


class Judging:
    """One judge of steps; ``seed`` is the first of all draws."""

    stage = STAGE
    source = Source.JUDGE
    right = False

    def __init__(self, spec: StepJudgeSpec, engine: Engine, seed: int) -> None:
        self.engine = engine
        self.template = Template("step_judge", user="{{request}}")
        self.traces, self.steps = spec.traces, spec.steps
        self.sampling = Sampling(temperature=spec.temperature, max_tokens=spec.max_tokens, seed=seed)
        self.budget = Budget(spec.budget.tokens, spec.budget.usd)
        self._votes, self._agreeing = spec.votes, spec.agreeing

    async def locate(self, group: Group, asking: Asking) -> Found:
        found = Found()
        for subject in group.subjects:
            judged = await gather_all(
                [self._judged(group.problem, subject, draw, asking) for draw in range(self._votes)]
            )
            said = by_votes(judged, self._agreeing)
            trace = subject.steps.trace_id
            if said is None:
                found.silent[trace] = UNDECIDED
            elif said.error is None:
                found.silent[trace] = NO_ERROR
            else:
                found.labels += located(subject.steps, said.error)
            found.critiques += [_critique(trace, draw, one) for draw, one in enumerate(judged) if one.text]
        return found

    async def _judged(self, problem: Problem, subject: Subject, draw: int, asking: Asking) -> Judged:
        async def ask(said: str) -> str | None:
            prompt = render(self.template, Problem(said, STAGE, STAGE), {"request": said})
            request = Request(
                ids.digest("a", STAGE, subject.steps.trace_id),
                prompt.route,
                self.sampling,
                ids.derive_seed(self.sampling.seed, ids.digest("prompt", said), draw),
                draw,
                messages=prompt.messages,
                template_id=self.template.template_id,
            )
            completion = await asking.complete(request, {"request": said})
            return completion.text if completion.error is None else None

        return await judge(ask, question(problem), subject.steps.texts)


def _critique(trace: str, draw: int, judged: Judged) -> dict[str, Any]:
    """The judge's words on a wrong trace: ``incorrect`` where they name a step, ``correct`` where they name none."""
    said = None if not judged.decided else Outcome.CORRECT if judged.error is None else Outcome.INCORRECT
    return {
        "critique_id": ids.digest("q", STAGE, trace, draw, judged.text),
        "subject_id": trace,
        "text": judged.text,
        "verdict": None if said is None else said.value,
        "label": Outcome.INCORRECT.value,
        "agrees": None if said is None else said is Outcome.INCORRECT,
    }
