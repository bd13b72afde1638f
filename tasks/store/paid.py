"""What was paid for already, outside a shard's own ledger: ledgers that an earlier start left, and a reused run.

A request key says nothing of the recipe that it came from, so what one run paid for serves another. A reused run is
copied once into a ledger file of the new run, so the old one is not needed again, and a resume finds it without being told.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from tracemill.tasks.engines.base import Completion
from tracemill.tasks.store.ledger import Reader, readable

if TYPE_CHECKING:
    from tracemill.tasks.store.commits import Commit
    from tracemill.tasks.store.run import RunStore

_REQUEST = (
    "request_key",
    "attempt_id",
    "max_tokens",
    "prompt_tokens",
    "completion_tokens",
    "cached_tokens",
    "finish_reason",
    "response",
    "cost_usd",
    "latency_ms",
    "replica",
    "retries",
    "error",
)
_TRACE = ("attempt_id", "text", "finish_reason", "completion_tokens", "reasoning_tokens", "logprob_sum", "logprob_min")

Turn = tuple[str, str, int | None]  # attempt, finish reason, completion tokens: one trace of an attempt


class Paid:
    """Call it with a request key: the longest completion found in any of ``paths``, or None. Only reads."""

    def __init__(self, paths: Sequence[str]) -> None:
        self._readers = [Reader(path) for path in paths]

    def __call__(self, request_key: str) -> Completion | None:
        found = [hit for reader in self._readers if (hit := reader.find(request_key)) is not None]
        return None if not found else max(found, key=lambda hit: hit[0])[1]

    def close(self) -> None:
        for reader in self._readers:
            reader.close()


def paid_rows(run: RunStore) -> Iterator[tuple[str, int, Completion]]:
    """Every finished request of ``run``, as (request key, max_tokens, completion): committed ones, then those of open ledgers.

    A text that ``requests`` leaves to its trace is taken from the trace of the same attempt, end and length: first from
    the same shard, then, where that trace was committed by an earlier one, from all of them. One shard is in memory at a time.
    """
    orphans: list[dict[str, Any]] = []
    for commit in run.commits():
        if commit.rows("requests"):
            yield from shard_rows(run, commit, orphans)
    if orphans:
        texts: dict[Turn, dict[str, Any]] = {}
        wanted = {row["attempt_id"] for row in orphans}
        for commit in run.commits():
            texts.update(_turns(run, commit, wanted))
        for row in orphans:
            trace = texts.get(_turn(row))
            if trace is not None:
                yield _paid(row, trace)
    for path in run.ledgers():
        yield from readable(path)


def shard_rows(run: RunStore, commit: Commit, orphans: list[dict[str, Any]]) -> Iterator[tuple[str, int, Completion]]:
    """The finished requests of one shard; ``orphans`` takes those whose text is in no trace of it."""
    rows = [row for row in run.read_shard(commit, "requests", _REQUEST).to_pylist() if row["error"] is None]
    traces = _turns(run, commit, {row["attempt_id"] for row in rows})
    for row in rows:
        trace = traces.get(_turn(row))
        if row["response"] is None and trace is None:
            orphans.append(row)
        else:
            yield _paid(row, trace or {})


def _turns(run: RunStore, commit: Commit, attempts: set[str]) -> dict[Turn, dict[str, Any]]:
    if not commit.rows("traces"):
        return {}
    table = run.read_shard(commit, "traces", _TRACE)
    kept = table.filter(pc.is_in(table.column("attempt_id"), pa.array(sorted(attempts), pa.string())))
    return {_turn(row): row for row in kept.to_pylist()}


def _turn(row: Mapping[str, Any]) -> Turn:
    return row["attempt_id"], row["finish_reason"], row["completion_tokens"]


def _paid(row: Mapping[str, Any], trace: Mapping[str, Any]) -> tuple[str, int, Completion]:
    text = trace["text"] if row["response"] is None else row["response"]
    same = trace if trace.get("text") == text else {}
    completion = Completion(
        text,
        row["finish_reason"],
        row["prompt_tokens"],
        row["completion_tokens"],
        row["cached_tokens"],
        same.get("reasoning_tokens"),
        same.get("logprob_sum"),
        same.get("logprob_min"),
        row["cost_usd"],
        row["latency_ms"],
        row["replica"],
        row["retries"] or 0,
    )
    return row["request_key"], row["max_tokens"], completion
