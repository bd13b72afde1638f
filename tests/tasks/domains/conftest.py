"""Attempts at text problems over engines in process, without a run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from tracemill.schemas import ids
from tracemill.schemas.recipe import EngineSpec
from tracemill.schemas.records import Problem
from tracemill.tasks.domains.text import Text
from tracemill.tasks.engines.base import Capabilities, Completion, Request, Sampling
from tracemill.tasks.engines.simulated import SimulatedEngine
from tracemill.tasks.templates import Template, render
from tracemill.verifiers import answer
from tracemill.verifiers.base import Candidate, Judgement

SUM = Problem("What is 40 + 2?", "answer", "test", gold="42")


@dataclass
class Asker:
    """``generate`` over a callable; remembers requests and serves what was asked before without asking again."""

    say: Callable[[Request], Completion]
    problem: Problem = SUM
    requests: list[Request] = field(default_factory=list)
    paid: dict[tuple[str, int], Completion] = field(default_factory=dict)

    async def generate(
        self,
        template: Template,
        path: str,
        *,
        variables: Mapping[str, str] | None = None,
        draw: int = 0,
        sampling: Sampling | None = None,
    ) -> tuple[Completion, int]:
        seed = ids.derive_seed(0, path, draw)
        if (path, draw) not in self.paid:
            prompt = render(template, self.problem, variables)
            request = Request(
                path,
                prompt.route,
                sampling or Sampling(),
                seed,
                draw,
                messages=prompt.messages,
                prompt=prompt.text,
                prefix=prompt.prefill if prompt.route == "chat" else "",
                problem=self.problem,
            )
            self.requests.append(request)
            self.paid[path, draw] = self.say(request)
        return self.paid[path, draw], seed

    async def verify(self, response: str, finish_reason: str) -> Judgement:
        candidate = Candidate("s", response, gold=self.problem.gold, finish_reason=finish_reason)
        return answer.check(candidate, {})


@pytest.fixture
def simulated() -> Callable[..., tuple[SimulatedEngine, Asker]]:
    def build(**settings: float) -> tuple[SimulatedEngine, Asker]:
        given = {"steps": 4, "success": 0.5, "text_bytes": 0, **settings}
        engine = SimulatedEngine(EngineSpec(kind="simulated", simulation=given))
        return engine, Asker(lambda request: engine._answer(request, 0.0))

    return build


@pytest.fixture
def text_of() -> Callable[..., Text]:
    def build(asker: Asker, capabilities: Capabilities | None = None, **options: Any) -> Text:
        return Text(asker.generate, asker.verify, Template("t"), Sampling(), **options)

    return build


@pytest.fixture
def asker() -> type[Asker]:
    return Asker


@pytest.fixture
def problem() -> Problem:
    return SUM
