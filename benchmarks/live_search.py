"""A live search on the embedded engine: how busy its slots are while work is left, and how much of a sibling's prompt it
finds in its cache.

    python benchmarks/live_search.py [--problems 50] [--searches beam mcts] [--prefix-cache 256]

Beam and MCTS with rollouts over small real sums, by a small real model on the CPU, every end verified. Limits: 80 % of the
slots busy from the first request until fewer searches are left than there are slots, and 50 % of the prompt tokens of
siblings (every request of a search after the first one) found in the cache. The share over the whole run, its tail included, and
the question-blind baseline are printed beside them.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from dataclasses import dataclass, field
from typing import Any

from tracemill.schemas.recipe import Recipe
from tracemill.tasks.engines.local import SLOTS, LocalEngine
from tracemill.tasks.labelling import Labeller
from tracemill.tasks.loading import load
from tracemill.tasks.plan import Attempts, plan
from tracemill.tasks.provenance import commit_policy
from tracemill.tasks.reporting.listener import NullListener
from tracemill.tasks.sampling import Budget, Sampler
from tracemill.tasks.sources import load_problems
from tracemill.tasks.store import RunStore
from tracemill.tasks.strategies.registry import build_strategy
from tracemill.tasks.template_library import build_template
from tracemill.verifiers.pool import VerifierPool

BUSY, CACHED = 0.80, 0.50
EVERY = 0.02  # seconds between two looks at the engine

PARAMETERS: dict[str, dict[str, Any]] = {
    "beam": {"width": 2, "k": 3, "depth": 4, "value_k": 3},
    "mcts": {"iterations": 8, "k": 3, "parallel": 4, "value_k": 1},
}
TEXT = {"segmentation": "line", "step_tokens": 24, "rollout_tokens": 32, "max_steps": 4, "streams": ["journey"]}
SHOTS = [
    ["Calculate 7 - 3 + 5.", " 7 - 3 = 4\n4 + 5 = 9\n#### 9"],
    ["Calculate 12 + 30 - 4.", " 12 + 30 = 42\n42 - 4 = 38\n#### 38"],
    ["Calculate 25 - 11 + 8.", " 25 - 11 = 14\n14 + 8 = 22\n#### 22"],
    ["Calculate 3 + 16 + 2.", " 3 + 16 = 19\n19 + 2 = 21\n#### 21"],
]


@dataclass
class Watch(NullListener):
    """Looks at the engine while searches run; knows how many are left."""

    engine: LocalEngine
    left: int
    looks: list[tuple[int, int]] = field(default_factory=list)  # (requests in flight, searches left)

    def advance(self, stage: str, count: int = 1) -> None:
        self.left -= count

    async def look(self) -> None:
        while True:
            self.looks.append((self.engine.stats.in_flight, self.left))
            await asyncio.sleep(EVERY)

    def busy(self, least: int) -> float:
        """The share of slots busy over all looks with at least ``least`` searches left."""
        seen = [min(flying, SLOTS) / SLOTS for flying, left in self.looks if left >= least]
        return sum(seen) / max(len(seen), 1)


def recipe(kind: str, problems: int) -> Recipe:
    options = {"min_terms": 2, "max_terms": 3, "min_digits": 1, "max_digits": 1}
    return Recipe.model_validate(
        {
            "name": f"live-{kind}",
            "problems": [
                {"kind": "reasoning_gym", "family": "chain_sum", "size": problems, "seed": 5, "options": options}
            ],
            "engine": {"kind": "local"},
            "template": {"name": "few_shot", "shots": SHOTS},
            "sampling": {"temperature": 0.8, "top_k": 40, "max_tokens": 32, "stop": ["Question:"]},
            "strategy": {"kind": kind, "n": 1, "parameters": {**TEXT, **PARAMETERS[kind]}},
        }
    )


async def measure(kind: str, engine: LocalEngine, problems: int) -> bool:
    asked = recipe(kind, problems)
    loaded = load_problems(asked.problems)
    with tempfile.TemporaryDirectory() as folder, RunStore.start(f"{folder}/run", asked) as run:
        chosen = load(run, loaded, None)
        attempts = Attempts.of(asked, engine.policy, build_template(asked.template))
        commit_policy(run, engine.policy)
        todo = plan(run, chosen, asked, attempts)
        watch = Watch(engine, todo.owed)
        async with VerifierPool(1) as pool:
            judge = Labeller(run, pool, chosen, [], watch).judge
            sampler = Sampler(
                run, engine, attempts, build_strategy(kind), todo, judge, watch, lambda key: None, Budget()
            )
            looking = asyncio.create_task(watch.look())
            wall = time.perf_counter()
            await asyncio.gather(*(sampler.sample(shard) for shard in todo.shards))
            wall = time.perf_counter() - wall
            looking.cancel()
        requests, trees = run.read("requests").to_pylist(), run.read("trees").to_pylist()
        nodes, streams = run.read("nodes", ["status"]).to_pylist(), run.read("streams", ["linearizer"]).to_pylist()
        traces = run.read("traces", ["problem_id", "answer", "kind"]).to_pylist()
    first: set[str] = set()
    prompt = cached = 0
    for row in requests:
        search = row["attempt_id"]
        if search in first:
            prompt += row["prompt_tokens"] or 0
            cached += row["cached_tokens"] or 0
        first.add(search)
    solved = sum(tree["status"] == "solved" for tree in trees)
    completion = sum(row["completion_tokens"] or 0 for row in requests)
    busy, whole, hits = watch.busy(SLOTS), watch.busy(1), cached / max(prompt, 1)
    print(
        f"{kind}: {len(trees)} trees, {len(nodes)} nodes, {len(requests)} requests, {completion} completion tokens, "
        f"{wall:.0f} s ({completion / wall:.0f} tokens/s); {solved} solved, "
        f"{sum(n['status'] == 'goal' for n in nodes)} goals, {len(streams)} streams, {len(traces)} traces"
    )
    print(f"  slots busy while work is left: {busy:.1%} (limit {BUSY:.0%}); over the whole run {whole:.1%}")
    print(f"  prompt tokens of siblings found in the cache: {hits:.1%} (limit {CACHED:.0%})")
    return busy >= BUSY and hits >= CACHED


async def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--problems", type=int, default=50)
    parser.add_argument("--searches", nargs="+", default=["beam", "mcts"], choices=sorted(PARAMETERS))
    parser.add_argument("--prefix-cache", type=int, default=256, help="MiB of earlier prompts that the engine keeps")
    args = parser.parse_args()
    arguments = ["--prefix-cache", str(args.prefix_cache)] if args.prefix_cache else []
    good = True
    with tempfile.TemporaryDirectory() as home:
        for kind in args.searches:
            spec = recipe(kind, args.problems).engine.model_copy(update={"arguments": arguments})
            async with LocalEngine(spec, home) as engine:
                good &= await measure(kind, engine, args.problems)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
