"""Runs with right and wrong attempts, made by hand."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from tracemill.schemas import ids
from tracemill.schemas.enums import Outcome
from tracemill.schemas.recipe import MiningSpec, Recipe
from tracemill.schemas.records import Policy, Problem
from tracemill.schemas.tables import schema_of
from tracemill.tasks.mining.build import mine
from tracemill.tasks.segment import segment
from tracemill.tasks.store import RunStore
from tracemill.verifiers.base import Judgement, Verdict
from tracemill.verifiers.registry import build_verifier

POLICY = Policy("tiny-model", "simulated")
OTHER = Policy("other-model", "simulated")


class Maker:
    """Writes runs. An attempt is ``(text, outcome)`` or a dict that also changes columns of its trace and verdict."""

    other = OTHER

    def __init__(self, root: Path) -> None:
        self.root = root
        self.batches = 0

    def start(self, name: str = "hand") -> RunStore:
        recipe = Recipe.model_validate({"name": name, "problems": [{"kind": "file", "path": "p.jsonl"}]})
        run = RunStore.start(self.root / name, recipe)
        self.commit(run, "policies", "policies", [POLICY.row(), OTHER.row()])
        return run

    def add(self, run: RunStore, problem: Problem, attempts: Sequence[Any]) -> list[str]:
        """Commit a problem with its attempts; returns their trace ids."""
        traces, verdicts, drops = [], [], []
        for index, attempt in enumerate(attempts):
            said = dict(attempt) if isinstance(attempt, dict) else {"text": attempt[0], "outcome": attempt[1]}
            text, outcome = said.pop("text"), said.pop("outcome", None)
            verdict = said.pop("verdict", {})
            apart = said.pop("drop", None)
            path = f"{index}/{said.get('policy_id', '')}/{said.get('round', 0)}"
            identity = ids.attempt_id(problem.problem_id, POLICY.policy_id, "f", "s", {}, 0, path)
            trace = ids.trace_id(identity, text)
            spans, segmenter = segment(text)
            traces.append(
                {
                    "trace_id": trace,
                    "attempt_id": identity,
                    "problem_id": problem.problem_id,
                    "kind": "sample",
                    "sample_index": index,
                    "path": str(index),
                    "text": text,
                    "steps": [{"start": start, "end": end} for start, end in spans],
                    "segmenter": segmenter,
                    "finish_reason": "stop",
                    "completion_tokens": 5,
                    "policy_id": POLICY.policy_id,
                    "strategy": "{}",
                    "round": 0,
                    "repeats": 1,
                    "text_hash": ids.text_hash(text),
                }
                | said
            )
            if outcome:
                verdicts.append(self._verdict(trace, outcome) | verdict)
            if apart:
                drops.append({"subject_id": trace, "stage": apart[0], "reason": apart[1]})
        self.commit(run, "load", "problems", [problem.row()])
        self.commit(run, "sample", "traces", traces)
        self.commit(run, "verify", "verdicts", verdicts)
        self.commit(run, "curate", "drops", drops)
        self.batches += 1
        return [trace["trace_id"] for trace in traces]

    def commit(self, run: RunStore, stage: str, table: str, rows: list[dict[str, Any]]) -> None:
        run.commit(stage, f"b{self.batches}", {table: pa.Table.from_pylist(rows, schema=schema_of(table))})

    @staticmethod
    def _verdict(trace: str, outcome: str) -> dict[str, Any]:
        return {
            "subject_id": trace,
            "verifier": "answer",
            "version": "1",
            "config_hash": "c",
            "inputs_hash": "i",
            "outcome": outcome,
            "level": "rule",
            "backend": "python",
            "isolation": "process",
            "reason": "different",
            "evidence": "{}",
            "verified_at": datetime(2026, 1, 1, tzinfo=UTC),
        }


@pytest.fixture
def maker(tmp_path: Path) -> Maker:
    return Maker(tmp_path)


@pytest.fixture
def problem_of() -> Callable[..., Problem]:
    def make(prompt: str = "What is 3 + 4?", **changes: Any) -> Problem:
        return Problem(prompt, "answer", "test", gold=changes.pop("gold", "7"), **changes)

    return make


@pytest.fixture
def spec() -> Callable[..., MiningSpec]:
    def make(**changes: Any) -> MiningSpec:
        return MiningSpec.model_validate(changes)

    return make


RIGHTS = [f"We add 3 and 4.\n\n3 + 4 = 7{mark}\n\nSo the answer is 7." for mark in (".", "!", " then.", " now.")]
WRONGS = [f"We add 3 and 4.\n\n3 + 4 = {n}.\n\nThen {n} it is.\n\nSo the answer is {n}." for n in (8, 9, 10, 11)]


@pytest.fixture
def mined(maker: Maker, problem_of: Callable[..., Problem]) -> Callable[[MiningSpec], RunStore]:
    """A run with everything that is mined."""

    async def verify(texts: pa.Table) -> list[Verdict]:
        verifier = build_verifier("answer")
        judgement = Judgement(Outcome.CORRECT, "it ends as its right trace")
        return [verifier.verdict(text, "i", judgement) for text in texts["trace_id"].to_pylist()]

    def make(spec: MiningSpec) -> RunStore:
        run = maker.start()
        for number in range(3):
            attempts = [(t, "correct") for t in RIGHTS] + [(t, "incorrect") for t in WRONGS]
            maker.add(run, problem_of(f"{number}: 3 + 4?"), attempts)
        asyncio.run(mine(run, spec, 0.0, verify))
        return run

    return make
