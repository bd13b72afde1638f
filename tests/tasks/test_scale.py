"""The long form: a run of a million traces is queried and curated within bounded memory."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

TRACES, PER_PROBLEM, SHARD = 1_000_000, 8, 20_000
MEMORY_LIMIT_GB = 6.0

MAKE = """
import sys, json
import pyarrow as pa
from datetime import UTC, datetime
from tracemill.schemas import ids
from tracemill.schemas.recipe import Recipe
from tracemill.schemas.records import Policy, Problem
from tracemill.schemas.tables import schema_of
from tracemill.tasks.provenance import commit_policy, commit_template
from tracemill.tasks.store import Funnel, RunStore
from tracemill.tasks.template_library import TEMPLATES

out, traces, per, shard = sys.argv[1], *map(int, sys.argv[2:])
recipe = Recipe.model_validate({"name": "large", "problems": [{"kind": "file", "path": "x"}]})
policy, template = Policy("m", "test"), TEMPLATES["cot"]
now = datetime.now(UTC)
with RunStore.start(out, recipe) as run:
    commit_policy(run, policy)
    commit_template(run, template)
    for first in range(0, traces, shard):
        problems, rows, verdicts = [], [], []
        for n in range(first, first + shard):
            if n % per == 0:
                problem = Problem(f"Problem {n}: {n} + 1?", "answer", "test", gold=str(n), cluster_id=f"c{n}")
                problems.append(problem.row())
            trace = f"t_{n:032x}"
            text = f"First {n} + 1 = {n + 1}.\\n\\nThen \\\\boxed{{{n}}}."
            rows.append({
                "trace_id": trace, "attempt_id": f"a_{n:032x}", "problem_id": problem.problem_id, "kind": "sample",
                "sample_index": n % per, "path": str(n % per), "text": text, "answer": str(n), "steps": [],
                "segmenter": "paragraph", "finish_reason": "stop", "prompt_tokens": 9, "completion_tokens": 20,
                "policy_id": policy.policy_id, "template_id": template.template_id,
                "strategy": '{"name":"samples","parameters":{}}', "seed": n, "round": 0, "repeats": 1,
                "text_hash": ids.text_hash(text),
            })
            verdicts.append({
                "subject_id": trace, "verifier": "answer", "version": "1", "config_hash": "c", "inputs_hash": "i",
                "outcome": "correct" if n % 3 else "incorrect", "level": "rule", "backend": "python",
                "isolation": "process", "reason": "test", "evidence": "{}", "verified_at": now,
            })
        run.commit("sample", f"s{first:09d}", {
            "problems": pa.Table.from_pylist(problems, schema=schema_of("problems")),
            "traces": pa.Table.from_pylist(rows, schema=schema_of("traces")),
            "verdicts": pa.Table.from_pylist(verdicts, schema=schema_of("verdicts")),
        }, Funnel("sample", shard, shard, {}))
"""

USE = """
import resource, sys
from tracemill.schemas.recipe import ViewsSpec
from tracemill.tasks.queries import connect
from tracemill.tasks.store import RunStore
from tracemill.tasks.views import build_views

run = RunStore.open(sys.argv[1])
connection = connect([run])
n, c = connection.execute("SELECT sum(n), sum(c) FROM pass_rate").fetchone()
connection.close()
funnels = build_views(run, ViewsSpec(names=["sft", "rl"])) if len(sys.argv) > 2 else []
print(n, c, sum(f.rows_in for f in funnels), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20)
"""


@pytest.mark.full
def test_a_million_traces_are_queried_in_bounded_memory(tmp_path: Path) -> None:
    out = str(tmp_path / "run")
    counts = [str(value) for value in (TRACES, PER_PROBLEM, SHARD)]
    subprocess.run([sys.executable, "-c", textwrap.dedent(MAKE), out, *counts], check=True)
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(USE), out], check=True, capture_output=True, text=True)
    n, c, _, gigabytes = done.stdout.split()
    assert (int(float(n)), int(float(c))) == (TRACES, sum(1 for k in range(TRACES) if k % 3))
    assert float(gigabytes) < MEMORY_LIMIT_GB
