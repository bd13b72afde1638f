"""The recipe `countdown` with its trees' nodes kept and left out: streams per CPU second, from problems to views.

    python benchmarks/countdown_recipe.py [--problems 2000]

With `nodes: false` compiled code searches and tells; all else of a run (verdicts, rows, commits, views) is the same work. Each
way is run with the recipe's tokenizer, which measures every stream and makes the tokenized view, and without one. The
streams are compared row by row. Compilation and imports are not counted: a small run goes ahead.
"""

from __future__ import annotations

import argparse
import asyncio
import resource
import tempfile
from typing import Any

from tracemill.flows.pipeline import synthesize
from tracemill.flows.recipes.load import load_recipe
from tracemill.schemas.recipe import Recipe


def recipe(problems: int, nodes: bool, tokenizer: bool) -> Recipe:
    document: dict[str, Any] = load_recipe("countdown").model_dump(mode="json")
    document["orchestrator"], document["baseline"] = "none", False
    document["problems"][0]["size"] = problems
    document["strategy"]["parameters"]["nodes"] = nodes
    if not tokenizer:
        del document["strategy"]["parameters"]["tokenizer"]
        document["views"]["tokenizer"] = None
    return Recipe.model_validate(document)


def seconds() -> float:
    own, children = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime


def main() -> None:
    arguments = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    arguments.add_argument("--problems", type=int, default=2000)
    problems = arguments.parse_args().problems
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(synthesize(recipe(20, False, True), f"{folder}/ahead"))
        for tokenizer in (True, False):
            rates, rows = [], []
            for nodes in (True, False):
                began = seconds()
                run = asyncio.run(synthesize(recipe(problems, nodes, tokenizer), f"{folder}/{tokenizer}-{nodes}"))
                streams = run.read("streams").sort_by("stream_id")
                rates.append(streams.num_rows / (seconds() - began))
                rows.append(streams)
                print(
                    f"{'with' if tokenizer else 'without'} the tokenizer, nodes {'kept' if nodes else 'left out'}: "
                    f"{streams.num_rows:,} streams, {rates[-1]:,.0f} per CPU second, {run.read('nodes').num_rows:,} nodes"
                )
            same = "the same streams" if rows[0].equals(rows[1]) else "OTHER STREAMS"
            print(f"  {rates[1] / rates[0]:.1f} x, {same}")


if __name__ == "__main__":
    main()
