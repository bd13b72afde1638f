"""Prompt templates: from a problem to the messages or text that a model is asked, and nothing else.

Rendering is pure and replaces ``{{name}}`` marks literally, so braces in a problem are left alone and a problem's text is
never read as a template. A template's id identifies everything that shapes the prompt.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from tracemill.schemas import ids
from tracemill.schemas.errors import UsageError
from tracemill.schemas.records import Problem
from tracemill.tasks.engines.base import Message, Route

_MARK: Final = re.compile(r"\{\{(\w+)\}\}")


@dataclass(frozen=True, slots=True)
class Template:
    """``user`` (and ``system``) may use ``{{problem}}``, ``{{choices}}`` and a strategy's own variables such as ``{{hint}}``.

    ``shots`` are worked examples (question, answer), rendered as earlier turns on the chat route and through ``user`` and
    ``shot_separator`` on the completion route. ``prefill`` starts the assistant's turn (a think tag, say) and may use a
    strategy's marks; ``then`` is more of the last user turn, which the shots do not have.
    """

    name: str
    user: str = "{{problem}}"
    system: str | None = None
    route: Route = "chat"
    shots: tuple[tuple[str, str], ...] = ()
    shot_separator: str = "\n\n"
    prefill: str = ""
    then: str = ""

    @property
    def definition(self) -> dict[str, Any]:
        more = {"then": self.then} if self.then else {}
        return {
            "name": self.name,
            "user": self.user,
            "system": self.system,
            "route": self.route,
            "shots": [list(shot) for shot in self.shots],
            "shot_separator": self.shot_separator,
            "prefill": self.prefill,
            **more,
        }

    @property
    def template_id(self) -> str:
        return _template_id(self)

    def row(self) -> dict[str, Any]:
        return {
            "template_id": self.template_id,
            "name": self.name,
            "template": ids.canonical_json(self.definition),
        }


@lru_cache(maxsize=1024)
def _template_id(template: Template) -> str:
    return ids.template_id(template.definition)


@dataclass(frozen=True, slots=True)
class Prompt:
    """A rendered prompt: ``messages`` on the chat route, ``text`` on the completion route."""

    route: Route
    messages: tuple[Message, ...] = ()
    text: str = ""
    prefill: str = ""


def fill(pattern: str, variables: Mapping[str, str], *, where: str) -> str:
    """``pattern`` with each ``{{name}}`` replaced once; a name without a value is a ``UsageError``."""

    def value(match: re.Match[str]) -> str:
        name = match.group(1)
        if name not in variables:
            raise UsageError(
                f"unknown mark {{{{{name}}}}}",
                where=where,
                mend=f"use one of: {', '.join(sorted(variables))}",
            )
        return variables[name]

    return _MARK.sub(value, pattern)


def lettered(choices: tuple[str, ...]) -> str:
    """Choices as lines ``A. first``, ``B. second``."""
    return "\n".join(f"{chr(65 + i)}. {choice}" for i, choice in enumerate(choices))


def question(problem: Problem) -> str:
    """What the model is asked: the prompt, with its choices below where it has any."""
    return problem.prompt if not problem.choices else f"{problem.prompt}\n\n{lettered(problem.choices)}"


def render(template: Template, problem: Problem, variables: Mapping[str, str] | None = None) -> Prompt:
    """The prompt that ``template`` makes of ``problem``; ``variables`` adds a strategy's own marks."""
    where = f"template {template.name!r}"
    extra = dict(variables or {})
    base = {"choices": lettered(problem.choices or ()), **extra}

    def user(text: str) -> str:
        return fill(template.user, {**base, "problem": text}, where=where)

    system = None if template.system is None else fill(template.system, base, where=where)
    then = fill(template.then, base, where=where)
    prefill = fill(template.prefill, base, where=where)
    if template.route == "chat":
        messages: list[Message] = [] if system is None else [{"role": "system", "content": system}]
        for shown, answer in template.shots:
            messages += [{"role": "user", "content": user(shown)}, {"role": "assistant", "content": answer}]
        messages.append({"role": "user", "content": user(question(problem)) + then})
        return Prompt("chat", messages=tuple(messages), prefill=prefill)
    parts = [] if system is None else [system]
    parts += [f"{user(shown)}{answer}" for shown, answer in template.shots]
    parts.append(user(question(problem)) + then + prefill)
    return Prompt("completion", text=template.shot_separator.join(parts), prefill=prefill)
