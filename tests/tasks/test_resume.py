"""Whatever is changed between starts and wherever they die: keys stay unique, nothing is lost, nothing is paid for twice."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tracemill.schemas.enums import Outcome
from tracemill.schemas.errors import EngineError
from tracemill.schemas.recipe import Recipe
from tracemill.schemas.records import Problem
from tracemill.schemas.tables import TABLES
from tracemill.tasks.engines.base import Completion, Request
from tracemill.tasks.plan import Attempts, plan
from tracemill.tasks.reporting.listener import NullListener
from tracemill.tasks.sampling import Budget, Sampler
from tracemill.tasks.store import Ledger, RunStore
from tracemill.tasks.strategies.registry import build_strategy
from tracemill.tasks.template_library import build_template
from tracemill.verifiers.base import Candidate, Judgement

STARTS = st.lists(
    st.fixed_dictionaries(
        {
            "n": st.integers(1, 3),
            "limit": st.integers(1, 5),
            "max_tokens": st.sampled_from([2, 4, 5, 50]),
            "dies_at": st.none() | st.integers(0, 8),
            "budget": st.none() | st.sampled_from([1.0, 3.0]),
            "before_clean_up": st.booleans(),
        }
    ),
    min_size=2,
    max_size=5,
)


async def always_wrong(candidate: Candidate, verifier: str) -> Judgement:
    return Judgement(Outcome.INCORRECT, "test")


@pytest.mark.parametrize("kind", ["samples", "star"])
@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(starts=STARTS)
def test_any_sequence_of_changes_and_deaths_keeps_every_promise(
    tmp_path_factory: pytest.TempPathFactory,
    recipe_of: Callable[..., Recipe],
    engine: Any,
    kind: str,
    starts: list[dict[str, Any]],
) -> None:
    out = str(tmp_path_factory.mktemp("run") / "run")
    problems = [Problem(f"What is {n} + 1?", "answer", "test", gold=str(n + 1)) for n in range(5)]
    engine = type(engine)()
    complete = engine.complete
    paid: list[tuple[str, str]] = []
    lives = [0]

    async def mortal(request: Request) -> Completion:
        if lives[0] <= 0:
            raise EngineError("gone", where="test", mend="none")
        lives[0] -= 1
        paid.append((request.key(engine.policy.policy_id), request.prefix))
        completion: Completion = await complete(request)
        return completion

    engine.complete = mortal

    async def start(change: dict[str, Any]) -> None:
        recipe = recipe_of(
            n=change["n"],
            max_tokens=change["max_tokens"],
            shard_size=2,
            strategy={"kind": kind, "n": change["n"]},
        )
        chosen = problems[: change["limit"]]
        lives[0] = 10_000 if change["dies_at"] is None else change["dies_at"]
        with RunStore.start(out, recipe) as run:
            attempts = Attempts.of(recipe, engine.policy, build_template(recipe.template))
            todo = plan(run, chosen, recipe, attempts)
            sampler = Sampler(
                run,
                engine,
                attempts,
                build_strategy(kind),
                todo,
                always_wrong,
                NullListener(),
                run.paid(todo.shard_ids),
                Budget(usd=change["budget"]),
            )
            with pytest.MonkeyPatch.context() as patch, suppress(EngineError):
                if change["before_clean_up"]:
                    patch.setattr(Ledger, "discard", Ledger.close)
                for shard in todo.shards:
                    await sampler.sample(shard)

    held: set[str] = set()
    last = {"n": 3, "limit": 5, "max_tokens": 50, "dies_at": None, "budget": None, "before_clean_up": False}
    for change in [*starts, last]:
        asyncio.run(start(change))
        run = RunStore.open(out)
        for name in ("traces", "requests", "drops"):
            keys = list(zip(*(c.to_pylist() for c in run.read(name, TABLES[name].key).columns), strict=True))
            assert len(keys) == len(set(keys)), name
        now = set(run.read("traces", ["trace_id"])["trace_id"].to_pylist())
        assert held <= now
        held = now
    assert len(paid) == len(set(paid))
    samples = {
        (row["problem_id"], row["path"]) for row in run.committed_attempts().to_pylist() if row["kind"] == "sample"
    }
    assert len(samples) == 15
