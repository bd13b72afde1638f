"""A user's own verifier and strategy: one file of at most 40 lines, outside the repository, named in the recipe."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

PLUGIN = '''\
"""A verifier and a strategy of one's own."""

from tracemill.schemas.enums import Outcome, TraceKind
from tracemill.tasks.strategies.base import Context, Draft
from tracemill.verifiers.base import Candidate, Judgement, Verifier


def parity(candidate: Candidate, config) -> Judgement:
    """Correct when the last digit written has the parity of the gold answer."""
    digits = [letter for letter in candidate.response if letter.isdigit()]
    if not digits:
        return Judgement(Outcome.UNPARSED, "no digit")
    same = int(digits[-1]) % 2 == int(candidate.gold) % 2
    return Judgement(Outcome.CORRECT if same else Outcome.INCORRECT, "parity", answer=digits[-1])


def verifier(options) -> Verifier:
    return Verifier("parity", "1.0", parity, options)


async def twice(context: Context) -> list[Draft]:
    """Ask again, once, where the first answer was wrong."""
    path = str(context.index)
    completion, seed = await context.generate(context.template, path)
    drafts = [Draft(path, TraceKind.SAMPLE, context.template, completion, seed)]
    judged = await context.verify(completion.text, completion.finish_reason)
    if judged.outcome is Outcome.INCORRECT:
        completion, seed = await context.generate(context.template, f"{path}/again", draw=1)
        drafts.append(Draft(f"{path}/again", TraceKind.REVISION, context.template, completion, seed, parent=path))
    return drafts
'''


def test_a_verifier_and_a_strategy_from_one_file_outside_the_repository(
    tmp_path: Path, tracemill: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    assert len(PLUGIN.splitlines()) <= 40
    (tmp_path / "mine.py").write_text(PLUGIN)
    lines = [json.dumps({"prompt": f"What is {n} + {n + 1}?", "gold": str(2 * n + 1)}) for n in range(20)]
    (tmp_path / "problems.jsonl").write_text("\n".join(lines))
    recipe = {
        "name": "own",
        "problems": [{"kind": "file", "path": "problems.jsonl", "verifier": "mine:verifier"}],
        "engine": {"kind": "simulated", "simulation": {"success": 0.5}},
        "strategy": {"kind": "mine:twice", "n": 2},
        "orchestrator": "none",
    }
    (tmp_path / "own.yaml").write_text(json.dumps(recipe))
    done = tracemill("run", "own.yaml", "--out", "run")
    assert done.returncode == 0, done.stderr
    query = (
        "SELECT verifier, outcome, count(*) AS n FROM verdicts v JOIN traces t ON t.trace_id = v.subject_id "
        "WHERE kind = 'sample' GROUP BY ALL"
    )
    answer = tracemill("sql", query, "--run", "run", "--format", "json")
    rows = json.loads(answer.stdout)
    assert {row["verifier"] for row in rows} == {"parity"}
    assert sum(row["n"] for row in rows) == 40
    assert {row["outcome"] for row in rows} <= {"correct", "incorrect", "unparsed"}
    wrong = sum(row["n"] for row in rows if row["outcome"] == "incorrect")
    kinds = tracemill(
        "sql", "SELECT count(*) AS n FROM traces WHERE kind = 'revision'", "--run", "run", "--format", "json"
    )
    assert json.loads(kinds.stdout)[0]["n"] == wrong > 0
