"""The shipped prompt templates, and the one place where a recipe's changes to them are applied."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from tracemill.schemas.errors import UsageError, did_you_mean
from tracemill.schemas.recipe import TemplateSpec
from tracemill.tasks.templates import Template

_BOXED: Final = "put your final answer within \\boxed{}."

_SHIPPED: Final = (
    Template(
        name="cot",
        user="{{problem}}\n\nReason step by step, one step a paragraph, and " + _BOXED,
    ),
    Template(
        name="think",
        system=(
            "Think before you answer. Write your thoughts between <think> and </think>, then a short solution for the "
            "reader. At the end of the solution, " + _BOXED
        ),
    ),
    Template(
        name="reasoner",
        user="{{problem}}\n\nAt the end, " + _BOXED,
    ),
    Template(
        name="few_shot",
        user="Question: {{problem}}\nAnswer:",
        route="completion",
    ),
    Template(
        name="code",
        user="{{problem}}\n\nReply with one complete Python program or function in a fenced code block.",
    ),
    Template(name="plain"),
)

TEMPLATES: Final[Mapping[str, Template]] = {template.name: template for template in _SHIPPED}


def build_template(spec: TemplateSpec) -> Template:
    """The shipped template ``spec.name`` with the keys that ``spec`` sets; an unknown name is a ``UsageError``."""
    base = TEMPLATES.get(spec.name)
    if base is None:
        hint = did_you_mean(spec.name, TEMPLATES)
        raise UsageError(
            f"no template {spec.name!r}",
            where="template.name",
            mend=f"{hint}shipped templates: {', '.join(sorted(TEMPLATES))}",
        )
    changes: dict[str, Any] = {
        key: value for key in ("user", "system", "route", "prefill") if (value := getattr(spec, key)) is not None
    }
    if spec.shots is not None:
        changes["shots"] = tuple((shown, answer) for shown, answer in spec.shots)
    return replace(base, **changes)
