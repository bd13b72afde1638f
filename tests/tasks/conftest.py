"""A scripted engine and small recipes for tests of the steps of the work."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import pytest

from tracemill.schemas.recipe import Recipe
from tracemill.schemas.records import Policy, Problem
from tracemill.tasks.engines.base import Capabilities, Completion, EngineStats, Request


@dataclass
class ScriptedEngine:
    """Answers with ``words`` numbered words, cut at ``max_tokens`` words; remembers every request."""

    words: int = 6
    fails: Callable[[Request], bool] = lambda request: False
    capabilities: Capabilities = field(default_factory=lambda: Capabilities(continue_prefix=True))
    name: str = "scripted"
    policy: Policy = field(default_factory=lambda: Policy("scripted-1", "scripted"))
    stats: EngineStats = field(default_factory=EngineStats)
    asked: list[Request] = field(default_factory=list)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None: ...

    async def complete(self, request: Request) -> Completion:
        self.asked.append(request)
        if self.fails(request):
            return Completion("", "error", error="400: refused")
        whole = [f"{request.seed}-{index} " for index in range(self.words)]
        said = whole[len(request.prefix.split()) :]
        cut = said[: request.sampling.max_tokens]
        return Completion("".join(cut), "stop" if len(cut) == len(said) else "length", 3, len(cut), cost_usd=0.5)


@pytest.fixture
def engine() -> ScriptedEngine:
    return ScriptedEngine()


def make_recipe(n: int = 2, max_tokens: int = 100, shard_size: int = 256, **changes: Any) -> Recipe:
    return Recipe.model_validate(
        {
            "name": "small",
            "problems": [{"kind": "file", "path": "none.jsonl"}],
            "engine": {"kind": "simulated"},
            "sampling": {"max_tokens": max_tokens},
            "strategy": {"n": n},
            "shard_size": shard_size,
            **changes,
        }
    )


@pytest.fixture
def recipe_of() -> Callable[..., Recipe]:
    return make_recipe


@pytest.fixture
def problems() -> list[Problem]:
    return [Problem(f"What is {n} + 1?", "answer", "test", gold=str(n + 1)) for n in range(5)]


@pytest.fixture
def out(tmp_path: Path) -> str:
    return str(tmp_path / "run")
