"""A finished search as rows: its tree, what is told of it, and what a model makes of what was told.

What must stay true: streams and drops are a function of the tree, the parameters and the model's answers alone; a rewrite is
asked for through ``generate``, so it is in the ledger like any request; one that is refused is a drop with its reason, and
its draft stays.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from tracemill.schemas.enums import FinishReason
from tracemill.schemas.errors import UsageError
from tracemill.schemas.ids import canonical_json
from tracemill.schemas.records import Drop
from tracemill.tasks.domains.base import Domain
from tracemill.tasks.linearize import journey
from tracemill.tasks.linearize.base import Linearizer, Stream
from tracemill.tasks.linearize.fit import STAGE, Told, tell, token_counter, twin_of
from tracemill.tasks.linearize.registry import build_linearizer
from tracemill.tasks.linearize.rewrite import QUESTION, RECALL, SUFFIX, accepted
from tracemill.tasks.search.drive import gather_all
from tracemill.tasks.search.rows import edge_rows, node_rows, tree_row
from tracemill.tasks.search.tree import Tree
from tracemill.tasks.segment import split_reasoning
from tracemill.tasks.strategies.base import Context
from tracemill.tasks.templates import Template

#: The parameters that say what is told of a tree.
PARAMETERS: Final = (
    "streams",
    "stream_tokens",
    "stream_options",
    "tokenizer",
    "rewrite",
    "rewrite_tokens",
    "rewrite_recall",
    "rewrite_tries",
)

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Telling:
    """What is told of a tree, read once from a strategy's parameters. Raises ``UsageError`` for what cannot be rewritten."""

    linearizers: tuple[Linearizer, ...]
    rewritten: tuple[str, ...]
    given: Mapping[str, Any]

    @classmethod
    def of(cls, given: Mapping[str, Any], default: Sequence[str] = ()) -> Telling:
        """``default`` are the linearizers where no ``streams`` are named."""
        rewritten = tuple(given.get("rewrite", ()))
        names = dict.fromkeys((*given.get("streams", default), *rewritten))
        linearizers = tuple(build_linearizer(name) for name in names)
        for one in linearizers:
            if one.name in rewritten and (one is journey.TWIN or twin_of(one) is not journey.TWIN):
                raise UsageError(
                    f"{one.name!r} cannot be rewritten",
                    where="strategy.parameters.rewrite",
                    mend="name streams in paragraphs: journey, astro, interleaved, condensed",
                )
        return cls(linearizers, rewritten, given)

    @property
    def most(self) -> int | None:
        """The most tokens of a stream by ``count``."""
        return self.given.get("stream_tokens")

    def count(self, text: str) -> int:
        return token_counter(self.given.get("tokenizer"))(text)

    async def rows(
        self,
        tree: Tree[Any],
        domain: Domain[Any],
        context: Context,
        verified: Callable[[Stream], bool],
        *,
        told: Told | None = None,
        nodes: bool = True,
    ) -> dict[str, Sequence[Row]]:
        """The rows of ``tree``; ``verified`` says of a faithful stream whether its end and its lines are right.

        ``told`` is what is told already; without ``nodes`` the rows of ``nodes`` and ``edges`` are left out.
        """
        if told is None:
            options = self.given.get("stream_options")
            told = tell(tree, domain, self.linearizers, most=self.most, count=self.count, options=options)
        streams: list[Row] = [stream.row(tree.tree_id, verified(stream)) for stream in told.streams]
        drops = list(told.drops)
        drafts = [stream for stream in told.streams if stream.linearizer in self.rewritten]
        for draft, made in zip(drafts, await gather_all([self._rewrite(d, context) for d in drafts]), strict=True):
            if isinstance(made, str):
                drops.append(Drop(tree.tree_id, STAGE, made, draft.linearizer + SUFFIX))
            else:
                stream, how = made
                more = {"parameters": canonical_json({"draft_id": draft.stream_id(tree.tree_id), **how})}
                streams.append(stream.row(tree.tree_id, verified(draft)) | more)
        return {
            "trees": [tree_row(tree)],
            "nodes": node_rows(tree, domain.show) if nodes else [],
            "edges": edge_rows(tree) if nodes else [],
            "streams": streams,
            "drops": [drop.row() for drop in drops],
        }

    async def _rewrite(self, draft: Stream, context: Context) -> tuple[Stream, dict[str, Any]] | str:
        """``draft`` written again, and how; without an acceptable one in any of the tries, why the last one is none."""
        template = Template("rewrite", user=QUESTION, route=context.template.route)
        most = int(self.given.get("rewrite_tokens", context.sampling.max_tokens))
        reason = "rewrite_unanswered"
        for number in range(int(self.given.get("rewrite_tries", 1))):
            completion, seed = await context.generate(
                template,
                f"{context.index}/rewrite/{draft.linearizer}",
                variables={"draft": draft.text},
                draw=number,
                sampling=replace(context.sampling, max_tokens=most),
            )
            if completion.error is not None:
                reason = "rewrite_unanswered"
            elif completion.finish_reason == FinishReason.LENGTH.value:
                reason = "rewrite_cut"
            else:
                _, said, _ = split_reasoning(completion.text)
                found = accepted(draft, said, float(self.given.get("rewrite_recall", RECALL)))
                if found.stream is not None:
                    return found.stream, {"seed": seed, "recall": found.recall}
                reason = str(found.reason)
        return reason
