"""Nothing is paid for twice: leftovers of earlier starts and a reused run answer requests that were finished there."""

from __future__ import annotations

import os
import time

import pyarrow as pa
import pytest

from tracemill.schemas import ids
from tracemill.schemas.tables import schema_of
from tracemill.tasks.store import RunStore


def request(key: str, attempt: str, **changes: object) -> dict[str, object]:
    return {
        "request_key": key,
        "attempt_id": attempt,
        "route": "chat",
        "prompt_hash": "0",
        "max_tokens": 100,
        "draw": 0,
        "prompt_tokens": 7,
        "completion_tokens": 11,
        "cached_tokens": 3,
        "finish_reason": "stop",
        "cost_usd": 0.25,
        "latency_ms": 12.5,
        "replica": "one",
        "retries": 1,
        **changes,
    }


def trace(attempt: str, text: str, **changes: object) -> dict[str, object]:
    return {
        "trace_id": ids.trace_id(attempt, text),
        "attempt_id": attempt,
        "problem_id": "p_1",
        "kind": "sample",
        "sample_index": 0,
        "path": "0",
        "text": text,
        "steps": [],
        "segmenter": "whole",
        "finish_reason": "stop",
        "completion_tokens": 11,
        "reasoning_tokens": 2,
        "logprob_sum": -1.5,
        "logprob_min": -0.75,
        "policy_id": "m_1",
        "strategy": "{}",
        "round": 0,
        "repeats": 1,
        "text_hash": ids.text_hash(text),
        **changes,
    }


@pytest.fixture
def commit():
    def make(run: RunStore, shard: str, requests: list[dict[str, object]], traces: list[dict[str, object]]) -> None:
        tables = {
            "requests": pa.Table.from_pylist(requests, schema=schema_of("requests")),
            "traces": pa.Table.from_pylist(traces, schema=schema_of("traces")),
        }
        run.commit("sample", shard, tables)

    return make


def test_a_ledger_whose_shard_is_no_longer_cut_that_way_is_still_found(tmp_path, make_recipe, said):
    with RunStore.start(tmp_path, make_recipe()) as run:
        for shard, limit in (("old_1", 100), ("old_2", 200)):
            ledger = run.ledger(shard)
            ledger.put("r_1", limit, said(shard))
            ledger.put(f"r_{shard}", limit, said(f"only {shard}"))
            ledger.close()
    with RunStore.start(tmp_path, make_recipe(shard_size=3)) as run:
        paid = run.paid()
        assert paid("r_1") == said("old_2")  # the longer limit
        assert paid("r_old_1") == said("only old_1")
        assert paid("r_never") is None
        paid.close()
        only = run.paid(open_shards=["old_2"])
        assert only("r_1") == said("old_1")
        only.close()


def test_a_ledger_that_died_before_its_first_row_is_no_obstacle(tmp_path, make_recipe):
    with RunStore.start(tmp_path, make_recipe()) as run:
        os.makedirs(tmp_path / "_ledger")
        (tmp_path / "_ledger/shard.sqlite").touch()
        paid = run.paid()
        assert paid("r_1") is None
        paid.close()


def test_a_damaged_leftover_is_mended_and_told(tmp_path, make_recipe, said):
    with RunStore.start(tmp_path, make_recipe()) as run:
        ledger = run.ledger("old")
        ledger.put("r_1", 1, said("x"))
        ledger.close()
        (tmp_path / "_ledger/old.sqlite").write_bytes(b"no longer a ledger" * 1000)
        paid = run.paid()
        assert paid("r_1") is None
        assert len(run.warnings) == 1
        paid.close()


def test_a_reused_run_answers_from_its_commits_and_its_open_ledgers(tmp_path, make_recipe, said, commit):
    with RunStore.start(tmp_path / "old", make_recipe()) as old:
        commit(
            old,
            "one",
            [
                request("r_trace", "a_1"),
                request("r_own", "a_2", response="another text", completion_tokens=3),
                request("r_failed", "a_3", error="gone", finish_reason="error"),
                request("r_short", "a_4", finish_reason="length", completion_tokens=5, max_tokens=5),
            ],
            [
                trace("a_1", "from the trace"),
                trace("a_2", "not this"),
                trace("a_4", "cut", finish_reason="length", completion_tokens=5),
            ],
        )
        commit(  # the longer one of the same attempt, in a later shard
            old,
            "two",
            [request("r_short", "a_4", completion_tokens=20, max_tokens=50)],
            [trace("a_4", "cut and on", completion_tokens=20)],
        )
        commit(old, "three", [request("r_again", "a_1")], [])  # its trace was committed by the first shard
        ledger = old.ledger("open")
        ledger.put("r_open", 100, said("in the ledger"))
        ledger.close()
    with RunStore.start(tmp_path / "new", make_recipe(round=1)) as new:
        assert new.reuse(RunStore.open(tmp_path / "old")) == 6
        assert new.reuse(RunStore.open(tmp_path / "old")) == 0
    with RunStore.start(tmp_path / "new", make_recipe(round=1)) as new:  # found without being told again
        paid = new.paid()
        assert paid("r_trace") == said("from the trace")
        assert paid("r_again") == said("from the trace")
        own = paid("r_own")
        assert own is not None
        assert (own.text, own.completion_tokens, own.reasoning_tokens, own.logprob_sum) == (
            "another text",
            3,
            None,
            None,
        )
        assert paid("r_failed") is None
        assert paid("r_short") == said("cut and on", completion_tokens=20)
        assert paid("r_open") == said("in the ledger")
        paid.close()
    with RunStore.start(tmp_path / "third", make_recipe(round=2)) as third:  # what a run took over is handed on
        assert third.reuse(RunStore.open(tmp_path / "new")) > 0
        paid = third.paid()
        assert paid("r_open") == said("in the ledger")
        paid.close()


def test_a_reused_run_may_be_live_and_damaged(tmp_path, make_recipe, said):
    with RunStore.start(tmp_path / "old", make_recipe()) as old, RunStore.start(tmp_path / "new", make_recipe()) as new:
        live = old.ledger("live")
        live.put("r_1", 1, said("x"))
        dead = old.ledger("dead")
        dead.close()
        (tmp_path / "old/_ledger/dead.sqlite").write_bytes(b"\xff" * 50_000)
        while live._unsaved:
            time.sleep(0.01)
        new.reuse(RunStore.open(tmp_path / "old"))
        paid = new.paid()
        assert paid("r_1") == said("x")
        live.close()
        paid.close()
        assert (tmp_path / "old/_ledger/dead.sqlite").exists()  # another run's files are its own


def test_a_ledger_is_garbage_only_when_all_it_paid_for_is_committed(tmp_path, make_recipe, said, commit):
    run = RunStore.start(tmp_path, make_recipe())
    ledger = run.ledger("one")
    ledger.put("r_1", 100, said("x"))
    ledger.put("r_1", 200, said("longer"))
    ledger.close()
    commit(run, "one", [request("r_1", "a_1", response="x")], [])
    assert run.garbage() == []
    commit(run, "two", [request("r_1", "a_1", response="longer", max_tokens=200)], [])
    assert run.collect() == [str(tmp_path / "_ledger/one.sqlite")]
    assert run.ledgers() == []
