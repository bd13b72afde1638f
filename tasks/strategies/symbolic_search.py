"""Searches over an exact, symbolic domain as strategies: no step is asked of an engine, and each is legal by construction.

What must stay true: a tree depends on the problem, the parameters, the sampling seed and the attempt's index alone, so an
interrupted run grows it again; the attempt's text is the best end's solution and is judged by the problem's own verifier,
whatever the search thinks of it; a stream is ``verified`` only where parsing it gives the visited path back, its grammar's
strict check (if it has one) finds no error, and that verdict is ``correct``.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from functools import partial
from typing import Any, Final

from tracemill.schemas.enums import FinishReason, Outcome, TraceKind, TreeStatus
from tracemill.schemas.errors import DataError, EngineError, UsageError
from tracemill.schemas.records import Drop, Problem
from tracemill.tasks.domains.base import Domain, Draw
from tracemill.tasks.domains.countdown import Countdown, expression
from tracemill.tasks.domains.countdown_instances import WIDTHS
from tracemill.tasks.domains.sudoku import Sudoku
from tracemill.tasks.engines.base import Completion
from tracemill.tasks.linearize import direct, stream_of_search
from tracemill.tasks.linearize.base import Stream
from tracemill.tasks.linearize.fit import STAGE, TOO_LONG, Told, within
from tracemill.tasks.search.budget import Budgets
from tracemill.tasks.search.drive import run_now
from tracemill.tasks.search.growth import Growth, Search, grown, plant
from tracemill.tasks.search.guided import Guided
from tracemill.tasks.search.registry import build_search, parameter_names, parameters_of, search_of
from tracemill.tasks.search.rng import SplitMix, mix
from tracemill.tasks.search.rows import tree_row
from tracemill.tasks.search.tree import Plot, Tree
from tracemill.tasks.search.values import MonteCarlo, Own, Squashed, Value
from tracemill.tasks.strategies import compiled_search
from tracemill.tasks.strategies.base import Context, Draft, Made, refuse_parameters
from tracemill.tasks.strategies.telling import PARAMETERS as TELLING
from tracemill.tasks.strategies.telling import Telling
from tracemill.verifiers.stream_of_search import replay

#: The strategy that draws a depth- or breadth-first search for each attempt, as Stream of Search does (algorithms §2.19).
MIXTURE: Final = "stream_of_search"
MONTE_CARLO: Final = "monte_carlo"
DOMAINS: Final[Mapping[str, tuple[str, ...]]] = {
    "countdown": ("sum", "mult", "oracle", "none"),
    "game24": ("sum", "mult", "oracle", "none"),
    "sudoku": ("freedom", "oracle", "none"),
}
#: Searches that walk on chains of thought too, and those that are strategies on symbolic domains alone.
SHARED: Final = ("beam", "best_of_n", "dvts", "mcts")
ALONE: Final = (MIXTURE, "best_first", "bfs", "dfs", "guess_and_check")
_CHECKED: Final = frozenset({"stream_of_search", "direct"})
_BUDGETS: Final = tuple(field.name for field in fields(Budgets))
_OURS: Final = ("domain", "value", "value_k", "merge", "cell", "guided", "nodes", *TELLING)
#: Of the trees that compiled code searched, one in so many is grown again and compared.
COMPARED: Final = 64


def parameters(name: str) -> frozenset[str]:
    """The parameters of the strategy ``name`` on a symbolic domain."""
    own = ("search", "width", "k") if name == MIXTURE else tuple(parameter_names(name))
    return frozenset((*own, *_OURS, *(f"max_{budget}" for budget in _BUDGETS)))


def symbolic_search(name: str) -> Callable[[Context], Any]:
    """The strategy that searches with ``name``: a search's name, or ``MIXTURE``."""
    return partial(_search, name)


async def _search(name: str, context: Context) -> Made:
    given = context.parameters
    refuse_parameters(name, given, parameters(name))
    telling = Telling.of(given, [MIXTURE])
    seed = context.seed
    domain_name = _domain_name(context)
    settings = _mixed(given, seed, domain_name) if name == MIXTURE else {**given, "search": name}
    plan = _Plan.of(context.problem, context.policy_id, domain_name, settings, seed)
    nodes = bool(given.get("nodes", True))
    if not nodes and plan.budgets.seconds is not None:
        raise UsageError(
            "nodes of a search that the clock may cut cannot be left out",
            where="strategy.parameters.nodes",
            mend="leave max_seconds out: without it a tree can be grown again from its row",
        )
    domain = plan.domain
    found = None if nodes else _compiled(plan, telling)
    tree, told = (plan.grow(), None) if found is None else found
    await asyncio.sleep(0)  # a long run of searches leaves the loop its turns
    text = _said(domain, tree)
    judgement = await context.verify(text, FinishReason.STOP.value)
    correct = judgement.outcome is Outcome.CORRECT
    rows = await telling.rows(
        tree, domain, context, lambda stream: correct and _legal(stream, tree, domain), told=told, nodes=nodes
    )
    completion = Completion(text, FinishReason.STOP.value, completion_tokens=0)
    best = tree.best_leaf
    node_id = best.node_id if best is not None and best.goal else None
    draft = Draft(
        str(context.index), TraceKind.SAMPLE, context.template, completion, seed, tree_id=tree.tree_id, node_id=node_id
    )
    return Made([draft], rows)


def _mixed(given: Mapping[str, Any], seed: int, domain: str) -> dict[str, Any]:
    """The search that the mixture draws for this attempt; what ``given`` fixes is not drawn."""
    rng = SplitMix(mix(seed, 2))
    values = [value for value in DOMAINS[domain] if value not in ("oracle", "none")]
    value = values[rng.below(len(values))]
    search = ("dfs", "bfs")[rng.below(2)]
    width = WIDTHS[rng.below(len(WIDTHS))]
    drawn: dict[str, Any] = {"value": value, "search": search, "width": width, **given}
    if drawn["search"] not in ("dfs", "bfs"):
        raise UsageError(
            f"stream_of_search does not search with {drawn['search']!r}",
            where="strategy.parameters.search",
            mend="use dfs or bfs, leave it out for both, or name the search as strategy.kind",
        )
    if drawn["search"] == "dfs":
        del drawn["width"]
    return drawn


@dataclass(frozen=True, slots=True)
class _Plan:
    """All that a tree is grown from."""

    plot: Plot
    domain: Domain[Any]
    state: Any
    search: Search
    value: Value
    merge: Any
    budgets: Budgets

    @classmethod
    def of(
        cls,
        problem: Problem,
        policy_id: str,
        domain_name: str,
        settings: Mapping[str, Any],
        seed: int,
        search: Search | None = None,
    ) -> _Plan:
        name = settings["search"]
        if search is None:
            search = build_search(name, {key: settings[key] for key in parameter_names(name) if key in settings})
        value_name = settings.get("value", DOMAINS[domain_name][0])
        domain = _domain(domain_name, value_name, settings)
        all_of = {**parameters_of(search), "domain": domain_name, "value": value_name}
        all_of |= {key: settings[key] for key in ("value_k", "merge", "cell", "guided") if key in settings}
        return cls(
            Plot(problem.problem_id, policy_id, search.name, all_of, seed),
            domain,
            domain.initial(problem),
            Guided(search, _oracle(domain_name)) if settings.get("guided") else search,
            _value(name, value_name, int(settings.get("value_k", 8))),
            settings.get("merge", "none"),
            Budgets(*(settings.get(f"max_{budget}") for budget in _BUDGETS)),
        )

    def grow(self) -> Tree[Any]:
        tree = plant(self.domain, self.plot, self.state, self.budgets)
        growth = Growth(self.domain, tree, budgets=self.budgets, value=self.value, merge=self.merge)
        return run_now(grown(self.search, growth))


def regrown(tree: Mapping[str, Any], problem: Problem) -> tuple[Domain[Any], Tree[Any]]:
    """The whole tree that a row of ``trees`` of a symbolic search stands for, and its domain, whether its nodes were kept or not.

    Raises ``DataError`` where it is none, or was cut by the clock.
    """
    given = json.loads(tree["parameters"])
    budgets = json.loads(tree["budgets"])
    domain_name = given.pop("domain", None)
    where = f"tree {tree['tree_id']}"
    if domain_name not in DOMAINS or budgets.get("seconds") is not None:
        raise DataError("only a symbolic search without a clock can be grown again", where=where)
    settings = {**given, **{f"max_{key}": value for key, value in budgets.items()}, "search": tree["strategy"]}
    search = search_of(tree["strategy"], given)
    plan = _Plan.of(problem, tree["policy_id"], domain_name, settings, int(tree["seed"]), search)
    if plan.plot.tree_id != tree["tree_id"]:
        raise DataError("this is not the problem, or not the Tracemill, that the tree was grown with", where=where)
    return plan.domain, plan.grow()


def _compiled(plan: _Plan, telling: Telling) -> tuple[Tree[Any], Told] | None:
    """What compiled code finds and tells, None where it is not for this search, or where a stream must be shortened."""
    names = {linearizer.name for linearizer in telling.linearizers}
    if not names <= _CHECKED or telling.rewritten or plan.merge != "none":
        return None
    if not isinstance(plan.domain, Countdown):
        return None
    if not compiled_search.covers(plan.search, plan.domain, plan.budgets, plan.state):
        return None
    found = compiled_search.found(plan.search, plan.domain, plan.plot, plan.state)
    if plan.plot.seed % COMPARED == 0:
        _compare(plan, found)
    tree_id, solved = plan.plot.tree_id, found.tree.status is TreeStatus.SOLVED
    streams, drops = [], []
    if solved:
        streams.append(direct.write(found.tree, plan.domain))
    else:
        drops.append(Drop(tree_id, STAGE, direct.UNSOLVED, direct.NAME))
    if stream_of_search.NAME in names:
        if telling.most is None or within(found.stream.text, telling.most, telling.count):
            streams.append(found.stream)
        elif solved:
            return None
        else:
            drops.append(Drop(tree_id, STAGE, TOO_LONG, stream_of_search.NAME))
    return found.tree, Told(tuple(streams), tuple(drops))


def _compare(plan: _Plan, found: compiled_search.Found) -> None:
    tree = plan.grow()
    stream = replace(stream_of_search.write(tree, plan.domain), told=())
    if stream != found.stream or tree_row(tree) != tree_row(found.tree):
        raise EngineError(
            "compiled code and the search itself do not agree",
            where=f"problem {plan.plot.problem_id}, seed {plan.plot.seed}",
            mend="set strategy.parameters.nodes to true, and report this",
        )


def _domain_name(context: Context) -> str:
    """What the recipe says, else the problem's own."""
    name = str(context.parameters.get("domain") or context.problem.domain.rpartition("/")[2])
    if name not in DOMAINS:
        raise DataError(
            f"no symbolic domain for problems of {context.problem.domain!r}",
            where=f"problem {context.problem.problem_id}",
            mend=f"name one with strategy.parameters.domain: {', '.join(DOMAINS)}",
        )
    return name


def _oracle(domain_name: str) -> Callable[[Any], bool]:
    """Whether the goal can be reached from a state."""
    exact = _domain(domain_name, "oracle", {})
    return lambda state: bool(exact.value(state, Draw(0)))


def _domain(name: str, value: str, settings: Mapping[str, Any]) -> Domain[Any]:
    if value not in (*DOMAINS[name], MONTE_CARLO):
        raise UsageError(
            f"the domain {name!r} has no value {value!r}",
            where="strategy.parameters.value",
            mend=f"known: {', '.join((*DOMAINS[name], MONTE_CARLO))}",
        )
    own: Any = "none" if value == MONTE_CARLO else value
    if name == "sudoku":
        return Sudoku(own, settings.get("cell", "fewest"))
    return Countdown(rational=name == "game24", value_name=own)


def _value(search: str, name: str, k: int) -> Value:
    if name == MONTE_CARLO:
        return MonteCarlo(k)
    if search == "mcts":
        return Squashed(Own(name))
    return Own(name, ends=search in ("dfs", "bfs"))


def _said(domain: Domain[Any], tree: Tree[Any]) -> str:
    """The solution as an answer to the problem; nothing where the search found none."""
    best = tree.best_leaf
    if best is None or not best.goal:
        return ""
    if isinstance(domain, Countdown):
        steps = best.actions()
        return "\n".join((*steps, f"\\boxed{{{expression(tree.root.state.numbers, steps)}}}"))
    return f"\\boxed{{{domain.show(best.state)}}}"


def _legal(stream: Stream, tree: Tree[Any], domain: Domain[Any]) -> bool:
    """Whether the strict check of the grammar, where it has one, finds no error; ``tell`` has parsed it back."""
    if domain.name != "countdown" or stream.linearizer not in _CHECKED:
        return True
    root = tree.root.state
    found = replay(stream.text, [int(n) for n in root.numbers], int(root.target))
    return not found.mistakes and found.solved
