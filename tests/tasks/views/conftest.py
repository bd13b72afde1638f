"""Runs whose views can be worked out on paper."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tracemill.schemas import ids
from tracemill.schemas.recipe import Recipe
from tracemill.schemas.records import Policy, Problem
from tracemill.schemas.tables import schema_of
from tracemill.tasks.store import RunStore
from tracemill.tasks.templates import Template
from tracemill.tasks.views.write import view_files

POLICY = Policy("tiny-model", "simulated")
TEMPLATE = Template("cot", user="{{problem}}\n\nThink.", system="Be brief.", prefill="<think>")


class Maker:
    """Writes runs. An attempt is ``(text, outcome)`` or a dict that also changes columns of its trace."""

    def __init__(self, root: Any) -> None:
        self.root = root
        self.batches = 0

    def start(self, name: str = "hand") -> RunStore:
        recipe = Recipe.model_validate({"name": name, "problems": [{"kind": "file", "path": "p.jsonl"}]})
        run = RunStore.start(self.root / name, recipe)
        self._commit(run, "policies", "policies", [POLICY.row()])
        self._commit(run, "templates", "templates", [TEMPLATE.row()])
        return run

    def add(self, run: RunStore, problem: Problem, attempts: list[Any]) -> list[str]:
        """Commit a problem with its attempts; returns their trace ids."""
        traces, verdicts, drops = [], [], []
        for index, attempt in enumerate(attempts):
            said = dict(attempt) if isinstance(attempt, dict) else {"text": attempt[0], "outcome": attempt[1]}
            text, outcome = said.pop("text"), said.pop("outcome", None)
            more, level = said.pop("verdicts", []), said.pop("level", "rule")
            apart = said.pop("drop", None)
            path = f"{index}/{said.get('kind', '')}"
            identity = ids.attempt_id(problem.problem_id, POLICY.policy_id, TEMPLATE.template_id, "s", {}, 0, path)
            trace = ids.trace_id(identity, text)
            traces.append(self._trace(trace, identity, problem, index, text) | said)
            found = [("answer", outcome, level)] if outcome else []
            verdicts += [self._verdict(trace, *verdict) for verdict in [*found, *more]]
            if apart:
                drops.append({"subject_id": trace, "stage": apart[0], "reason": apart[1]})
        self._commit(run, "load", "problems", [problem.row()])
        self._commit(run, "sample", "traces", traces)
        self._commit(run, "verify", "verdicts", verdicts)
        self._commit(run, "curate", "drops", drops)
        self.batches += 1
        return [trace["trace_id"] for trace in traces]

    def _commit(self, run: RunStore, stage: str, table: str, rows: list[dict[str, Any]]) -> None:
        run.commit(stage, f"b{self.batches}", {table: pa.Table.from_pylist(rows, schema=schema_of(table))})

    @staticmethod
    def _trace(trace: str, attempt: str, problem: Problem, index: int, text: str) -> dict[str, Any]:
        return {
            "trace_id": trace,
            "attempt_id": attempt,
            "problem_id": problem.problem_id,
            "kind": "sample",
            "sample_index": index,
            "path": str(index),
            "text": text,
            "answer": "7",
            "steps": [{"start": 0, "end": len(text)}],
            "segmenter": "whole",
            "finish_reason": "stop",
            "completion_tokens": 5,
            "policy_id": POLICY.policy_id,
            "template_id": TEMPLATE.template_id,
            "sampling_id": "s",
            "strategy": '{"name":"samples","parameters":{}}',
            "seed": index,
            "round": 0,
            "repeats": 1,
            "text_hash": ids.text_hash(text),
        }

    @staticmethod
    def _verdict(trace: str, verifier: str, outcome: str, level: str) -> dict[str, Any]:
        return {
            "subject_id": trace,
            "verifier": verifier,
            "version": "1.0",
            "config_hash": "c",
            "inputs_hash": "i",
            "outcome": outcome,
            "level": level,
            "backend": "python",
            "isolation": "process",
            "reason": f"{verifier} says {outcome}",
            "evidence": "{}",
        }


@pytest.fixture
def maker(tmp_path: Any) -> Maker:
    return Maker(tmp_path)


@pytest.fixture
def problem_of() -> Callable[..., Problem]:
    def make(number: int = 0, **changes: Any) -> Problem:
        return Problem(
            f"What is 3 + 4, question {number}?", "answer", "made", **{"gold": "7", "licence": "cc0-1.0", **changes}
        )

    return make


@pytest.fixture
def view() -> Callable[..., dict[str, list[dict[str, Any]]]]:
    """Reads a view: split -> rows."""

    def read(run: RunStore, name: str) -> dict[str, list[dict[str, Any]]]:
        found: dict[str, list[dict[str, Any]]] = {}
        for path in view_files(run.path)[name]:
            split = path.rsplit("/", 1)[1].split("-")[0]
            found[split] = pq.read_table(f"{run.path}/{path}", partitioning=None).to_pylist()
        return found

    return read


@pytest.fixture
def reasons() -> Callable[[RunStore, str], dict[str, str]]:
    """Trace id -> why it is not in a view, by the newest build."""

    def read(run: RunStore, name: str) -> dict[str, str]:
        newest = max(run.commits("views"), key=lambda commit: commit.shard)
        rows = run.read_shard(newest, "drops").to_pylist()
        return {row["subject_id"]: row["reason"] for row in rows if row["stage"] == f"view:{name}"}

    return read
