"""The view ``streams``: searches told as text, each beside its twin, the winning path alone. Splices have a view of their own.

What must stay true: a stream is in only where its replay was faithful and its end verified (``verified``), and where its
problem may be trained on; the tokenized form trains on the tokens that lie wholly in the loss spans; a twin is a
row of its own too, so that a trainer can take either; a rewrite stands beside its draft and the draft's twin.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import duckdb
import pyarrow as pa

from tracemill.schemas.enums import TreeStatus
from tracemill.schemas.errors import TracemillError, UsageError
from tracemill.schemas.recipe import ViewsSpec
from tracemill.schemas.tables import SPAN
from tracemill.tasks.linearize.fit import twin_of
from tracemill.tasks.linearize.registry import build_linearizer
from tracemill.tasks.linearize.rewrite import draft_name
from tracemill.tasks.store import Funnel
from tracemill.tasks.tokenizer import Tokenizer
from tracemill.tasks.views import tokenized
from tracemill.tasks.views.rows import MESSAGES, Prompts
from tracemill.tasks.views.select import DropRows

VIEW: Final = "streams"
#: Streams that are made into rows at a time.
BATCH: Final = 512

SCHEMA: Final = pa.schema(
    [
        ("messages", MESSAGES),
        ("stream_id", pa.string()),
        ("tree_id", pa.string()),
        ("problem_id", pa.string()),
        ("linearizer", pa.string()),
        ("loss_spans", pa.list_(SPAN)),  # in the assistant's turn
        ("backtracks", pa.int32()),
        ("dead_ends", pa.int32()),
        ("twin", pa.string()),
        ("twin_id", pa.string()),
        ("draft", pa.string()),  # what a rewrite was made of
        ("draft_id", pa.string()),
        (
            "token_ratio",
            pa.float64(),
        ),  # tokens of the stream to those of its twin; characters where no tokenizer is named
        ("strategy", pa.string()),
        ("parameters", pa.string()),
        ("policy_id", pa.string()),
        ("source", pa.string()),
        ("licence", pa.string()),
        ("domain", pa.string()),
        ("cluster_id", pa.string()),
        ("split", pa.string()),
    ]
)
TOKENIZED: Final = tokenized.SPLICED

_STREAMS: Final = """
SELECT s.stream_id, s.tree_id, s.linearizer, s.text, s.loss_spans, s.backtracks, s.dead_ends, s.verified,
    coalesce(s.tree_id, s.stream_id) AS told, p.problem_id, t.strategy, t.parameters,
    coalesce(t.policy_id, x.policy_id) AS policy_id, t.status, p.source, p.licence, p.domain, p.cluster_id,
    a.split, p.split AS own_split, f.reason AS flag, coalesce(m.template_id, x.template_id) AS template_id
FROM streams s
LEFT JOIN trees t ON t.tree_id = s.tree_id
LEFT JOIN traces x ON x.trace_id = s.trace_ids[1]
LEFT JOIN problems p ON p.problem_id = coalesce(t.problem_id, x.problem_id)
LEFT JOIN assigned a ON a.problem_id = p.problem_id
LEFT JOIN (SELECT subject_id, min(reason) AS reason FROM drops WHERE stage = 'problem' GROUP BY subject_id) f
    ON f.subject_id = p.problem_id
LEFT JOIN (SELECT tree_id, min(template_id) AS template_id FROM traces WHERE tree_id IS NOT NULL GROUP BY tree_id) m
    ON m.tree_id = s.tree_id
WHERE s.linearizer <> 'splice'
ORDER BY told, s.linearizer, s.stream_id
"""


@dataclass(frozen=True, slots=True)
class Part:
    """Some rows of ``SCHEMA``, and by split those of ``TOKENIZED``: none without a tokenizer, or where its template refuses."""

    rows: pa.Table
    tokens: list[tuple[str, pa.Table]]


class Streams:
    """The rows of the view, batch by batch; ``drops`` and ``funnels`` are whole when the batches are."""

    def __init__(
        self, connection: duckdb.DuckDBPyConnection, spec: ViewsSpec, prompts: Prompts, tokenizer: Tokenizer | None
    ) -> None:
        self._connection, self._spec, self._prompts, self._tokenizer = connection, spec, prompts, tokenizer
        self.drops = DropRows()
        self._all = self._in = self._whole = 0

    def batches(self) -> Iterator[Part]:
        """A tree's streams always come in one batch. Needs the table ``assigned``."""
        cursor = self._connection.execute(_STREAMS)
        names = [column[0] for column in cursor.description or []]
        held: list[dict[str, Any]] = []
        while found := cursor.fetchmany(BATCH):
            held += [dict(zip(names, row, strict=True)) for row in found]
            last = held[-1]["told"]
            yield self._part([row for row in held if row["told"] != last])
            held = [row for row in held if row["told"] == last]
        if held:
            yield self._part(held)

    def funnels(self) -> list[Funnel]:
        """One for the view, and one for its tokenized form."""
        stage = f"view:{VIEW}"
        reasons = [r for r, at in zip(self.drops.reason, self.drops.stage, strict=True) if at == stage]
        lost = {reason: reasons.count(reason) for reason in sorted(set(reasons))}
        found = [Funnel(stage, self._all, self._in, lost)]
        if self._tokenizer is not None:
            refused = {tokenized.REFUSED: self._in - self._whole} if self._in > self._whole else {}
            found.append(Funnel(stage + tokenized.SUFFIX, self._in, self._whole, refused))
        return found

    def _part(self, streams: Sequence[dict[str, Any]]) -> Part:
        told = {(row["told"], row["linearizer"]): row for row in streams}
        sizes: dict[str, int] = {}
        kept, tokens = [], []
        for row in streams:
            self._all += 1
            reason = self._reason(row)
            if reason is not None:
                self.drops.add(f"view:{VIEW}", row["stream_id"], reason, row["linearizer"])
                continue
            self._in += 1
            twin = told.get((row["told"], _twin_name(row["linearizer"])))
            draft = told.get((row["told"], draft_name(row["linearizer"])))
            messages, prefill = self._prompts.before(row["template_id"], row["problem_id"])
            said = [*messages, {"role": "assistant", "content": prefill + row["text"]}]
            spans = [{key: span[key] + len(prefill) for key in ("start", "end")} for span in row["loss_spans"]]
            kept.append(
                row
                | {
                    "messages": said,
                    "loss_spans": spans,
                    "twin": None if twin is None else twin["text"],
                    "twin_id": None if twin is None else twin["stream_id"],
                    "draft": None if draft is None else draft["text"],
                    "draft_id": None if draft is None else draft["stream_id"],
                    "token_ratio": None if twin is None else self._size(row, sizes) / max(1, self._size(twin, sizes)),
                }
            )
            if self._tokenizer is not None:
                made = self._tokens(self._tokenizer, kept[-1])
                if made is not None:
                    tokens.append(made)
        rows = [{name: row[name] for name in SCHEMA.names} for row in kept]
        self._whole += len(tokens)
        splits = sorted({row["split"] for row in tokens})
        return Part(
            pa.Table.from_pylist(rows, schema=SCHEMA),
            [
                (split, pa.Table.from_pylist([row for row in tokens if row["split"] == split], schema=TOKENIZED))
                for split in splits
            ],
        )

    def _tokens(self, tokenizer: Tokenizer, row: dict[str, Any]) -> dict[str, Any] | None:
        try:
            return tokenized.told_row(tokenizer, row) | {"split": row["split"]}
        except UsageError as error:
            self.drops.add(f"view:{VIEW}{tokenized.SUFFIX}", row["stream_id"], tokenized.REFUSED, error.what)
            return None

    def _size(self, row: dict[str, Any], sizes: dict[str, int]) -> int:
        """The tokens of a stream's text, counted once; characters where no tokenizer is named."""
        if row["stream_id"] not in sizes:
            text = row["text"]
            sizes[row["stream_id"]] = len(text) if self._tokenizer is None else len(self._tokenizer.encode(text))
        return sizes[row["stream_id"]]

    def _reason(self, row: dict[str, Any]) -> str | None:
        if row["split"] == "test" and not self._spec.include_test:
            return "test_split" if row["own_split"] == "test" else "near_test_split"
        if row["flag"] is not None:
            return f"problem_{row['flag']}"
        if row["template_id"] in self._prompts.incomplete:
            return "prompt_needs_variables"
        if not row["verified"]:
            return "unsolved" if row["status"] not in (None, TreeStatus.SOLVED) else "unverified"
        return None


def _twin_name(linearizer: str) -> str | None:
    try:
        return twin_of(build_linearizer(draft_name(linearizer) or linearizer)).name
    except TracemillError:  # of the user's own, from a module that is not here
        return None
