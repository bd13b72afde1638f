"""Rolling out as a stage of a run: OmegaPRM's search over wrong traces, or Math-Shepherd's labels of all steps (§2.9, §2.10).

What must stay true: the problem alone is rolled out first, once, and where the completer solves it always or never its
labels say nothing and there are none; a search of T steps then takes at most floor(log2 T) + 1 estimates; the whole trace is
never rolled out, because its outcome is known.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from tracemill.schemas import ids
from tracemill.schemas.recipe import RolloutSpec
from tracemill.schemas.records import Problem
from tracemill.tasks.engines.base import Engine, Request, Sampling
from tracemill.tasks.sampling import Budget
from tracemill.tasks.steps.asking import Asking, Found, Group, Subject
from tracemill.tasks.steps.base import FirstError, Source
from tracemill.tasks.steps.labels import located, rolled
from tracemill.tasks.steps.monte_carlo import ALWAYS, NEVER, Count, first_wrong_step, values
from tracemill.tasks.steps.rollouts import Rollouts, RolloutsFailed
from tracemill.tasks.templates import Template, render

STAGE: Final = "rollouts"
FAILED: Final = "rollouts_failed"

#: Whether a response to a problem is right; None where nobody can say. The last argument is its subject's name.
Verify = Callable[[Problem, str, str], Awaitable[bool | None]]


class Rolling:
    """``template`` asks as the traces were asked; ``seed`` is the first of all draws."""

    stage = STAGE

    def __init__(self, spec: RolloutSpec, engine: Engine, template: Template, verify: Verify, seed: int) -> None:
        self.engine, self.template = engine, template
        self.source = Source.MC_SEARCH if spec.method == "omega" else Source.MC
        self.right = spec.method == "shepherd"
        self.traces, self.steps = spec.traces, spec.steps
        self.sampling = Sampling(temperature=spec.temperature, max_tokens=spec.max_tokens, seed=seed)
        self.budget = Budget(spec.budget.tokens, spec.budget.usd)
        self._k, self._verify = spec.k, verify

    async def locate(self, group: Group, asking: Asking) -> Found:
        """Labels of the group's traces, one after the other: they share what is known of the problem."""
        problem = group.problem
        prompt = render(self.template, problem)
        name = ids.digest("a", self.stage, problem.problem_id)
        prefill = prompt.prefill if prompt.route == "chat" else ""
        request = Request(
            name,
            prompt.route,
            self.sampling,
            0,
            messages=prompt.messages,
            prompt=prompt.text,
            prefix=prefill,
            template_id=self.template.template_id,
            problem=problem,
        )

        async def verify(response: str) -> bool | None:
            return await self._verify(problem, name, response)

        rollouts = Rollouts(asking, problem, request, verify, self._k, self.sampling.seed)
        found = Found()
        for subject in group.subjects:
            trace = subject.steps.trace_id
            try:
                root = await rollouts.estimate("")
                if root.correct in (0, root.k):
                    found.silent[trace] = ALWAYS if root.correct else NEVER
                else:
                    found.labels += await self._labels(subject, rollouts)
            except RolloutsFailed:
                found.silent[trace] = FAILED
        return found

    async def _labels(self, subject: Subject, rollouts: Rollouts) -> list[dict[str, object]]:
        steps, last = subject.steps, len(subject.steps.spans) - 1

        async def estimate(done: int) -> Count:
            return await rollouts.estimate(steps.text[: steps.spans[done][0]])

        if self.source is Source.MC:
            counts, _ = await values(estimate, last + 1, subject.right, self._k)
            return rolled(steps, counts)
        searched = await first_wrong_step(estimate, last)
        error = searched.error or FirstError(last, Source.MC_SEARCH)
        return located(steps, error, counts=searched.counts)
