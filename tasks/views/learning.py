"""The views of what was mined, in the exact columns that TRL's trainers take, with what explains each row beside them.

``corrections``: prompt-completion; ``splices``: messages, with loss spans over the last turn; ``preference`` and
``step_preference``: prompt, chosen, rejected; ``unpaired``: prompt, completion, label; ``stepwise``: prompt, completions, labels.
What must stay true: rows of a test split are in no view unless the recipe says so; a splice is in only where it was
verified; what a correction is asked for does not tell whether the attempt is right; labels of steps have no gap.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import duckdb
import pyarrow as pa

from tracemill.schemas.recipe import ViewsSpec
from tracemill.schemas.tables import SPAN
from tracemill.tasks.mining.checks import SURPRISING
from tracemill.tasks.store import Funnel
from tracemill.tasks.views.rows import MESSAGES, Prompts

Row = dict[str, Any]
Messages = list[dict[str, str]]

#: What a correction is asked for, of right and wrong attempts alike.
CHECK: Final = "Check this solution. Where it is wrong, correct it; where it is right, give it again."

_BATCH: Final = 512
_S, _F, _B = pa.string(), pa.float64(), pa.bool_()

SCHEMAS: Final[Mapping[str, pa.Schema]] = {
    "corrections": pa.schema(
        [
            ("prompt", MESSAGES), ("completion", MESSAGES), ("pair_id", _S), ("kind", _S), ("wrong_id", _S), ("right_id", _S),
            ("problem_id", _S), ("feedback", _S), ("similarity", _F), ("first_error_step", pa.int32()),
            ("first_error_source", _S), ("on_policy", _B), ("weight", _F), ("split", _S),
        ]
    ),
    "splices": pa.schema(
        [
            ("messages", MESSAGES), ("loss_spans", pa.list_(SPAN)), ("stream_id", _S), ("trace_ids", pa.list_(_S)),
            ("problem_id", _S), ("detours", pa.int32()), ("parameters", _S), ("split", _S),
        ]
    ),
    "preference": pa.schema(
        [
            ("prompt", MESSAGES), ("chosen", MESSAGES), ("rejected", MESSAGES), ("preference_id", _S), ("chosen_id", _S),
            ("rejected_id", _S), ("problem_id", _S), ("on_policy", _B), ("weight", _F), ("split", _S),
        ]
    ),
    "step_preference": pa.schema(
        [
            ("prompt", MESSAGES), ("chosen", MESSAGES), ("rejected", MESSAGES), ("preference_id", _S), ("chosen_id", _S),
            ("rejected_id", _S), ("problem_id", _S), ("on_policy", _B), ("weight", _F), ("split", _S),
        ]
    ),
    "unpaired": pa.schema(
        [("prompt", MESSAGES), ("completion", MESSAGES), ("label", _B), ("trace_id", _S), ("problem_id", _S), ("split", _S)]
    ),
    "stepwise": pa.schema(
        [
            ("prompt", _S), ("completions", pa.list_(_S)), ("labels", pa.list_(_B)), ("trace_id", _S), ("problem_id", _S),
            ("source", _S), ("split", _S),
        ]
    ),
}  # fmt: skip

_QUERIES: Final[Mapping[str, str]] = {
    "corrections": """
SELECT p.*, w.problem_id, w.template_id, w.text AS wrong, r.text AS right_ FROM pairs p
JOIN traces w ON w.trace_id = p.wrong_id JOIN traces r ON r.trace_id = p.right_id
""",
    "splices": f"""
SELECT s.*, t.problem_id, t.template_id, a.split, s.stream_id IN ({SURPRISING}) AS surprising FROM streams s
JOIN traces t ON t.trace_id = s.trace_ids[len(s.trace_ids)] JOIN assigned a ON a.problem_id = t.problem_id
WHERE s.linearizer = 'splice'
""",
    "preference": """
SELECT p.*, c.template_id, c.text AS good, r.text AS bad FROM preferences p
JOIN traces c ON c.trace_id = p.chosen_id JOIN traces r ON r.trace_id = p.rejected_id WHERE p.kind = 'outcome'
""",
    "step_preference": """
SELECT p.*, c.template_id, c.text AS good, r.text AS bad, c.steps AS good_steps, r.steps AS bad_steps FROM preferences p
JOIN traces c ON c.trace_id = p.chosen_id JOIN traces r ON r.trace_id = p.rejected_id WHERE p.kind = 'step'
UNION ALL BY NAME
SELECT p.*, NULL::VARCHAR AS template_id, c.step AS good, r.step AS bad FROM preferences p
JOIN nodes c ON c.tree_id = split_part(p.chosen_id, ':', 1) AND c.node_id = split_part(p.chosen_id, ':', 2)
JOIN nodes r ON r.tree_id = split_part(p.rejected_id, ':', 1) AND r.node_id = split_part(p.rejected_id, ':', 2)
WHERE p.kind = 'sibling'
""",
    "unpaired": """
WITH sides AS (
    SELECT DISTINCT chosen_id AS trace_id, problem_id, true AS label, split FROM preferences WHERE kind = 'outcome'
    UNION ALL SELECT DISTINCT rejected_id, problem_id, false, split FROM preferences WHERE kind = 'outcome'
), placed AS (
    SELECT *, row_number() OVER (PARTITION BY problem_id, label ORDER BY trace_id) AS place FROM sides
), least AS (
    SELECT problem_id, min(n) AS n FROM (SELECT problem_id, label, count(*) AS n FROM sides GROUP BY ALL) GROUP BY problem_id
)
SELECT s.trace_id, s.problem_id, s.label, s.split, s.place > l.n AS surplus, t.template_id, t.text
FROM placed s JOIN least l ON l.problem_id = s.problem_id JOIN traces t ON t.trace_id = s.trace_id
""",
    "stepwise": """
WITH labelled AS (
    SELECT trace_id, segmenter, source, list(label ORDER BY step) AS labels, count(*) = max(step) + 1 AS whole
    FROM step_labels WHERE label IN ('right', 'wrong') GROUP BY ALL
), best AS (
    SELECT * FROM labelled WHERE whole
    QUALIFY row_number() OVER (PARTITION BY trace_id ORDER BY source <> 'human', source <> 'oracle', source <> 'consensus', source) = 1
)
SELECT b.*, t.problem_id, t.text, t.steps, a.split FROM best b
JOIN traces t ON t.trace_id = b.trace_id AND t.segmenter = b.segmenter
JOIN assigned a ON a.problem_id = t.problem_id
""",
}


def rows_of(
    connection: duckdb.DuckDBPyConnection, view: str, spec: ViewsSpec, prompts: Prompts
) -> Iterator[tuple[pa.Table, Funnel]]:
    """The rows of one view, some at a time, each with its share of the funnel. Needs the table ``assigned``."""
    make, stage = _MAKE[view], f"view:{view}"
    reader = connection.sql(_QUERIES[view]).to_arrow_reader(_BATCH)
    for batch in reader:
        made, dropped = [], Counter[str]()
        for row in batch.to_pylist():
            if row["split"] == "test" and not spec.include_test:
                dropped["test_split"] += 1
                continue
            found = make(row, prompts)
            if isinstance(found, str):
                dropped[found] += 1
            else:
                made.append(found)
        funnel = Funnel(stage, batch.num_rows, len(made), dict(sorted(dropped.items())))
        yield pa.Table.from_pylist(made, schema=SCHEMAS[view]), funnel


def asked(row: Row, prompts: Prompts) -> tuple[list[dict[str, str]], str]:
    """The messages before a trace, and what its turn begins with; the bare question where its template needs more."""
    template = row["template_id"]
    messages, prefill = prompts.before(None if template in prompts.incomplete else template, row["problem_id"])
    return list(messages), prefill


def to_correct(before: Messages, attempt: str) -> list[dict[str, str]]:
    """The messages before a correction: those before the attempt, the attempt, and ``CHECK``."""
    return [*before, *_said(attempt), {"role": "user", "content": CHECK}]


def _said(text: str) -> list[dict[str, str]]:
    return [{"role": "assistant", "content": text}]


def _correction(row: Row, prompts: Prompts) -> Row | str:
    before, prefill = asked(row, prompts)
    return {**row, "prompt": to_correct(before, prefill + row["wrong"]), "completion": _said(prefill + row["right_"])}


def _splice(row: Row, prompts: Prompts) -> Row | str:
    if not row["verified"]:
        return "not_verified"
    if row["surprising"]:
        return "seam_surprisal"
    before, prefill = asked(row, prompts)
    spans = [{"start": s["start"] + len(prefill), "end": s["end"] + len(prefill)} for s in row["loss_spans"]]
    messages = [*before, *_said(prefill + row["text"])]
    return {**row, "messages": messages, "loss_spans": spans, "detours": row["backtracks"]}


def _preference(row: Row, prompts: Prompts) -> Row | str:
    before, prefill = asked(row, prompts)
    return {**row, "prompt": before, "chosen": _said(prefill + row["good"]), "rejected": _said(prefill + row["bad"])}


def _step_preference(row: Row, prompts: Prompts) -> Row | str:
    before, prefill = asked(row, prompts)
    if row["kind"] == "sibling":
        sides = {s: _said(row["prefix"] + row[step]) for s, step in (("chosen", "good"), ("rejected", "bad"))}
        return {**row, "prompt": before, **sides}
    start = len(row["prefix"])
    sides = {}
    for side, text, steps in (("chosen", "good", "good_steps"), ("rejected", "bad", "bad_steps")):
        end = next((step["end"] for step in row[steps] if step["start"] == start), None)
        if end is None or not row[text].startswith(row["prefix"]):
            return "prefix_differs"
        sides[side] = _said(prefill + row[text][:end])
    return {**row, "prompt": before, **sides}


def _unpaired(row: Row, prompts: Prompts) -> Row | str:
    if row["surplus"]:
        return "over_balance"
    before, prefill = asked(row, prompts)
    return {**row, "prompt": before, "completion": _said(prefill + row["text"])}


def _stepwise(row: Row, prompts: Prompts) -> Row | str:
    problem = prompts.before(None, row["problem_id"])[0][-1]["content"]
    steps = [row["text"][step["start"] : step["end"]].strip() for step in row["steps"][: len(row["labels"])]]
    if len(steps) != len(row["labels"]) or not all(steps):
        return "steps_differ"
    return {**row, "prompt": problem, "completions": steps, "labels": [label == "right" for label in row["labels"]]}


_MAKE: Final[Mapping[str, Callable[[Row, Prompts], Row | str]]] = {
    "corrections": _correction,
    "splices": _splice,
    "preference": _preference,
    "step_preference": _step_preference,
    "unpaired": _unpaired,
    "stepwise": _stepwise,
}
