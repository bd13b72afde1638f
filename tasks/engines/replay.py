"""Answers from a recording: a run folder, or a file of JSON lines. Nothing is ever asked of a model.

What must stay true: an answer is given only to the request that it was recorded for, by request key; a request that was
not recorded is a completion with an error, never somebody else's text. A recorded run is replayed under its own policy,
so the keys and ids come out as they were.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from types import TracebackType
from typing import Any, Final, Self

from tracemill.schemas.enums import FinishReason
from tracemill.schemas.errors import DataError, UsageError
from tracemill.schemas.recipe import EngineSpec
from tracemill.schemas.records import Policy
from tracemill.tasks.engines.base import Capabilities, Completion, EngineStats, Request
from tracemill.tasks.engines.wire import cleaned

NOT_RECORDED: Final = "not recorded"

_COUNTS: Final = ("prompt_tokens", "completion_tokens", "cached_tokens", "reasoning_tokens")
_OF_TRACE: Final = ("reasoning_tokens", "logprob_sum", "logprob_min")  # not in the table of requests
_POLICY: Final = ("model", "engine", "revision", "engine_version", "dtype", "chat_template_hash", "licence")

#: From a request key to what was recorded under it, None where nothing was.
Lookup = Callable[[str], Completion | None]


class ReplayEngine:
    """``spec.recording`` names a run folder, or a file whose lines are ``{"key": ..., "text": ..., "finish_reason": ...}``
    (token counts may stand beside them). ``spec.model`` chooses the policy where the recording holds several.

    A text longer than ``max_tokens`` is cut in proportion to its recorded token count, with finish reason ``length``.
    """

    name = "replay"

    def __init__(self, spec: EngineSpec) -> None:
        if not spec.recording:
            raise UsageError(
                "engine kind 'replay' needs a recording", where="engine.recording", mend="name a run folder or a file"
            )
        self._recording = spec.recording
        self.policy, self._open = (
            _from_run(spec.recording, spec.model) if os.path.isdir(spec.recording) else _from_file(spec)
        )
        self.capabilities = Capabilities(batch_invariant_seed=True)
        self.stats = EngineStats(limit=spec.concurrency)
        self._lookup: Lookup | None = None

    async def __aenter__(self) -> Self:
        self._lookup = self._open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._lookup = None

    async def complete(self, request: Request) -> Completion:
        if self._lookup is None:
            self._lookup = self._open()
        self.stats.requests += 1
        found = self._lookup(request.key(self.policy.policy_id))
        if found is None:
            return Completion(text="", finish_reason=FinishReason.ERROR.value, error=NOT_RECORDED)
        found = _limited(found, request.sampling.max_tokens)
        self.stats.prompt_tokens += found.prompt_tokens or 0
        self.stats.completion_tokens += found.completion_tokens or 0
        return found


def _limited(completion: Completion, max_tokens: int) -> Completion:
    tokens = completion.completion_tokens
    if tokens is None or tokens <= max_tokens:
        return completion
    kept = completion.text[: len(completion.text) * max_tokens // tokens]
    return replace(
        completion,
        text=kept,
        finish_reason=FinishReason.LENGTH.value,
        completion_tokens=max_tokens,
        reasoning_tokens=None,
        logprob_sum=None,
        logprob_min=None,
    )


def _from_file(spec: EngineSpec) -> tuple[Policy, Callable[[], Lookup]]:
    path = str(spec.recording)
    policy = Policy(
        model=spec.model or "replay", engine="replay", revision=spec.revision, dtype=spec.dtype, licence=spec.licence
    )
    if not os.path.isfile(path):
        raise UsageError("no such file or folder", where=path, mend="set engine.recording to a run folder or a file")

    def read() -> Lookup:
        recorded: dict[str, Completion] = {}
        try:
            with open(path, encoding="utf-8") as lines:
                for number, line in enumerate(lines, 1):
                    if line.strip():
                        key, completion = _line(line, f"{path}:{number}")
                        if key not in recorded or len(recorded[key].text) < len(completion.text):
                            recorded[key] = completion
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(f"cannot be read: {error}", where=path) from error
        return recorded.get

    return policy, read


def _line(line: str, where: str) -> tuple[str, Completion]:
    mend = 'a line is {"key": ..., "text": ..., "finish_reason": ...}'
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise DataError(f"not JSON: {error}", where=where, mend=mend) from error
    if not isinstance(row, dict) or not isinstance(row.get("key"), str) or not isinstance(row.get("text"), str):
        raise DataError("no string 'key' and 'text'", where=where, mend=mend)
    finish = row.get("finish_reason") or FinishReason.UNKNOWN.value
    if finish not in set(FinishReason):
        raise DataError(f"finish_reason {finish!r}", where=where, mend=f"use one of: {', '.join(FinishReason)}")
    counts = {name: row[name] for name in _COUNTS if type(row.get(name)) is int}
    return row["key"], Completion(text=cleaned(row["text"]), finish_reason=finish, **counts)


def _from_run(path: str, model: str | None) -> tuple[Policy, Callable[[], Lookup]]:
    from tracemill.tasks.store import RunStore  # the store is not needed to replay a file

    run = RunStore.open(path)
    rows = [row for row in run.read("policies").to_pylist() if model is None or row["model"] == model]
    if len({row["policy_id"] for row in rows}) != 1:
        listed = ", ".join(sorted({row["model"] for row in run.read("policies").to_pylist()})) or "none"
        raise UsageError(
            f"the run holds {len(rows)} policies that match", where=path, mend=f"set engine.model to one of: {listed}"
        )
    policy = Policy(**{name: rows[0][name] for name in _POLICY})

    def read() -> Lookup:
        columns = ["request_key", "attempt_id", "max_tokens", "finish_reason", *_COUNTS[:3], "response", "error"]
        requests = run.read("requests", columns)
        traces = run.read("traces", ["attempt_id", "completion_tokens", "text", *_OF_TRACE])
        return _of_tables(requests, traces)

    return policy, read


def _of_tables(requests: Any, traces: Any) -> Lookup:
    """Row numbers in memory, texts left in Arrow until they are asked for."""
    of_attempt: dict[tuple[str, int | None], int] = {
        key: row
        for row, key in enumerate(
            zip(traces["attempt_id"].to_pylist(), traces["completion_tokens"].to_pylist(), strict=True)
        )
    }
    limits, errors = requests["max_tokens"].to_pylist(), requests["error"].to_pylist()
    of_key: dict[str, int] = {}
    for row, key in enumerate(requests["request_key"].to_pylist()):
        if errors[row] is None and (key not in of_key or limits[row] >= limits[of_key[key]]):
            of_key[key] = row

    def find(key: str) -> Completion | None:
        row = of_key.get(key)
        if row is None:
            return None
        record: Mapping[str, Any] = {name: requests[name][row].as_py() for name in requests.column_names}
        text, more = record["response"], {}
        if text is None:
            trace = of_attempt.get((record["attempt_id"], record["completion_tokens"]))
            if trace is None:
                return None
            text = traces["text"][trace].as_py()
            more = {name: traces[name][trace].as_py() for name in _OF_TRACE}
        counts = {name: record[name] for name in _COUNTS[:3]}
        return Completion(text=text, finish_reason=record["finish_reason"], **counts, **more)

    return find
