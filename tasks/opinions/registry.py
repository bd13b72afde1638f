"""Which opinions there are, which a recipe asks for, and how they are given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from tracemill.schemas.errors import UsageError
from tracemill.schemas.recipe import EngineSpec, ImportRecipe, Recipe, VerifierSpec
from tracemill.schemas.records import Problem
from tracemill.tasks.engines.registry import build_engine
from tracemill.tasks.opinions import asking
from tracemill.tasks.opinions.asking import Opinion
from tracemill.tasks.opinions.consensus import vote
from tracemill.tasks.opinions.judge import Judge
from tracemill.tasks.opinions.names import OPINIONS
from tracemill.tasks.opinions.reward import Reward
from tracemill.tasks.reporting.listener import Listener
from tracemill.tasks.store import RunStore
from tracemill.verifiers import consensus, judge
from tracemill.verifiers.base import Verifier
from tracemill.verifiers.consensus import consensus as build_consensus


def asked_for(recipe: Recipe | ImportRecipe, problems: Sequence[Problem]) -> list[VerifierSpec]:
    """The opinions of ``recipe``, in order: those that it or a problem names, and the vote of ``self_consistency``."""
    specs = {spec.kind: spec for spec in recipe.verifiers if spec.kind in OPINIONS}
    for name in sorted({p.verifier for p in problems} & OPINIONS):
        specs.setdefault(name, VerifierSpec(kind=name))
    if isinstance(recipe, Recipe) and recipe.strategy.kind == "self_consistency":
        specs.setdefault(consensus.NAME, VerifierSpec(kind=consensus.NAME, options={"all": True}))
    return list(specs.values())


def build_all(recipe: Recipe | ImportRecipe, problems: Sequence[Problem], home: str) -> dict[str, Opinion | Verifier]:
    """The opinions that ``recipe`` asks for, by name. ``home`` is for what a server of ours keeps."""
    return {spec.kind: build_opinion(spec, home) for spec in asked_for(recipe, problems)}


def build_opinion(spec: VerifierSpec, home: str) -> Opinion | Verifier:
    """The opinion of ``spec``: a ``Verifier`` for the vote, which asks nobody. Its engine is not started.

    Raises UsageError for an option that is not there, and where the model to ask is not named.
    """
    options = dict(spec.options)
    if spec.kind == consensus.NAME:
        return build_consensus(options)
    given = options.pop("engine", None)
    if not isinstance(given, Mapping):
        raise UsageError(
            "whom to ask?",
            where=f"verifiers.{spec.kind}.options.engine",
            mend="name an engine: {kind: openai, base_url: http://127.0.0.1:8000/v1, model: my-judge}",
        )
    engine = build_engine(_engine_spec(given, spec.kind), home)
    return Judge(engine, options) if spec.kind == judge.NAME else Reward(engine, options)


def _engine_spec(given: Mapping[str, Any], kind: str) -> EngineSpec:
    try:
        return EngineSpec.model_validate(given)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise UsageError(first["msg"], where=f"verifiers.{kind}.options.engine.{place}") from error


def verifiers_of(opinions: Mapping[str, Opinion | Verifier]) -> Mapping[str, Verifier]:
    """The verifiers by which the opinions are known."""
    return {name: found if isinstance(found, Verifier) else found.verifier for name, found in opinions.items()}


async def give(
    run: RunStore, opinions: Mapping[str, Opinion | Verifier], problems: Sequence[Problem], listener: Listener
) -> None:
    """Give every one of ``opinions`` that is not there yet, in order."""
    for name, opinion in opinions.items():
        if isinstance(opinion, Verifier):
            listener.stage(name, None)
            listener.advance(name, vote(run, opinion, problems))
        else:
            await asking.give(run, opinion, problems, listener)
