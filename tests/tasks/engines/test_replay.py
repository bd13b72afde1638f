"""A recording answers the requests it was made of, and no others."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pyarrow as pa
import pytest

from tracemill.schemas.errors import DataError, UsageError
from tracemill.schemas.recipe import EngineSpec, Recipe
from tracemill.schemas.records import Policy
from tracemill.schemas.tables import schema_of
from tracemill.tasks.engines.replay import NOT_RECORDED, ReplayEngine
from tracemill.tasks.store import RunStore


def recording(path: Path, *rows: Any) -> ReplayEngine:
    path.write_text("\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows))
    return ReplayEngine(EngineSpec(kind="replay", recording=str(path)))


def table(name: str, rows: list[Mapping[str, Any]]) -> pa.Table:
    return pa.Table.from_pylist(rows, schema=schema_of(name))


async def test_a_miss_is_an_error_and_a_hit_is_word_for_word(tmp_path: Path, contract: ModuleType) -> None:
    path = tmp_path / "r.jsonl"
    key = contract.ONE.key(recording(path).policy.policy_id)
    async with recording(path, {"key": key, "text": "a\u2028b\x00\n", "finish_reason": "stop"}) as engine:
        hit, miss = await engine.complete(contract.ONE), await engine.complete(contract.MANY[0])
    assert (hit.text, hit.finish_reason, hit.error) == ("a\u2028b\ufffd\n", "stop", None)
    assert (miss.text, miss.finish_reason, miss.error) == ("", "error", NOT_RECORDED)


async def test_the_longest_text_of_a_request_wins_and_is_cut_to_the_limit(tmp_path: Path, contract: ModuleType) -> None:
    path = tmp_path / "r.jsonl"
    key = contract.ONE.key(recording(path).policy.policy_id)
    short = {"key": key, "text": "ab", "finish_reason": "length", "completion_tokens": 2}
    long = {"key": key, "text": "abcdef", "finish_reason": "stop", "completion_tokens": 6}
    async with recording(path, long, short) as engine:
        whole = await engine.complete(contract.ONE)
        cut = await engine.complete(replace(contract.ONE, sampling=replace(contract.SAMPLING, max_tokens=3)))
    assert (whole.text, whole.finish_reason) == ("abcdef", "stop")
    assert (cut.text, cut.finish_reason, cut.completion_tokens) == ("abc", "length", 3)


@pytest.mark.parametrize(
    "line", ["{", "[]", '{"key": 1, "text": "x"}', '{"key": "k", "text": "x", "finish_reason": "?"}']
)
async def test_a_bad_line_is_named(line: str, tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    with pytest.raises(DataError) as caught:
        async with recording(path, "", line):
            pass
    assert caught.value.where == f"{path}:2"


def test_a_recording_that_is_not_there_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such file"):
        ReplayEngine(EngineSpec(kind="replay", recording=str(tmp_path / "none")))
    with pytest.raises(UsageError, match="needs a recording"):
        ReplayEngine(EngineSpec(kind="replay"))


async def test_a_run_is_replayed_under_its_own_policy(tmp_path: Path, contract: ModuleType) -> None:
    policy = Policy("some-model", "vllm", revision="1", engine_version="0.33.0", licence="mit")
    recipe = Recipe.model_validate({"name": "r", "problems": [{"kind": "file", "path": "p.jsonl"}]})
    run = RunStore.start(str(tmp_path / "run"), recipe)
    in_trace, in_request, failed = contract.ONE, contract.MANY[0], contract.MANY[1]

    def request(asked: Any, response: str | None, error: str | None = None) -> dict[str, Any]:
        return {
            "request_key": asked.key(policy.policy_id),
            "attempt_id": asked.attempt_id,
            "route": asked.route,
            "prompt_hash": asked.prompt_hash,
            "max_tokens": 24,
            "seed": asked.seed,
            "draw": 0,
            "completion_tokens": 3,
            "finish_reason": "error" if error else "stop",
            "response": response,
            "error": error,
        }

    trace = {
        "trace_id": "t_1", "attempt_id": in_trace.attempt_id, "problem_id": "p_1", "kind": "sample", "sample_index": 0,
        "path": "0", "text": "said in the trace", "steps": [], "segmenter": "whole", "finish_reason": "stop",
        "completion_tokens": 3, "policy_id": policy.policy_id,
        "logprob_sum": -1.5, "logprob_min": -0.75, "strategy": "{}", "round": 0, "repeats": 1, "text_hash": "h",
    }  # fmt: skip
    requests = [request(in_trace, None), request(in_request, "said in the request"), request(failed, "", "HTTP 400")]
    run.commit("sample", "one", {"requests": table("requests", requests), "traces": table("traces", [trace])})
    run.commit("policies", "one", {"policies": table("policies", [policy.row()])})
    run.close()
    engine = ReplayEngine(EngineSpec(kind="replay", recording=str(tmp_path / "run")))
    assert engine.policy == policy
    async with engine:
        said = await engine.complete(in_trace)
        assert (said.text, said.logprob_sum, said.logprob_min) == ("said in the trace", -1.5, -0.75)
        assert (await engine.complete(in_request)).text == "said in the request"
        assert (await engine.complete(failed)).error == NOT_RECORDED
        assert (await engine.complete(contract.MANY[2])).error == NOT_RECORDED
    with pytest.raises(UsageError, match="some-model"):
        ReplayEngine(EngineSpec(kind="replay", recording=str(tmp_path / "run"), model="another"))
