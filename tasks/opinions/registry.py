"""Which opinions there are, which a recipe asks for, and how they are given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tracemill.schemas.recipe import ImportRecipe, Recipe, VerifierSpec
from tracemill.schemas.records import Problem
from tracemill.tasks.opinions.consensus import vote
from tracemill.tasks.opinions.names import OPINIONS
from tracemill.tasks.reporting.listener import Listener
from tracemill.tasks.store import RunStore
from tracemill.verifiers import consensus
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


def verifiers_of(specs: Sequence[VerifierSpec]) -> Mapping[str, Verifier]:
    """The verifiers by which the opinions are known. Raises UsageError for an option that is not there."""
    return {spec.kind: build_consensus(spec.options) for spec in specs}


async def give(run: RunStore, specs: Sequence[VerifierSpec], problems: Sequence[Problem], listener: Listener) -> None:
    """Give every opinion that ``specs`` asks for and that is not there yet."""
    for name, verifier in verifiers_of(specs).items():
        listener.stage(name, None)
        if name == consensus.NAME:
            listener.advance(name, vote(run, verifier, problems))
