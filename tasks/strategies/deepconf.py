"""DeepConf as a strategy: many traces of a problem, the unsure ones stopped as they grow, the others vote (arXiv 2508.15260; §2.30).

What must stay true: the attempt is the vote's answer, whatever the verifier would have liked better; a trace that was stopped has
no answer, no vote and no row of ``traces``, and stays in the tree with all that it said; what is asked depends on the answers
so far alone, so a run that was killed asks for the same again.

A trace is grown by requests of ``chunk`` tokens, each of which goes on from the text so far, since the client does not stream:
a stop comes up to ``chunk`` tokens late, and each request sends the text so far again (which a server with a prefix cache
does not compute again) and keeps it in its row. So a trace of t tokens has t / chunk rows, which hold t * t / (2 * chunk) tokens of text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Final

from tracemill.schemas.enums import FinishReason, NodeStatus, Outcome, TraceKind, TreeStatus
from tracemill.schemas.errors import EngineError, UsageError
from tracemill.tasks.domains.text import UNCHECKED, Thoughts, show_thoughts
from tracemill.tasks.domains.text_prompts import continued
from tracemill.tasks.engines.base import Completion
from tracemill.tasks.search.budget import Budgets
from tracemill.tasks.search.deepconf import (
    WARM_UP,
    WINDOW,
    agreed,
    stops_at,
    threshold,
    trace_confidence,
    weighted_vote,
)
from tracemill.tasks.search.drive import gather_all
from tracemill.tasks.search.rows import edge_rows, node_rows, tree_row
from tracemill.tasks.search.tree import Node, Plot, Tree
from tracemill.tasks.strategies.base import Context, Draft, Made, refuse_parameters
from tracemill.verifiers.equivalence import normal_form
from tracemill.verifiers.extract import extract

NAME: Final = "deepconf"
LOW: Final = "low_confidence"
FAILED: Final = "unanswered"
#: Scores of a whole trace: over all its tokens, its last window, the worst tenth of its windows, its worst window.
SCORES: Final = ("mean", "tail", "bottom10", "least")


@dataclass(frozen=True, slots=True)
class Settings:
    """A recipe's parameters. ``keep`` is the paper's eta in percent: with ``online``, of the warm-up traces that set the least
    confidence; else of the traces that vote. ``share`` is the vote's at which nothing more is asked (None: never).
    """

    budget: int = 32
    warm_up: int = WARM_UP
    keep: float = 90.0
    window: int = WINDOW
    top: int = 20
    online: bool = True
    chunk: int = WINDOW
    parallel: int = 16
    score: str = "bottom10"
    share: float | None = 0.95

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Settings:
        """Raises ``UsageError`` for a parameter that is not there or out of place."""
        refuse_parameters(NAME, given, PARAMETERS)
        made = cls(**given)
        counts = ("budget", "warm_up", "window", "top", "chunk", "parallel")
        for name in counts:
            if not isinstance(getattr(made, name), int) or getattr(made, name) < 1:
                raise UsageError("not a whole number above 0", where=f"strategy.parameters.{name}")
        if not 0 < made.keep <= 100 or not (made.share is None or 0 < made.share <= 1):
            raise UsageError(
                "keep is a percentage above 0 and share a part of 1",
                where="strategy.parameters",
                mend="as keep: 90, share: 0.95",
            )
        if made.score not in SCORES:
            raise UsageError(
                f"no score {made.score!r}", where="strategy.parameters.score", mend=f"known: {', '.join(SCORES)}"
            )
        return made


PARAMETERS: Final = frozenset(field.name for field in fields(Settings))


@dataclass(frozen=True, slots=True)
class Trace:
    """One trace as far as it was grown. ``stopped`` is the token after which it was unsure, in a trace that was stopped."""

    number: int
    text: str
    finish: str
    confidences: tuple[float, ...]
    tokens: int
    seed: int
    stopped: int | None = None
    error: str | None = None

    @property
    def whole(self) -> bool:
        return self.error is None and self.stopped is None and bool(self.confidences)


async def deepconf(context: Context) -> Made:
    """Traces of the problem, and the vote of the sure ones as the attempt."""
    settings = Settings.of(context.parameters)
    if settings.online and not (context.capabilities.continue_prefix or context.template.route == "completion"):
        raise UsageError(
            "this engine cannot go on from a text, so no trace can be stopped",
            where="strategy.parameters.online",
            mend="set online: false, or use a server that continues a begun answer (vllm, local)",
        )
    if context.sampling.temperature == 0 and settings.budget > 1:
        raise UsageError("at temperature 0 all traces are one", where="sampling.temperature", mend="set it above 0")
    warm = min(settings.warm_up, settings.budget) if settings.online else settings.budget
    traces = list(await gather_all([_grow(context, settings, number, None) for number in range(warm)]))
    least: float | None = None
    if settings.online:
        floors = [trace_confidence(t.confidences, settings.window).least for t in traces if t.whole]
        least = threshold(floors, settings.keep) if floors else None
        while len(traces) < settings.budget and not _settled(traces, settings, least, context):
            more = range(len(traces), min(len(traces) + settings.parallel, settings.budget))
            traces += await gather_all([_grow(context, settings, number, least) for number in more])
    return await _made(context, settings, traces, least)


async def _grow(context: Context, settings: Settings, number: int, least: float | None) -> Trace:
    """Trace ``number``: whole in one request where nothing can stop it, else by chunks until it ends or is unsure."""
    limit = context.sampling.max_tokens
    trace = Trace(number, "", FinishReason.LENGTH.value, (), 0, 0)
    place = 0
    while trace.finish == FinishReason.LENGTH.value and trace.tokens < limit and trace.stopped is None:
        each = limit if least is None else min(settings.chunk, limit - trace.tokens)
        said, seed = await context.generate(
            continued(context.template) if trace.text else context.template,
            f"{context.index}/{number}/{place}",
            variables={"prefix": trace.text} if trace.text else None,
            sampling=replace(context.sampling, max_tokens=each, confidence=settings.top),
        )
        if said.error is not None:
            return replace(trace, error=said.error)
        if said.confidence is None and said.text:
            raise EngineError(
                "the server gives no log-probabilities of other tokens, which confidence is made of",
                where="strategy deepconf",
                mend="ask a server that gives top_logprobs (vLLM with --max-logprobs at least `top`, llama.cpp)",
            )
        new = said.confidence or ()
        tokens = said.completion_tokens if said.completion_tokens is not None else len(new)
        kept = trace.confidences[max(0, len(trace.confidences) - settings.window + 1) :]
        goes_on = said.finish_reason == FinishReason.LENGTH.value
        stop = stops_at((*kept, *new), least, settings.window) if least is not None and goes_on else None
        trace = replace(
            trace,
            text=trace.text + said.text,
            finish=said.finish_reason,
            confidences=trace.confidences + new,
            tokens=trace.tokens + tokens,
            seed=trace.seed if trace.text else seed,
            stopped=None if stop is None else len(trace.confidences) - len(kept) + stop,
        )
        place += 1
        if not said.text:  # a server that says nothing more is not asked for ever
            break
    return trace


def _voters(
    traces: Sequence[Trace], settings: Settings, least: float | None, context: Context
) -> dict[int, tuple[str | None, float]]:
    """Number of a trace -> the class of its answer and its score, of the whole traces that are sure enough."""
    found: dict[int, tuple[str | None, float]] = {}
    for trace in traces:
        if not trace.whole:
            continue
        confidence = trace_confidence(trace.confidences, settings.window)
        if least is None or confidence.least >= least:
            answer = extract(trace.text, trace.finish, choices=context.problem.choices).answer
            key = None if answer is None else normal_form(answer)
            found[trace.number] = (key, float(getattr(confidence, settings.score)))
    return found


def _settled(traces: Sequence[Trace], settings: Settings, least: float | None, context: Context) -> bool:
    voters = _voters(traces, settings, least, context).values()
    return settings.share is not None and agreed(list(voters), settings.share)


async def _made(context: Context, settings: Settings, traces: Sequence[Trace], least: float | None) -> Made:
    voters = _voters(traces, settings, least, context)
    votes = weighted_vote(list(voters.values()), 100.0 if settings.online else settings.keep)
    winner = next(iter(votes), None)
    # the vote's surest trace; without any answer the surest trace, and without any whole one the first
    chosen = max(
        voters, key=lambda n: (voters[n][0] is not None and voters[n][0] == winner, voters[n][1], -n), default=0
    )
    seed = context.seed
    plot = Plot(context.problem.problem_id, context.policy_id, NAME, {**context.parameters, **context.asking}, seed)
    budgets = {**Budgets(nodes=settings.budget + 1).document(), "confidence": least}
    tree: Tree[Thoughts] = Tree(plot, Thoughts(), budgets=budgets)
    tree.root.status = NodeStatus.EXPANDED
    judged = await gather_all([_judged(context, trace) for trace in traces])
    drafts: list[Draft] = []
    for trace, outcome in zip(traces, judged, strict=True):
        node = _node(trace, outcome, voters, settings)
        tree.link(tree.root, node, f"trace {trace.number}")
        if trace.whole and (outcome is not Outcome.ERROR or trace.number == chosen):
            drafts.append(_draft(context, tree, node, trace, chosen))
    drafts.sort(key=lambda draft: draft.path != str(context.index))
    end = tree.nodes[f"0,{chosen}"]
    if not drafts or drafts[0].path != str(context.index):
        failed = Completion(
            "", FinishReason.ERROR.value, error=traces[0].error or "no trace of this problem came to its end"
        )
        sample = TraceKind.SAMPLE
        drafts.insert(0, Draft(str(context.index), sample, context.template, failed, seed, tree_id=tree.tree_id))
    tree.status = TreeStatus.SOLVED if end.goal else TreeStatus.FINISHED
    row = tree_row(tree) | {"best_leaf": end.node_id if end.terminal else None}
    return Made(drafts, {"trees": [row], "nodes": node_rows(tree, show_thoughts), "edges": edge_rows(tree)})


async def _judged(context: Context, trace: Trace) -> Outcome | None:
    return (await context.verify(trace.text, trace.finish)).outcome if trace.whole else None


def _node(
    trace: Trace, outcome: Outcome | None, voters: Mapping[int, tuple[str | None, float]], settings: Settings
) -> Node[Thoughts]:
    """A trace as a child of the root. Its value is its score; it was visited where it had a vote."""
    finish = FinishReason.ABORT.value if trace.stopped is not None else trace.finish
    node = Node(Thoughts((trace.text,), finish), tokens=trace.tokens, value_source="confidence")
    if trace.confidences:
        node.value = float(getattr(trace_confidence(trace.confidences, settings.window), settings.score))
    node.visits = int(trace.number in voters and voters[trace.number][0] is not None)
    if trace.error is not None or not trace.confidences:
        node.status, node.prune_reason = NodeStatus.PRUNED, FAILED
    elif trace.number not in voters:
        node.status, node.prune_reason = NodeStatus.PRUNED, LOW
    elif outcome is Outcome.ERROR:
        node.status, node.prune_reason = NodeStatus.PRUNED, UNCHECKED
    else:
        node.reward = float(outcome is Outcome.CORRECT)
        node.status = NodeStatus.GOAL if outcome is Outcome.CORRECT else NodeStatus.DEAD
    return node


def _draft(context: Context, tree: Tree[Thoughts], node: Node[Thoughts], trace: Trace, chosen: int) -> Draft:
    completion = Completion(
        trace.text,
        trace.finish,
        # a cut text is not one to be continued: the vote was taken with it as it is
        completion_tokens=None if trace.finish == FinishReason.LENGTH.value else trace.tokens,
    )
    path, kind = str(context.index), TraceKind.SAMPLE
    if trace.number != chosen:
        path, kind = f"{path}/{trace.number}", TraceKind.ROLLOUT
    return Draft(path, kind, context.template, completion, trace.seed, tree_id=tree.tree_id, node_id=node.node_id)
