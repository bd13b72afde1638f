"""Every search with the same number of nodes, against brute force, on Countdown and the Game of 24; and what a node costs.

    python benchmarks/search.py [--instances 60] [--picture FILE]

A search's budget counts every node that it made, pruned ones included. Brute force is a depth-first search without value or
threshold. Values: the sum heuristic for all; for the beam also the exact oracle, and the oracle told wrong one time in
five. MCTS is UCT valued by four playouts, which are no nodes, and PUCT with the heuristic as prior and value. All instances are solvable, so 100 % is the exhaustive oracle's own share.

The overhead is the CPU time of beam searches over text on the simulated engine with 256 requests in flight, less that of
the same requests without a search, per node (limit 0.3 ms).
"""

from __future__ import annotations

import argparse
import asyncio
import os
import tempfile
import time
from collections.abc import Callable
from typing import Any

from tracemill.schemas import ids
from tracemill.schemas.enums import Outcome
from tracemill.schemas.recipe import EngineSpec, SourceSpec, TemplateSpec
from tracemill.schemas.records import Problem
from tracemill.tasks.domains.countdown import Countdown, State
from tracemill.tasks.domains.text import Text
from tracemill.tasks.engines.base import Request, Sampling
from tracemill.tasks.engines.simulated import SimulatedEngine
from tracemill.tasks.search.budget import Budgets
from tracemill.tasks.search.drive import run, run_now
from tracemill.tasks.search.growth import Growth, grown, plant
from tracemill.tasks.search.registry import build_search, parameters_of
from tracemill.tasks.search.rng import mix
from tracemill.tasks.search.tree import Plot
from tracemill.tasks.search.values import MonteCarlo, Own, Reward, Squashed
from tracemill.tasks.sources.countdown import countdown, game24
from tracemill.tasks.template_library import build_template
from tracemill.tasks.templates import render
from tracemill.verifiers.base import Judgement

BUDGETS = (25, 50, 100, 200, 400, 800, 1600)
LIMIT_MS, IN_FLIGHT = 0.3, 256

#: Name -> (search for a budget of nodes, its parameters, its value). Those whose parameters depend on it are run anew for each.
Plan = tuple[str, Callable[[int], dict[str, Any]], str]
SEARCHES: dict[str, Plan] = {
    "brute force": ("dfs", lambda b: {"floor": None}, "none"),
    "dfs": ("dfs", lambda b: {}, "sum"),
    "bfs 5": ("bfs", lambda b: {"width": 5}, "sum"),
    "best-first": ("best_first", lambda b: {}, "sum"),
    "mcts, uct": ("mcts", lambda b: {"iterations": 10_000, "k": None, "stop_at_goal": True}, "playouts"),
    "mcts, puct": (
        "mcts",
        lambda b: {"iterations": 10_000, "k": None, "selection": "puct", "stop_at_goal": True},
        "squashed",
    ),
    "beam": ("beam", lambda b: {"width": max(1, b // 40), "k": None}, "sum"),
    "beam, oracle": ("beam", lambda b: {"width": 1, "k": None}, "oracle"),
    "beam, noisy oracle": ("beam", lambda b: {"width": max(1, b // 40), "k": None}, "noisy"),
    "dvts 4": ("dvts", lambda b: {"n": max(4, b // 12 * 4), "m": 4, "stop_at_goal": True}, "sum"),
    "best of n": ("best_of_n", lambda b: {"n": max(1, b // 3), "stop_at_goal": True}, "none"),
    "guess and check": ("guess_and_check", lambda b: {"n": None}, "sum"),
}


def solved_at(plan: Plan, state: State, rational: bool, seed: int) -> dict[int, bool]:
    """Budget -> whether the search solves ``state`` with so many nodes."""
    kind, parameters, value_name = plan
    once = parameters(BUDGETS[0]) == parameters(BUDGETS[-1])
    found = {}
    for budget in BUDGETS[-1:] if once else BUDGETS:
        made = goal_after(kind, parameters(budget), value_name, state, rational, seed, budget)
        found |= {b: made is not None and made <= b for b in (BUDGETS if once else [budget])}
    return found


def goal_after(
    kind: str, parameters: dict[str, Any], value_name: str, state: State, rational: bool, seed: int, budget: int
) -> int | None:
    """How many nodes there were when the first goal was made; None where it was not within ``budget``."""
    own: Any = value_name if value_name in ("sum", "oracle", "none") else "sum"
    policy: Any = "sum" if parameters.get("selection") == "puct" else "uniform"
    domain = Countdown(rational=rational, value_name=own, policy=policy)
    exact = Countdown(rational=rational, value_name="oracle")

    def noisy(seen: State) -> float:
        """The oracle, told wrong one time in five: a function of the state."""
        right = int(ids.digest("noise", seed, exact.key(seen))[6:12], 16) % 5 > 0
        return exact.value(seen) if right else 1.0 - exact.value(seen)

    value: Any = {
        "squashed": Squashed(Own("sum")), "playouts": MonteCarlo(4), "noisy": Reward(noisy),
    }.get(value_name, Own(value_name, ends=kind in ("dfs", "bfs")))  # fmt: skip
    search, limits = build_search(kind, parameters), Budgets(nodes=budget)
    plot = Plot("p", "m", search.name, parameters_of(search), mix(seed, 1))
    growth = Growth(domain, plant(domain, plot, state, limits), budgets=limits, value=value)
    tree = run_now(grown(search, growth))
    goals = [node.created for node in tree.goals()]
    return sum(node.created <= min(goals) for node in tree.nodes.values()) if goals else None


def curves(instances: list[State], rational: bool) -> dict[str, list[float]]:
    """Search -> the share of ``instances`` that it solves, for each of ``BUDGETS``."""
    found = {}
    for name, plan in SEARCHES.items():
        began = time.process_time()
        solved = [solved_at(plan, state, rational, seed) for seed, state in enumerate(instances)]
        found[name] = [sum(one[budget] for one in solved) / len(solved) for budget in BUDGETS]
        line = "".join(f"{100 * share:>7.0f}" for share in found[name])
        print(f"{name:<20}{line}{time.process_time() - began:>9.1f}", flush=True)
    return found


def picture(both: dict[str, dict[str, list[float]]], path: str) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, len(both), figsize=(14, 5.5), sharey=True)
    for axis, (game, found) in zip(axes, both.items(), strict=True):
        for place, (name, shares) in enumerate(found.items()):
            colour = "black" if name == "brute force" else pyplot.get_cmap("tab20")(place)
            axis.plot(BUDGETS, [100 * s for s in shares], color=colour, marker="os^vD"[place % 5], ms=4, label=name)
        axis.set(title=game, xscale="log", xlabel="nodes (pruned ones included)", ylim=(-2, 103))
        axis.set_xticks(BUDGETS, [str(budget) for budget in BUDGETS], minor=False)
        axis.grid(alpha=0.3)
    axes[0].set_ylabel("solved, %")
    axes[-1].legend(fontsize=9, loc="center left", bbox_to_anchor=(1.0, 0.5))
    figure.tight_layout()
    figure.savefig(path, dpi=120)


async def overhead(searches: int = 64, rounds: int = 12) -> tuple[float, float, int, int]:
    """(CPU ms a node with the search, without it, nodes, most requests in flight)."""
    engine = SimulatedEngine(
        EngineSpec(
            kind="simulated", concurrency=4096, simulation={"latency": 0.02, "steps": rounds + 2, "text_bytes": 2000}
        )
    )
    template, sampling = build_template(TemplateSpec()), Sampling(max_tokens=2048)
    problems = [Problem(f"What is {n} + 1?", "answer", "bench", gold=str(n + 1)) for n in range(searches)]
    asked: dict[str, list[tuple[Any, ...]]] = {}
    flying = most = 0

    async def ask(problem: Problem, used: Any, path: str, variables: Any, draw: int, how: Sampling) -> Any:
        nonlocal flying, most
        attempt = f"{problem.problem_id}/{path}"
        seed = ids.derive_seed(how.seed, attempt, draw)
        prompt = render(used, problem, variables)
        flying += 1
        most = max(most, flying)
        said = await engine.complete(
            Request(attempt, prompt.route, how, seed, draw, messages=prompt.messages, prompt=prompt.text,
                    prefix=prompt.prefill if prompt.route == "chat" else "", problem=problem)
        )  # fmt: skip
        flying -= 1
        return said, seed

    async def verify(response: str, finish: str) -> Judgement:
        return Judgement(Outcome.INCORRECT, "not asked")

    def tree_of(problem: Problem) -> Any:
        calls = asked.setdefault(problem.problem_id, [])

        async def generate(used: Any, path: str, *, variables: Any = None, draw: int = 0, sampling: Any = None) -> Any:
            call = (problem, used, path, variables, draw, sampling or plain)
            calls.append(call)
            return await ask(*call)

        plain = sampling
        domain = Text(generate, verify, template, sampling, step_tokens=256)
        search = build_search("beam", {"width": 1, "k": 4, "depth": rounds, "stop_at_goal": False})
        plot = Plot(problem.problem_id, "m", search.name, parameters_of(search), 1)
        tree = plant(domain, plot, domain.initial(problem), Budgets())
        return run(grown(search, Growth(domain, tree, value=Reward(len_of), merge="siblings")))

    began = time.process_time()
    trees = await asyncio.gather(*(tree_of(problem) for problem in problems))
    searched = time.process_time() - began
    nodes = sum(len(tree.nodes) for tree in trees)

    async def bare(calls: list[tuple[Any, ...]]) -> None:
        for first in range(0, len(calls), 4):
            await asyncio.gather(*(ask(*call) for call in calls[first : first + 4]))

    began = time.process_time()
    await asyncio.gather(*(bare(calls) for calls in asked.values()))
    alone = time.process_time() - began
    return 1000 * searched / nodes, 1000 * alone / nodes, nodes, most


def len_of(state: Any) -> float:
    return float(len(state.text))


def main() -> None:
    arguments = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    arguments.add_argument("--instances", type=int, default=60)
    arguments.add_argument("--picture", default=os.path.join(tempfile.gettempdir(), "tracemill-search.png"))
    given = arguments.parse_args()
    asyncio.run(overhead(8, 4))  # imports and caches
    with_search, without, nodes, most = asyncio.run(overhead())
    each = with_search - without
    print(
        f"tree search over text, simulated engine, {most} requests in flight, {nodes:,} nodes: {each:.3f} ms of CPU a node "
        f"({with_search:.3f} with the requests, {without:.3f} for them alone); limit {LIMIT_MS}: "
        f"{'ok' if each <= LIMIT_MS else 'OVER'}, ratio {each / LIMIT_MS:.2f}"
    )
    both = {}
    for game, source in (("Countdown", countdown), ("Game of 24", game24)):
        domain = Countdown(rational=game != "Countdown")
        spec = SourceSpec(kind="countdown" if game == "Countdown" else "game24", size=given.instances, seed=5)
        instances = [domain.initial(problem) for problem in source(spec)]
        print(f"\n{game}, {len(instances)} solvable instances: solved with so many nodes, %")
        print(f"{'nodes':<20}" + "".join(f"{budget:>7}" for budget in BUDGETS) + f"{'CPU s':>9}")
        both[game] = curves(instances, domain.rational)
    picture(both, given.picture)
    print(f"\nthe picture: {given.picture}")


if __name__ == "__main__":
    main()
