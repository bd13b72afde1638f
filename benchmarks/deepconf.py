"""DeepConf beside a plain majority vote: right answers and tokens at one budget of traces.

    python benchmarks/deepconf.py [--problems 100] [--budget 32] [--chunk 32]

On the simulated policy, whose confidence falls while a text is astray. "stopped" is the share of the traces behind the warm-up
that were stopped; "sent again" are prompt tokens beyond one prompt a trace, which a prefix cache spares the server.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
from typing import Any

from tracemill.flows.pipeline import synthesize
from tracemill.schemas.recipe import Recipe
from tracemill.tasks.queries import connect

SIMULATION = {"steps": 12, "success": 0.45, "text_bytes": 2400, "step_error": 0.08, "self_correction": 0.1,
              "wrong_answers": 2, "wrong_spread": 0.5}  # fmt: skip
WAYS: dict[str, dict[str, Any]] = {
    "offline, all vote": {"online": False, "keep": 100},
    "offline, best 10 %": {"online": False, "keep": 10},
    "online, keep 90": {"keep": 90, "share": None},
    "online, keep 10": {"keep": 10, "share": None},
    "online, keep 10, until settled": {"keep": 10, "share": 0.95},
}


def recipe(problems: int, budget: int, chunk: int, parameters: dict[str, Any]) -> Recipe:
    given = {"budget": budget, "window": 64, "chunk": chunk, "top": 20, **parameters}
    return Recipe.model_validate(
        {
            "name": "deepconf",
            "problems": [{"kind": "reasoning_gym", "family": "chain_sum", "size": problems}],
            "engine": {"kind": "simulated", "simulation": SIMULATION},
            "sampling": {"max_tokens": 2000},
            "strategy": {"kind": "deepconf", "n": 1, "parameters": given},
            "orchestrator": "none",
            "baseline": False,
        }
    )


def majority(connection: Any) -> float:
    """How often the most frequent answer of all traces of a problem is right; ties go to the first in the alphabet."""
    found = connection.execute(
        "SELECT avg(good::DOUBLE) FROM (SELECT arg_max(correct, (n, answer)) AS good FROM (SELECT t.problem_id, answer, count(*) AS n, "
        "bool_or(outcome = 'correct') AS correct FROM traces t JOIN final_verdict v ON v.subject_id = t.trace_id "
        "GROUP BY t.problem_id, answer) GROUP BY problem_id)"
    ).fetchone()
    return float(found[0])


def main() -> None:
    arguments = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    arguments.add_argument("--problems", type=int, default=100)
    arguments.add_argument("--budget", type=int, default=32)
    arguments.add_argument("--chunk", type=int, default=32)
    given = arguments.parse_args()
    print(f"{'way':<32}{'right':>8}{'tokens':>12}{'of all':>8}{'requests':>10}{'stopped':>9}{'sent again':>12}")
    base = None
    with tempfile.TemporaryDirectory() as folder:
        for place, (name, parameters) in enumerate(WAYS.items()):
            asked = recipe(given.problems, given.budget, given.chunk, parameters)
            run = asyncio.run(synthesize(asked, f"{folder}/{place}"))
            with connect([run]) as connection:
                right = connection.execute("SELECT avg(pass_rate) FROM pass_rate").fetchone()
                if base is None:
                    print(f"{'majority of the same traces':<32}{100 * majority(connection):>7.1f}%")
            requests = run.read("requests", ["completion_tokens", "prompt_tokens"]).to_pylist()
            tokens = sum(row["completion_tokens"] for row in requests)
            base = base or tokens
            nodes = run.read("nodes", ["depth", "state", "node_id"]).to_pylist()
            late = [row for row in nodes if row["depth"] and int(row["node_id"].split(",")[1]) >= 16]
            stopped = sum(json.loads(row["state"])["finish"] == "abort" for row in late) / max(len(late), 1)
            once = len([row for row in nodes if row["depth"]]) * min(row["prompt_tokens"] for row in requests)
            again = sum(row["prompt_tokens"] for row in requests) - once
            print(
                f"{name:<32}{100 * right[0]:>7.1f}%{tokens:>12,}{tokens / base:>8.2f}{len(requests):>10,}"
                f"{100 * stopped if parameters.get('online', True) else 0:>8.0f}%{again:>12,}"
            )


if __name__ == "__main__":
    main()
