"""Promise 2: from the published set alone, SQL leads to every request, which can be made again byte for byte."""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pytest

from tracemill.schemas.records import Problem
from tracemill.tasks.engines import wire
from tracemill.tasks.engines.base import Request, Sampling
from tracemill.tasks.templates import Template, render

RECIPES: dict[str, dict[str, Any]] = {
    "star": {"strategy": {"kind": "star", "n": 2}, "template": {"name": "think", "prefill": "<think>\n"}},
    "few_shot": {"template": {"name": "few_shot", "shots": [["1 + 1?", " \\boxed{2}"]]}, "sampling": {"stop": ["Q:"]}},
}

#: A request, and the text that it continued where an earlier one was cut at fewer tokens.
REQUESTS = """
WITH said AS (
    SELECT r.request_key, r.max_tokens, r.completion_tokens, coalesce(r.response, t.text) AS text
    FROM '{0}/requests/*.parquet' r
    LEFT JOIN '{0}/traces/*.parquet' t ON t.attempt_id = r.attempt_id AND t.completion_tokens = r.completion_tokens
    WHERE r.finish_reason = 'length'
)
SELECT r.*, p.*, m.model, f.template, s.sampling, said.text AS begun, said.completion_tokens AS used
FROM '{0}/requests/*.parquet' r
JOIN (SELECT DISTINCT attempt_id, problem_id, policy_id FROM '{0}/traces/*.parquet') t USING (attempt_id)
JOIN '{0}/problems/*.parquet' p USING (problem_id)
JOIN '{0}/policies/*.parquet' m USING (policy_id)
JOIN '{0}/templates/*.parquet' f USING (template_id)
JOIN '{0}/samplings/*.parquet' s USING (sampling_id)
LEFT JOIN said ON said.request_key = r.request_key AND said.max_tokens < r.max_tokens
"""


def body(row: dict[str, Any]) -> bytes:
    """The request of ``row`` as it went onto the wire."""
    definition = json.loads(row["template"])
    template = Template(**{**definition, "shots": tuple(map(tuple, definition["shots"]))})
    parameters = json.loads(row["sampling"])
    limit = row["max_tokens"] - (row["used"] or 0)
    sampling = Sampling(**{**parameters, "stop": tuple(parameters["stop"])}, max_tokens=limit)
    choices = tuple(row["choices"]) if row["choices"] else None
    problem = Problem(row["prompt"], row["verifier"], row["source"], choices=choices)
    prompt = render(template, problem, json.loads(row["variables"] or "{}"))
    prefix = (prompt.prefill if prompt.route == "chat" else "") + (row["begun"] or "")
    request = Request(
        row["attempt_id"],
        prompt.route,
        sampling,
        row["seed"],
        messages=prompt.messages,
        prompt=prompt.text,
        prefix=prefix,
    )
    return wire.encode(request, row["model"])


@pytest.mark.parametrize("kind", RECIPES)
def test_every_request_is_rebuilt_byte_for_byte(
    tmp_path: Path, tracemill: Callable[..., subprocess.CompletedProcess[str]], serve: Callable[..., Any], kind: str
) -> None:
    standin = serve(kind, "--answers", "0.5", "--reply-bytes", "300")
    lines = [json.dumps({"prompt": f"What is {n} + {n + 1}?", "gold": str(2 * n + 1)}) for n in range(6)]
    (tmp_path / "problems.jsonl").write_text("\n".join(lines))
    recipe = {
        "name": kind,
        "problems": [{"kind": "file", "path": "problems.jsonl", "verifier": "answer"}],
        "engine": {"kind": "openai", "model": "standin", "base_url": standin.url},
        "strategy": {"n": 2},
        "orchestrator": "none",
        **RECIPES[kind],
    }
    (tmp_path / "recipe.yaml").write_text(json.dumps(recipe))
    for limit in (20, 200):  # the second continues what the first cut
        done = tracemill("run", "recipe.yaml", "--out", "run", "--set", f"sampling.max_tokens={limit}")
        assert done.returncode == 0, done.stderr
    assert tracemill("publish", "run", "--repo", "me/set", "--dry-run", "set").returncode == 0
    cursor = duckdb.connect().execute(REQUESTS.format(tmp_path / "set" / "tables"))
    names = [column[0] for column in cursor.description or []]
    rebuilt = [hashlib.sha256(body(dict(zip(names, row, strict=True)))).hexdigest() for row in cursor.fetchall()]
    sent = [json.loads(line)["body"] for line in standin.log.read_text().splitlines()]
    assert len(sent) > 12
    assert sorted(rebuilt) == sorted(sent)
