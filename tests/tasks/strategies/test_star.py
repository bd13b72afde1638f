"""STaR: rationalise what was wrong, and keep the hint out of the stored prompt (algorithms §2.4)."""

from __future__ import annotations

from collections.abc import Mapping

from tracemill.schemas.enums import Outcome, TraceKind
from tracemill.schemas.records import Problem
from tracemill.tasks.engines.base import Completion, Sampling
from tracemill.tasks.strategies.base import Context, Draft
from tracemill.tasks.strategies.samples import samples
from tracemill.tasks.strategies.star import star
from tracemill.tasks.templates import Template, render
from tracemill.verifiers.base import Judgement

GOLD = "424242"
PROBLEM = Problem("What is the number?", "answer", "test", gold=GOLD)


class Model:
    """Says what it is told to, and remembers the prompts."""

    def __init__(self, *texts: str) -> None:
        self.texts = list(texts)
        self.prompts: list[str] = []

    async def generate(
        self,
        template: Template,
        path: str,
        *,
        variables: Mapping[str, str] | None = None,
        draw: int = 0,
        sampling: Sampling | None = None,
    ) -> tuple[Completion, int]:
        self.prompts.append(str(render(template, PROBLEM, variables).messages))
        return Completion(self.texts.pop(0), "stop"), len(self.prompts)


async def equals_gold(response: str, finish_reason: str) -> Judgement:
    return Judgement(Outcome.CORRECT if response == GOLD else Outcome.INCORRECT, "compared")


async def run(strategy: object, model: Model, problem: Problem = PROBLEM) -> list[Draft]:
    context = Context(problem, 3, Template("t"), Sampling(), model.generate, equals_gold)
    return await strategy(context)  # type: ignore[operator, no-any-return]


async def test_a_correct_sample_is_not_rationalised() -> None:
    model = Model(GOLD)
    assert [draft.kind for draft in await run(star, model)] == [TraceKind.SAMPLE]


async def test_a_wrong_sample_is_followed_by_a_rationalised_one_of_its_own_kind() -> None:
    drafts = await run(star, Model("7", GOLD))
    assert [(d.kind, d.path, d.parent) for d in drafts] == [
        (TraceKind.SAMPLE, "3", None),
        (TraceKind.RATIONALISED, "3/rationalised", "3"),
    ]


async def test_the_hint_is_asked_but_never_in_the_stored_prompt() -> None:
    model = Model("7", GOLD)
    drafts = await run(star, model)
    assert GOLD in model.prompts[1]
    assert all(GOLD not in str(render(draft.template, PROBLEM)) for draft in drafts)


async def test_without_a_gold_answer_there_is_no_hint_to_give() -> None:
    drafts = await run(star, Model("7"), Problem("What?", "answer", "test"))
    assert len(drafts) == 1


async def test_a_sample_is_one_request_at_its_index() -> None:
    model = Model("7")
    drafts = await run(samples, model)
    assert [(d.path, d.kind) for d in drafts] == [("3", TraceKind.SAMPLE)]
