"""The one contract suite, against the engines that need no server of ours: the endpoint, the simulation, the recording."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tracemill.schemas.recipe import EngineSpec
from tracemill.tasks.engines.registry import build_engine


@pytest.fixture(params=["openai", "simulated", "replay"])
async def subject(
    request: pytest.FixtureRequest, contract: ModuleType, shared_standin: str, tmp_path: Path
) -> AsyncIterator[Any]:
    poison = replace(contract.ONE, messages=({"role": "user", "content": "poison"},))
    home = str(tmp_path)
    if request.param == "openai":
        engine = build_engine(EngineSpec(kind="openai", model="standin", base_url=shared_standin), home)
        made = contract.Subject(engine, bad=poison, exact=True)
    elif request.param == "simulated":
        engine = build_engine(EngineSpec(kind="simulated", simulation={"latency": 0.01}), home)
        made = contract.Subject(engine, exact=True)
    else:
        recording = tmp_path / "recording.jsonl"
        recording.write_text("")
        engine = build_engine(EngineSpec(kind="replay", recording=str(recording)), home)
        source = build_engine(EngineSpec(kind="simulated"), home)
        lines = []
        for asked in contract.REQUESTS:
            # recorded at a larger limit, so that keeping the limit is the engine's own doing
            got = await source.complete(replace(asked, sampling=replace(asked.sampling, max_tokens=24)))
            row = {"key": asked.key(engine.policy.policy_id), "text": got.text}
            row |= {"finish_reason": got.finish_reason, "completion_tokens": got.completion_tokens}
            lines.append(json.dumps(row))
        recording.write_text("\n".join(lines))
        made = contract.Subject(engine, bad=poison, logprobs=False)
    async with engine:
        yield made


async def test_keeps_the_contract(clause: Any, subject: Any) -> None:
    await clause(subject)
