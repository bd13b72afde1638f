"""The locators that a recipe asks for under ``mining``: those that ask an engine, in the order in which they look."""

from __future__ import annotations

from tracemill.schemas.enums import Outcome
from tracemill.schemas.errors import UsageError
from tracemill.schemas.recipe import EngineSpec, ImportRecipe, Recipe, RolloutSpec, StepJudgeSpec, TemplateSpec
from tracemill.schemas.records import Problem
from tracemill.tasks.engines.base import Engine
from tracemill.tasks.engines.registry import build_engine
from tracemill.tasks.labelling import Labeller
from tracemill.tasks.sampling import candidate_of
from tracemill.tasks.steps.asking import Locator
from tracemill.tasks.steps.judging import Judging
from tracemill.tasks.steps.rolling import Rolling
from tracemill.tasks.template_library import build_template


def build_engines(recipe: Recipe | ImportRecipe, home: str) -> dict[str, Engine]:
    """Key of ``mining`` -> the engine that it asks, not started. Raises UsageError where none is named."""
    mining = recipe.mining
    asked: dict[str, RolloutSpec | StepJudgeSpec | None] = {}
    if mining is not None:
        asked = {"rollouts": mining.rollouts, "judge": mining.judge}
    return {key: build_engine(_engine_spec(spec, recipe, key), home) for key, spec in asked.items() if spec is not None}


def build_locators(recipe: Recipe | ImportRecipe, labeller: Labeller, home: str) -> list[Locator]:
    """What ``recipe`` asks for; ``labeller`` says whether a continuation is right."""
    engines, mining = build_engines(recipe, home), recipe.mining
    template = build_template(recipe.template if isinstance(recipe, Recipe) else TemplateSpec())

    async def verify(problem: Problem, name: str, response: str) -> bool | None:
        judgement = await labeller.judge(candidate_of(problem, name, response, "stop"), problem.verifier)
        return None if judgement.outcome is Outcome.ERROR else judgement.outcome is Outcome.CORRECT

    found: list[Locator] = []
    if mining is not None and mining.rollouts is not None:
        found.append(Rolling(mining.rollouts, engines["rollouts"], template, verify, mining.seed))
    if mining is not None and mining.judge is not None:
        found.append(Judging(mining.judge, engines["judge"], mining.seed))
    return found


def _engine_spec(spec: RolloutSpec | StepJudgeSpec, recipe: Recipe | ImportRecipe, key: str) -> EngineSpec:
    if spec.engine is not None:
        return spec.engine
    if isinstance(recipe, Recipe) and recipe.engine.kind != "none":
        return recipe.engine
    raise UsageError(
        "whom to ask?",
        where=f"mining.{key}.engine",
        mend="name an engine: {kind: openai, base_url: http://127.0.0.1:8000/v1, model: my-model}",
    )
