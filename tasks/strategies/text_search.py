"""Searches over a chain of thought as strategies: beam, DVTS, MCTS, Tree and Graph of Thoughts, best-of-n.

What must stay true: everything is asked through ``generate``, so a run that was killed grows the same tree again from its
ledger; the attempt itself is the tree's best end, every other end is a trace of its own kind, and the whole tree is
stored, losing branches included; an end that could not be checked is cut, never counted as wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from functools import partial
from typing import Any, Final

from tracemill.schemas.enums import FinishReason, NodeStatus, TraceKind
from tracemill.schemas.errors import UsageError
from tracemill.schemas.plugins import resolve
from tracemill.tasks.domains.running import runs
from tracemill.tasks.domains.text import UNCHECKED, Text, Thoughts
from tracemill.tasks.engines.base import Completion
from tracemill.tasks.search.budget import Budgets
from tracemill.tasks.search.drive import run
from tracemill.tasks.search.growth import Growth, grown, plant
from tracemill.tasks.search.registry import build_search, parameter_names, parameters_of
from tracemill.tasks.search.tree import Node, Plot, Tree
from tracemill.tasks.search.values import MonteCarlo, Own, Value, Votes
from tracemill.tasks.strategies.base import Context, Draft, Made, refuse_parameters
from tracemill.tasks.strategies.telling import PARAMETERS as TELLING
from tracemill.tasks.strategies.telling import Telling

_VALUES: Final[Mapping[str, Callable[[int], Value | None]]] = {
    "monte_carlo": lambda k: MonteCarlo(k),
    "votes": lambda k: Votes(k),
    "reward": lambda k: Own(source="reward"),
    "none": lambda k: None,
}
#: A strategy's value and how many times it is asked, and the parameters of its search, where a recipe does not say.
DEFAULTS: Final[Mapping[str, Mapping[str, Any]]] = {
    "beam": {"value": "monte_carlo", "value_k": 4},
    "best_of_n": {"value": "none"},
    "dvts": {"value": "monte_carlo", "value_k": 4},
    "got": {"value": "votes", "value_k": 3},
    "mcts": {"value": "monte_carlo", "value_k": 1, "k": 3, "parallel": 4, "iterations": 16},
    "tot": {"value": "votes", "value_k": 3, "expansion": "propose"},
}
_DOMAIN: Final = ("segmentation", "expansion", "step_tokens", "rollout_tokens", "max_steps", "ends", "vote_tokens")
_BUDGETS: Final = tuple(field.name for field in fields(Budgets))
_OURS: Final = ("value", "value_k", "reward", "merge", "code", *TELLING)


def parameters(name: str) -> frozenset[str]:
    """The parameters of the strategy ``name``: its search's, the domain's, the budgets, and those of values and streams."""
    return frozenset((*parameter_names(name), *_DOMAIN, *_BUDGETS, *_OURS, *(f"max_{key}" for key in _BUDGETS)))


def text_search(name: str) -> Callable[[Context], Any]:
    """The strategy that searches with ``name``."""
    return partial(_search, name)


async def _search(name: str, context: Context) -> Made:
    settings = Settings.of(name, context.parameters)
    domain = settings.domain(context)
    seed = context.seed
    tree = plant(domain, settings.plot(context, seed), domain.initial(context.problem), settings.budgets)
    growth = Growth(domain, tree, budgets=settings.budgets, value=settings.value, merge=settings.merge)
    await run(grown(settings.search, growth))
    cut_unchecked(tree, domain)
    rows = await settings.telling.rows(tree, domain, context, lambda stream: bool(tree.goals()))
    return Made(drafts_of(tree, context, seed, every=name == "best_of_n"), rows)


@dataclass(frozen=True, slots=True)
class Settings:
    """A strategy's parameters, read once. Raises ``UsageError`` for one that is not there or out of place."""

    name: str
    given: Mapping[str, Any]
    search: Any
    value: Value | None
    budgets: Budgets
    merge: Any
    telling: Telling

    @classmethod
    def of(cls, name: str, given: Mapping[str, Any]) -> Settings:
        merged = {**DEFAULTS.get(name, {}), **given}
        refuse_parameters(name, given, parameters(name))
        value = merged.get("value", "none")
        if value not in _VALUES:
            raise UsageError(
                f"no value {value!r}", where="strategy.parameters.value", mend=f"known: {', '.join(sorted(_VALUES))}"
            )
        own = {key: merged[key] for key in parameter_names(name) if key in merged}
        if "plan" in own:
            own["plan"] = tuple((str(verb), int(number)) for verb, number in own["plan"])
        return cls(
            name,
            merged,
            build_search(name, own),
            _VALUES[value](int(merged.get("value_k", 4))),
            Budgets(*(merged.get(f"max_{key}") for key in _BUDGETS)),
            merged.get("merge", "none" if name in ("tot", "best_of_n") else "states"),
            Telling.of(merged),
        )

    def domain(self, context: Context) -> Text:
        """The text domain of this attempt."""
        chosen = {key: self.given[key] for key in _DOMAIN if key in self.given}
        reward = self.given.get("reward")
        return Text(
            context.generate,
            context.verify,
            context.template,
            context.sampling,
            path=str(context.index),
            continues=context.capabilities.continue_prefix or context.template.route == "completion",
            runs=runs if self.given.get("code") else None,
            reward=None if reward is None else resolve(reward, {}, noun="reward", group="tracemill.rewards"),
            **{"rollout_tokens": context.sampling.max_tokens, **chosen},
        )

    def plot(self, context: Context, seed: int) -> Plot:
        """What identifies the tree: besides problem and policy all that changes an answer, or the limit of one."""
        all_of = {**self.given, **parameters_of(self.search), **context.asking}
        return Plot(context.problem.problem_id, context.policy_id, self.name, all_of, seed)


def drafts_of(tree: Tree[Thoughts], context: Context, seed: int, *, every: bool = False) -> list[Draft]:
    """The best end as the attempt itself, then each other end, as a rollout or (``every``) as a sample of its own.

    A search that reached no end gives its deepest, best text, aborted; one that nobody answered gives an error.
    """
    path = str(context.index)
    ends = sorted(
        (node for node in tree.leaves() if node.status in (NodeStatus.GOAL, NodeStatus.DEAD)),
        key=lambda n: (-(n.reward or 0.0), n.created),
    )
    if not ends:
        deepest = max(tree.nodes.values(), key=lambda n: (n.depth, n.value or 0.0, -n.created))
        if deepest is tree.root:
            failed = Completion("", FinishReason.ERROR.value, error="no request of this search was answered")
            return [Draft(path, TraceKind.SAMPLE, context.template, failed, seed, tree_id=tree.tree_id)]
        return [_draft(tree, deepest, context, path, TraceKind.SAMPLE, seed)]
    best, *others = ends
    kind = TraceKind.SAMPLE if every else TraceKind.ROLLOUT
    return [
        _draft(tree, best, context, path, TraceKind.SAMPLE, seed),
        *(_draft(tree, node, context, f"{path}/{node.node_id}", kind, seed) for node in others),
    ]


def cut_unchecked(tree: Tree[Thoughts], domain: Text) -> None:
    """Cut the ends that the verifier could not check, and the states that no request about was answered."""
    for node in tree.nodes.values():
        if node.status is NodeStatus.DEAD and node.state in domain.unchecked:
            node.status, node.prune_reason = NodeStatus.PRUNED, UNCHECKED


def _draft(
    tree: Tree[Thoughts], node: Node[Thoughts], context: Context, path: str, kind: TraceKind, seed: int
) -> Draft:
    lineage = node.lineage()
    finish = node.state.finish or FinishReason.ABORT.value
    known = {reason.value for reason in FinishReason}
    completion = Completion(
        node.state.text,
        finish if finish in known else FinishReason.ABORT.value,
        # a cut text is not one to be continued: its tree is what the budgets made it
        completion_tokens=None if finish == FinishReason.LENGTH.value else sum(above.tokens for above in lineage),
    )
    return Draft(path, kind, context.template, completion, seed, tree_id=tree.tree_id, node_id=node.node_id)
