"""The rows of ``sft``, ``all`` and ``unverified_mix``: a conversation and all that is known about it, one schema for the three.

What must stay true: the prompt is what the recorded template makes of the problem, so nothing that only the request saw
(a hint) gets into it; the assistant's last turn is the trace, word for word.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from tracemill.schemas.errors import UsageError
from tracemill.schemas.records import Problem
from tracemill.schemas.tables import MESSAGE
from tracemill.tasks.store import RunStore
from tracemill.tasks.templates import Template, question, render

MESSAGES: Final = pa.list_(MESSAGE)

_FROM_TRACE: Final = (
    "trace_id", "problem_id", "answer", "kind", "finish_reason", "completion_tokens", "policy_id", "template_id",
    "sampling_id", "seed", "sample_index", "round", "repeats", "error",
)  # fmt: skip
_FROM_FACTS: Final = (
    "verdict",
    "verifier",
    "verifier_version",
    "verdict_reason",
    "score",
    "pass_rate",
    "model",
    "split",
)
_FROM_PROBLEM: Final = {
    "problem": "prompt",
    "gold": "gold",
    "source": "source",
    "licence": "licence",
    "domain": "domain",
    "cluster_id": "cluster_id",
}

SCHEMA: Final = pa.schema(
    [
        ("messages", MESSAGES),
        ("problem_id", pa.string()),
        ("trace_id", pa.string()),
        ("problem", pa.string()),
        ("answer", pa.string()),
        ("gold", pa.string()),
        ("verdict", pa.string()),
        ("verifier", pa.string()),
        ("verifier_version", pa.string()),
        ("verdict_reason", pa.string()),
        ("score", pa.float64()),
        ("source", pa.string()),
        ("licence", pa.string()),
        ("domain", pa.string()),
        ("model", pa.string()),
        ("policy_id", pa.string()),
        ("template_id", pa.string()),
        ("sampling_id", pa.string()),
        ("seed", pa.int64()),
        ("sample_index", pa.int32()),
        ("round", pa.int32()),
        ("repeats", pa.int32()),
        ("kind", pa.string()),
        ("finish_reason", pa.string()),
        ("error", pa.string()),
        ("completion_tokens", pa.int64()),
        ("pass_rate", pa.float64()),
        ("cluster_id", pa.string()),
        ("split", pa.string()),
    ]
)
TRACE_COLUMNS: Final = [*_FROM_TRACE, "text", "messages"]


class Prompts:
    """Rendered prompts, each made once: (messages before the trace, what the assistant's turn begins with).

    ``incomplete``: ids of the templates that need variables of a strategy, so that no prompt can be made of them here.
    """

    def __init__(self, run: RunStore) -> None:
        templates = run.read("templates")
        self.problems = run.read("problems").combine_chunks()
        self.place = {problem: row for row, problem in enumerate(self.problems["problem_id"].to_pylist())}
        self._templates = {
            identity: _template(document)
            for identity, document in zip(
                templates["template_id"].to_pylist(), templates["template"].to_pylist(), strict=True
            )
        }
        self.incomplete = frozenset(
            identity for identity, template in self._templates.items() if not _complete(template)
        )
        self._made: dict[tuple[str | None, str], tuple[list[dict[str, str]], str]] = {}

    def before(self, template_id: str | None, problem_id: str) -> tuple[list[dict[str, str]], str]:
        key = (template_id, problem_id)
        if key not in self._made:
            self._made[key] = self._make(*key)
        return self._made[key]

    def _make(self, template_id: str | None, problem_id: str) -> tuple[list[dict[str, str]], str]:
        problem = self._problem(problem_id)
        template = self._templates.get(template_id) if template_id else None
        if template is None:
            return [{"role": "user", "content": question(problem)}], ""
        prompt = render(template, problem)
        if prompt.route == "chat":
            return [dict(message) for message in prompt.messages], prompt.prefill
        asked = prompt.text.removesuffix(prompt.prefill) if prompt.prefill else prompt.text
        return [{"role": "user", "content": asked}], prompt.prefill

    def _problem(self, problem_id: str) -> Problem:
        row = self.problems.slice(self.place[problem_id], 1).to_pylist()[0]
        return Problem(
            row["prompt"],
            row["verifier"],
            row["source"],
            gold=row["gold"],
            choices=tuple(row["choices"]) if row["choices"] is not None else None,
            problem_id=problem_id,
        )


class Rows:
    """Turns batches of traces into rows of ``SCHEMA``. ``facts`` has a row a trace (see ``select``)."""

    def __init__(self, prompts: Prompts, facts: pa.Table) -> None:
        self.prompts = prompts
        self._facts = facts
        self.place = {trace: row for row, trace in enumerate(facts["trace_id"].to_pylist())}

    def of(self, batch: pa.RecordBatch) -> pa.Table:
        """The rows of all traces in ``batch`` (columns ``TRACE_COLUMNS``), in its order."""
        traces, problems = batch["trace_id"].to_pylist(), batch["problem_id"].to_pylist()
        facts = self._facts.take(pa.array([self.place[trace] for trace in traces], pa.int64()))
        asked = self.prompts.problems.take(pa.array([self.prompts.place[p] for p in problems], pa.int64()))
        columns = {name: batch[name] for name in _FROM_TRACE}
        columns |= {name: facts[name] for name in _FROM_FACTS}
        columns |= {ours: asked[theirs] for ours, theirs in _FROM_PROBLEM.items()}
        columns["messages"] = self._messages(batch, problems)
        return pa.table([columns[name] for name in SCHEMA.names], schema=SCHEMA)

    def _messages(self, batch: pa.RecordBatch, problems: Sequence[str]) -> pa.Array:
        roles: list[str] = []
        contents: list[str] = []
        offsets = [0]
        recorded: list[Any] = batch["messages"].to_pylist()
        templates, texts = batch["template_id"].to_pylist(), batch["text"].to_pylist()
        for problem, template, text, held in zip(problems, templates, texts, recorded, strict=True):
            before, prefill = self.prompts.before(template, problem) if held is None else (earlier(held), "")
            for message in before:
                roles.append(message["role"])
                contents.append(message["content"])
            roles.append("assistant")
            contents.append(prefill + text)
            offsets.append(len(roles))
        turns = pa.StructArray.from_arrays(
            [pa.array(roles, pa.string()), pa.array(contents, pa.string())], fields=list(MESSAGE)
        )
        return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), turns, type=MESSAGES)


def earlier(messages: Sequence[dict[str, str]]) -> list[dict[str, str]]:
    """The turns before the last one of the assistant, which is the trace itself."""
    last = max((i for i, message in enumerate(messages) if message["role"] == "assistant"), default=len(messages))
    return list(messages[:last])


def in_view(rows: pa.Table, reasons: pa.Array) -> dict[str, pa.Table]:
    """Split -> those of ``rows`` that no reason keeps out."""
    kept = rows.filter(pc.is_null(reasons))
    names = kept["split"].unique().to_pylist()
    return {name: kept.filter(pc.equal(kept["split"], name)) if len(names) > 1 else kept for name in sorted(names)}


def _complete(template: Template) -> bool:
    try:
        render(template, Problem("", "", ""))
    except UsageError:
        return False
    return True


def _template(document: str) -> Template:
    fields = json.loads(document)
    return Template(**{**fields, "shots": tuple((shown, answer) for shown, answer in fields["shots"])})
