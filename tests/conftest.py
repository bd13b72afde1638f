"""A small run made by hand, whose every number can be worked out on paper."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import settings

from tracemill.schemas import ids
from tracemill.schemas.recipe import Recipe
from tracemill.schemas.records import Policy, Problem
from tracemill.schemas.tables import schema_of
from tracemill.tasks.store import Funnel, RunStore

POLICY = Policy("tiny-model", "simulated")

settings.register_profile("any_machine", deadline=None)  # a busy machine is no failure of the code
settings.load_profile("any_machine")

STANDIN = Path(__file__).parent / "standin" / "server.py"


@pytest.fixture(autouse=True)
def _no_toolchain(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only tests marked ``lean`` see the embedded Lean that may be in the user's cache folder."""
    if request.node.get_closest_marker("lean") is None:
        monkeypatch.setenv("TRACEMILL_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


@dataclass(frozen=True, slots=True)
class Said:
    """One attempt: its answer and what each verifier made of it (verifier, outcome, level, version)."""

    answer: str | None
    verdicts: Sequence[tuple[str, str, str, str]] = field(default_factory=tuple)
    kind: str = "sample"
    repeats: int = 1
    error: str | None = None
    text: str | None = None


def rule(outcome: str, verifier: str = "answer", version: str = "1.0") -> tuple[str, str, str, str]:
    return verifier, outcome, "rule", version


@dataclass(slots=True)
class Bench:
    """Writes runs by hand; ``trace_id(problem, index)`` names what it wrote."""

    root: Path
    traces: dict[tuple[str, int], str] = field(default_factory=dict)

    def run(
        self,
        problems: Sequence[tuple[Problem, Sequence[Said]]],
        *,
        name: str = "hand",
        drops: Sequence[tuple[str, int, str, str]] = (),
        folder: str | None = None,
    ) -> RunStore:
        """``drops`` are (prompt, index, stage, reason)."""
        recipe = Recipe.model_validate({"name": name, "problems": [{"kind": "file", "path": "p.jsonl"}]})
        run = RunStore.start(self.root / (folder or name), recipe)
        self._commit(
            run,
            "load",
            "problems",
            [p.row() for p, _ in problems],
            Funnel("load", len(problems) + 1, len(problems), {"empty_gold": 1}),
        )
        self._commit(run, "policies", "policies", [POLICY.row()])
        traces, requests, verdicts = [], [], []
        for problem, attempts in problems:
            for index, said in enumerate(attempts):
                attempt = ids.attempt_id(problem.problem_id, POLICY.policy_id, "f", "s", {}, 0, str(index))
                text = said.text if said.text is not None else f"so the answer is {said.answer}"
                trace = ids.trace_id(attempt, text)
                self.traces[problem.prompt, index] = trace
                traces.append(trace_row(trace, attempt, problem, index, text, said))
                requests.append(request_row(attempt, said))
                verdicts += [verdict_row(trace, *verdict) for verdict in said.verdicts]
        run.commit(
            "sample",
            "one",
            {
                "traces": pa.Table.from_pylist(traces, schema=schema_of("traces")),
                "requests": pa.Table.from_pylist(requests, schema=schema_of("requests")),
            },
            Funnel("sample", len(traces), len(traces)),
        )
        self._commit(run, "verify", "verdicts", verdicts, Funnel("verify", len(verdicts), len(verdicts)))
        rows = [
            {"subject_id": self.traces[prompt, index], "stage": stage, "reason": reason, "detail": None}
            for prompt, index, stage, reason in drops
        ]
        self._commit(run, "curate", "drops", rows)
        run.close()
        return run

    @staticmethod
    def _commit(
        run: RunStore, stage: str, table: str, rows: list[dict[str, Any]], funnel: Funnel | None = None
    ) -> None:
        run.commit(stage, "one", {table: pa.Table.from_pylist(rows, schema=schema_of(table))}, funnel)


def trace_row(trace: str, attempt: str, problem: Problem, index: int, text: str, said: Said) -> dict[str, Any]:
    return {
        "trace_id": trace,
        "attempt_id": attempt,
        "problem_id": problem.problem_id,
        "kind": said.kind,
        "sample_index": index,
        "path": str(index),
        "text": text,
        "answer": said.answer,
        "steps": [{"start": 0, "end": len(text)}],
        "segmenter": "whole",
        "finish_reason": "error" if said.error else "stop",
        "prompt_tokens": 10,
        "completion_tokens": 5,
        "policy_id": POLICY.policy_id,
        "strategy": '{"name":"samples","parameters":{}}',
        "seed": index,
        "round": 0,
        "repeats": said.repeats,
        "error": said.error,
        "text_hash": ids.text_hash(text),
    }


def request_row(attempt: str, said: Said) -> dict[str, Any]:
    return {
        "request_key": ids.digest("r", attempt),
        "attempt_id": attempt,
        "route": "chat",
        "prompt_hash": "h",
        "max_tokens": 64,
        "draw": 0,
        "prompt_tokens": 10,
        "completion_tokens": 5,
        "finish_reason": "error" if said.error else "stop",
        "cost_usd": 0.001,
        "retries": 0,
        "error": said.error,
    }


def verdict_row(trace: str, verifier: str, outcome: str, level: str, version: str) -> dict[str, Any]:
    return {
        "subject_id": trace,
        "verifier": verifier,
        "version": version,
        "config_hash": "c",
        "inputs_hash": "i",
        "outcome": outcome,
        "level": level,
        "backend": "python",
        "isolation": "process",
        "reason": f"{verifier} says {outcome}",
        "evidence": "{}",
        "verified_at": datetime(2026, 1, 1, tzinfo=UTC),
    }


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """Writes runs by hand below the test's folder."""
    return Bench(tmp_path)


@pytest.fixture
def said() -> type[Said]:
    return Said


@pytest.fixture
def by_rule() -> Callable[..., tuple[str, str, str, str]]:
    return rule


@pytest.fixture(scope="session")
def solutions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve sums, each solved right and wrong by one model: JSON lines for ``tracemill import --map columns``."""
    path = tmp_path_factory.mktemp("solutions") / "solutions.jsonl"
    with path.open("w", encoding="utf-8") as out:
        for n in range(12):
            a, b, c = 3 + n, 4 + 2 * n, 2 + n
            for k, slip in enumerate((0, 0, 0, 0, 1, 2, 3)):
                first, total = a + b + slip, a + b + slip + c
                steps = [
                    f"Ann has {a} pens and gets {b} more.",
                    f"So {a} + {b} = {first} pens{'.' if slip else '!' * (k + 1)}",
                    f"Then {first} + {c} = {total}.",
                    f"The answer is \\boxed{{{total}}}.",
                ]
                row = {
                    "prompt": f"Ann has {a} pens, gets {b} and then {c}. How many has she?",
                    "gold": str(a + b + c),
                    "model": "m",
                    "sample": k,
                    "output": "\n\n".join(steps),
                }
                out.write(json.dumps(row) + "\n")
    return path


@pytest.fixture
def standin() -> Iterator[Callable[..., str]]:
    """``standin("--yes", "0.9")`` starts a server and gives its base URL; all are ended after the test."""
    started: list[subprocess.Popen[str]] = []

    def start(*flags: str) -> str:
        process = subprocess.Popen([sys.executable, str(STANDIN), *flags], stdout=subprocess.PIPE, text=True)
        started.append(process)
        assert process.stdout is not None
        return f"http://127.0.0.1:{json.loads(process.stdout.readline())['port']}/v1"

    yield start
    for process in started:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()
