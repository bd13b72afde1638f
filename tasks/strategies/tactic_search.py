"""Proof search as a strategy: a tree of tactics over a theorem, and the proof that it found as the attempt.

What must stay true: no engine is asked for a tactic, and a tree depends on the problem, the parameters and the Lean that is installed; a proof is
one only by the problem's own verifier, which sees the whole theorem anew; the attempt is the proof, or without one the tactics that got
furthest, which the verifier then judges. One Lean process walks, in a thread of its own, for all problems of the run.
"""

from __future__ import annotations

import asyncio
import atexit
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import lru_cache
from typing import Any, Final

from tracemill.schemas import ids
from tracemill.schemas.enums import FinishReason, Outcome, TraceKind
from tracemill.schemas.errors import UsageError
from tracemill.tasks.domains.base import Draw
from tracemill.tasks.domains.lean import Lean, Proof, Propose, mark
from tracemill.tasks.domains.lean_propose import asking, weighed
from tracemill.tasks.engines.base import Completion
from tracemill.tasks.search.budget import Budgets
from tracemill.tasks.search.drive import gather_all, run_now
from tracemill.tasks.search.growth import Growth, grown, plant
from tracemill.tasks.search.registry import build_search, parameter_names
from tracemill.tasks.search.tree import Plot, Tree
from tracemill.tasks.search.values import Own
from tracemill.tasks.strategies.base import Context, Draft, Made, refuse_parameters
from tracemill.tasks.strategies.telling import PARAMETERS as TELLING
from tracemill.tasks.strategies.telling import Telling
from tracemill.verifiers.lean.tactics import TacticEnvironment, TacticProver, script

#: Tactics tried for one theorem, and the searches that make sense over them.
CALLS: Final = 400
SEARCHES: Final[Mapping[str, Mapping[str, Any]]] = {
    "best_first": {"by": "both", "length": 0.5},
    "mcts": {"iterations": 100, "stop_at_goal": True},
}
_OURS: Final = (
    "search",
    "finishing",
    "simp",
    "refute",
    "propose",
    "proposals",
    "step_tokens",
    "calls",
    "most",
    "max_nodes",
    "max_seconds",
    *TELLING,
)
PARAMETERS: Final = frozenset((*_OURS, *(name for search in SEARCHES for name in parameter_names(search))))

#: Who proposes tactics: the built-in portfolio, the engine, or both with half the weight each.
PROPOSERS: Final = ("portfolio", "engine", "both")
#: Answers that an engine gives about a state, the most tokens of each, and the tactics that are asked for in one.
PROPOSALS: Final = 4
STEP_TOKENS: Final = 128
ASKED: Final = 4

_WALKER: Final = ThreadPoolExecutor(max_workers=1, thread_name_prefix="lean-search")


async def tactic_search(context: Context) -> Made:
    """Search for a proof of the problem's ``statement``."""
    return await search_with(context, environment)


async def search_with(context: Context, prover: Callable[[], TacticProver]) -> Made:
    """``tactic_search`` on the prover that ``prover`` gives, in the thread of its own that walks."""
    given = context.parameters
    refuse_parameters("tactic_search", given, PARAMETERS)
    name = str(given.get("search", "best_first"))
    if name not in SEARCHES:
        raise UsageError(
            f"no proof search {name!r}", where="strategy.parameters.search", mend=f"known: {', '.join(SEARCHES)}"
        )
    telling = Telling.of(given, ["stream_of_search"])
    loop = asyncio.get_running_loop()

    async def judged(text: str) -> float:
        return float((await context.verify(text, FinishReason.STOP.value)).outcome is Outcome.CORRECT)

    def verify(text: str) -> float:  # called in the walker's thread
        return asyncio.run_coroutine_threadsafe(judged(text), loop).result()

    proposer = str(given.get("propose", PROPOSERS[0]))
    if proposer not in PROPOSERS:
        raise UsageError(
            f"nobody called {proposer!r} proposes tactics",
            where="strategy.parameters.propose",
            mend=f"known: {', '.join(PROPOSERS)}",
        )

    def ask(goals: tuple[str, ...], k: int, draw: Draw) -> list[tuple[str, float | None]]:  # in the walker's thread
        answers = asyncio.run_coroutine_threadsafe(_asked(context, goals, draw.first), loop).result()
        return [*weighed(answers)[:k]]

    propose = None if proposer == PROPOSERS[0] else ask
    seed = context.seed
    domain, tree = await loop.run_in_executor(_WALKER, lambda: _grown(context, name, prover(), verify, propose, seed))
    best = tree.best_leaf
    proved = best is not None and best.goal
    end = best if best is not None and proved else max(tree.nodes.values(), key=lambda n: (n.depth, -n.created))
    completion = Completion(script(domain.statement, end.state.tactics), FinishReason.STOP.value, completion_tokens=0)
    draft = Draft(
        str(context.index),
        TraceKind.SAMPLE,
        context.template,
        completion,
        seed,
        tree_id=tree.tree_id,
        node_id=end.node_id,
    )
    rows = await telling.rows(tree, domain, context, lambda stream: proved)
    return Made([draft], rows)


async def _asked(context: Context, goals: tuple[str, ...], first: int) -> list[Completion]:
    """What the engine answers about a state, all draws asked together."""
    given = context.parameters
    template = asking(context.template)
    sampling = replace(context.sampling, max_tokens=int(given.get("step_tokens", STEP_TOKENS)))
    variables = {"goals": "\n\n".join(goals), "k": str(ASKED)}
    path = f"{context.index}/tactics/{ids.text_hash(variables['goals'])[:20]}"
    draws = range(first, first + int(given.get("proposals", PROPOSALS)))
    answers = await gather_all(
        [context.generate(template, path, variables=variables, draw=draw, sampling=sampling) for draw in draws]
    )
    return [completion for completion, _ in answers]


def _grown(
    context: Context,
    name: str,
    prover: TacticProver,
    verify: Callable[[str], float],
    propose: Propose | None,
    seed: int,
) -> tuple[Lean, Tree[Proof]]:
    given = {**SEARCHES[name], **({} if propose is None else {"k": ASKED * PROPOSALS}), **context.parameters}
    budgets = Budgets(nodes=given.get("max_nodes"), seconds=given.get("max_seconds"))
    search = build_search(name, {key: given[key] for key in parameter_names(name) if key in given})
    domain = Lean(
        prover,
        verify,
        propose=propose,
        beside=given.get("propose") == "both",
        finishing=bool(given.get("finishing", True)),
        simp=bool(given.get("simp", True)),
        refute=bool(given.get("refute", True)),
        most=int(given.get("most", 24)),
        budget=int(given.get("calls", CALLS)),
    )
    state = domain.initial(context.problem)
    plot = Plot(context.problem.problem_id, context.policy_id, name, {"domain": "lean", **given}, seed)
    tree = plant(domain, plot, state, budgets)
    run_now(grown(search, Growth(domain, tree, budgets=budgets, value=Own(), merge="states")))
    mark(tree, domain)
    return domain, tree


@lru_cache(maxsize=1)
def environment() -> TacticEnvironment:
    """The Lean process of this run; installed and started where it is first needed, ended with us."""
    made = TacticEnvironment()
    atexit.register(made.close)
    return made
