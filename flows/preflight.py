"""What can be wrong with a recipe beyond its document: found before a folder is made, and before anything is paid for.

What must stay true: whatever is refused here leaves nothing behind, so the mended recipe is not another one's folder.
"""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches

from tracemill.schemas.errors import UsageError
from tracemill.schemas.recipe import ImportRecipe, Recipe
from tracemill.schemas.records import Problem
from tracemill.tasks.engines.registry import engine_home
from tracemill.tasks.labelling import verifiers_of
from tracemill.tasks.mining.scores import build_scorer
from tracemill.tasks.opinions import registry as opinions
from tracemill.tasks.opinions.names import OPINIONS
from tracemill.tasks.steps.locators import build_engines
from tracemill.tasks.store import RunStore
from tracemill.tasks.strategies.registry import PARAMETERS
from tracemill.tasks.templates import Template, render
from tracemill.tasks.views.tokenized import tokenizer_of
from tracemill.verifiers.registry import INSTALLED


def check_run(
    recipe: Recipe, template: Template, problems: Sequence[Problem], reuse: str | None = None, *, install: bool = True
) -> None:
    """Raise ``UsageError`` for what ``recipe`` cannot do with ``problems``, ``DataError`` where there is no run to reuse.

    Without ``install`` verifiers that would be installed for it are left out.
    """
    kind, known = recipe.strategy.kind, PARAMETERS.get(recipe.strategy.kind)
    if known is not None:  # a strategy of the user's own may have marks and parameters of its own
        for name in recipe.strategy.parameters.keys() - known:
            near = get_close_matches(name, known, n=1)
            raise UsageError(
                f"strategy {kind!r} has no parameter {name!r}",
                where="strategy.parameters",
                mend=(f"did you mean {near[0]!r}? " if near else "") + f"known: {', '.join(sorted(known)) or 'none'}",
            )
        if "{{problem}}" not in template.user:
            raise UsageError("the prompt lacks the problem", where="template.user", mend="put {{problem}} into it")
        render(template, problems[0])
    check_curation(recipe, problems, install=install)
    if reuse is not None:
        RunStore.open(reuse)


def check_curation(recipe: Recipe | ImportRecipe, problems: Sequence[Problem], *, install: bool = True) -> None:
    """Raise ``UsageError`` for a verifier, one of its options, an engine to ask, a scorer or a tokenizer that there is not."""
    left_out = frozenset() if install else INSTALLED
    verifiers_of(
        [problem for problem in problems if problem.verifier not in left_out],
        [spec for spec in recipe.verifiers if spec.kind not in left_out],
    )
    opinions.build_all(recipe, problems, engine_home())
    build_engines(recipe, engine_home())
    named = {problem.verifier for problem in problems} | OPINIONS
    for spec in recipe.verifiers:
        if spec.kind not in named and not spec.all_problems:
            raise UsageError(
                f"no problem is checked by the verifier {spec.kind!r}",
                where="verifiers",
                mend="correct the name, or set all_problems: true to run it on every trace",
            )
    if recipe.mining is not None and recipe.mining.scorer is not None:
        build_scorer(recipe.mining.scorer, engine_home())
    if recipe.views.tokenizer is not None:
        tokenizer_of(recipe.views.tokenizer)
