"""Which traces each view takes, and for every other the first reason that keeps it out.

What must stay true: ``sft`` holds only traces whose final verdict is ``correct`` by a rule verifier (the one definition, the
SQL view ``final_verdict``), and none of a problem that is flagged (``drops`` of stage ``problem``); problems of a test split, and their near-duplicates, are in no view unless the recipe says so;
a trace is in a view or has one reason, never both and never neither.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from tracemill.schemas import ids
from tracemill.schemas.recipe import ViewsSpec
from tracemill.tasks.store import Funnel, RunStore
from tracemill.tasks.store.builds import counted
from tracemill.tasks.store.location import location_of
from tracemill.tasks.views import splits
from tracemill.tasks.views.diversity import Item, choose

TRACE_VIEWS: Final = ("sft", "all", "unverified_mix")

#: Traces that were shown the answer (STaR) are kept apart in a split of their own (algorithms §2.4, pitfalls).
RATIONALISED: Final = "rationalised"

_BATCH: Final = 1024

_DECISIONS: Final = """
CREATE TEMP TABLE decided AS
WITH apart AS (
    SELECT subject_id, min(reason) AS reason FROM drops WHERE stage = 'verify' GROUP BY subject_id
), flagged AS (
    SELECT subject_id, min(reason) AS reason FROM drops WHERE stage = 'problem' GROUP BY subject_id
), superseded AS (
    SELECT DISTINCT subject_id FROM drops WHERE reason = 'superseded' AND stage NOT LIKE 'view:%'
), rates AS (
    SELECT problem_id, policy_id, sum(c)::DOUBLE / nullif(sum(n), 0)::DOUBLE AS pass_rate FROM pass_rate GROUP BY ALL
), joined AS (
    SELECT t.trace_id, t.problem_id, t.kind, t.sample_index, t.policy_id, s.split AS cluster_split,
        v.outcome AS verdict, v.verifier, v.version AS verifier_version, v.reason AS verdict_reason, v.score,
        r.pass_rate, m.model,
        CASE
            WHEN x.subject_id IS NOT NULL THEN 'superseded'
            WHEN s.split = 'test' AND NOT $include_test THEN CASE p.split WHEN 'test' THEN 'test_split' ELSE 'near_test_split' END
            WHEN t.messages IS NULL AND list_contains($incomplete, t.template_id) THEN 'prompt_needs_variables'
        END AS general,
        CASE
            WHEN t.error IS NOT NULL OR t.finish_reason IN ('error', 'abort') THEN 'error'
            WHEN t.text_hash = $empty THEN 'empty'
            WHEN t.finish_reason = 'length' THEN 'truncated'
            WHEN t.kind NOT IN ('sample', 'imported', 'rationalised') THEN 'kind_' || t.kind
            WHEN t.kind = 'rationalised' AND s.split <> 'train' THEN 'rationalised_' || s.split
        END AS broken,
        'problem_' || f.reason AS doubtful,
        CASE
            WHEN v.outcome = 'correct' THEN NULL
            WHEN v.outcome = 'error' THEN 'verifier_error'
            WHEN v.outcome IS NOT NULL THEN v.outcome
            ELSE coalesce(a.reason, 'unverified')
        END AS unproven
    FROM traces t
    LEFT JOIN problems p ON p.problem_id = t.problem_id
    LEFT JOIN assigned s ON s.problem_id = t.problem_id
    LEFT JOIN policies m ON m.policy_id = t.policy_id
    LEFT JOIN final_verdict v ON v.subject_id = t.trace_id
    LEFT JOIN apart a ON a.subject_id = t.trace_id
    LEFT JOIN flagged f ON f.subject_id = t.problem_id
    LEFT JOIN superseded x ON x.subject_id = t.trace_id
    LEFT JOIN rates r ON r.problem_id = t.problem_id AND r.policy_id = t.policy_id
)
SELECT * EXCLUDE (general, broken, doubtful, unproven, cluster_split),
    CASE WHEN kind = 'rationalised' AND cluster_split = 'train' THEN 'rationalised' ELSE cluster_split END AS split,
    general AS "all",
    coalesce(general, broken) AS unverified_mix,
    coalesce(general, broken, doubtful, unproven) AS sft
FROM joined
"""


@dataclass(frozen=True, slots=True)
class Selection:
    """``facts``: a row a trace (id, verdict, split ...). ``reasons``: view -> a string per trace, null where it is in."""

    facts: pa.Table
    reasons: Mapping[str, pa.ChunkedArray | pa.Array]
    drops: pa.Table
    funnels: list[Funnel]


@dataclass(slots=True)
class DropRows:
    """Rows of ``drops``, gathered by column."""

    subject_id: list[str] = field(default_factory=list)
    stage: list[str] = field(default_factory=list)
    reason: list[str] = field(default_factory=list)
    detail: list[str | None] = field(default_factory=list)

    def add(self, stage: str, subject: str, reason: str, detail: str | None = None) -> None:
        self.subject_id.append(subject)
        self.stage.append(stage)
        self.reason.append(reason)
        self.detail.append(detail)

    def table(self) -> pa.Table:
        columns = [self.subject_id, self.stage, self.reason, self.detail]
        return pa.table([pa.array(c, pa.string()) for c in columns], ["subject_id", "stage", "reason", "detail"])


def select(
    run: RunStore,
    connection: duckdb.DuckDBPyConnection,
    spec: ViewsSpec,
    views: Iterable[str],
    incomplete: Iterable[str] = (),
) -> Selection:
    """Decide every trace of ``run`` for each of ``views`` (those of ``TRACE_VIEWS``).

    ``incomplete``: ids of the templates of which no prompt can be made.
    """
    register_splits(connection, spec)
    connection.execute(
        _DECISIONS, {"include_test": spec.include_test, "empty": ids.text_hash(""), "incomplete": list(incomplete)}
    )
    facts = arrow(connection, "SELECT * FROM decided").combine_chunks()
    traces = facts["trace_id"].to_pylist()
    place = {trace: index for index, trace in enumerate(traces)}
    reasons = {view: facts[view].to_pylist() for view in TRACE_VIEWS if view in views}
    capped = [view for view in reasons if view != "all"]
    details: dict[tuple[str, str], str] = {}
    groups = _groups(facts, {view: reasons[view] for view in capped}, spec.cap)
    if groups:
        wanted = {trace for members in groups.values() for trace in members}
        items = _items(run, wanted, dict(zip(traces, facts["sample_index"].to_pylist(), strict=True)))
        for (view, _, _), members in groups.items():
            for refused in choose([items[trace] for trace in members], spec.cap)[1]:
                reasons[view][place[refused.trace_id]] = refused.reason
                if refused.detail:
                    details[view, refused.trace_id] = refused.detail
    arrays = {view: pa.array(column, pa.string()) for view, column in reasons.items()}
    drops = pa.concat_tables([DropRows().table(), *(_drops(view, facts, arrays[view], details) for view in arrays)])
    return Selection(facts, arrays, drops, [_funnel(view, column) for view, column in arrays.items()])


def register_splits(connection: duckdb.DuckDBPyConnection, spec: ViewsSpec) -> None:
    """Make the table ``assigned`` (problem_id, split)."""
    problems = connection.execute("SELECT problem_id, cluster_id, split FROM problems").fetchall()
    split_of = splits.assign(problems, spec.validation)
    table = pa.table(
        [pa.array(list(split_of), pa.string()), pa.array(list(split_of.values()), pa.string())], ["problem_id", "split"]
    )
    connection.register("_splits", table)
    connection.execute("CREATE TEMP TABLE assigned AS SELECT * FROM _splits")
    connection.unregister("_splits")


def arrow(
    connection: duckdb.DuckDBPyConnection, query: str, parameters: Mapping[str, object] | None = None
) -> pa.Table:
    """The rows of ``query`` as an Arrow table."""
    table: pa.Table = connection.sql(query, params=parameters).to_arrow_table()
    return table


def _groups(
    facts: pa.Table, reasons: Mapping[str, list[str | None]], cap: int
) -> dict[tuple[str, str, bool], list[str]]:
    """(view, problem, rationalised) -> its candidates, where there is a choice to make."""
    found: dict[tuple[str, str, bool], list[str]] = defaultdict(list)
    kinds = facts["kind"].to_pylist()
    problems, traces = facts["problem_id"].to_pylist(), facts["trace_id"].to_pylist()
    for view, column in reasons.items():
        for problem, trace, kind, reason in zip(problems, traces, kinds, column, strict=True):
            if reason is None:
                found[view, problem, kind == RATIONALISED].append(trace)
    return {key: members for key, members in found.items() if len(members) > 1}


def _items(run: RunStore, wanted: set[str], ranks: Mapping[str, int]) -> dict[str, Item]:
    items: dict[str, Item] = {}
    for batch in trace_batches(run, ["trace_id", "text"]):
        traces = batch["trace_id"].to_pylist()
        rows = [row for row, trace in enumerate(traces) if trace in wanted]
        if rows:
            texts = batch["text"].take(pa.array(rows)).to_pylist()
            for row, text in zip(rows, texts, strict=True):
                items[traces[row]] = Item.of(traces[row], ranks[traces[row]], text)
    return items


def trace_batches(run: RunStore, columns: list[str]) -> Iterator[pa.RecordBatch]:
    """The committed traces, some at a time."""
    return table_batches(run, "traces", columns)


def table_batches(run: RunStore, table: str, columns: list[str]) -> Iterator[pa.RecordBatch]:
    """The committed rows of ``table``, some at a time; of what is built anew only the newest whole build."""
    import pyarrow.parquet as pq

    location = location_of(run.path)
    for commit in counted(run.commits()):
        for file in commit.files:
            if file.table == table:
                with location.open(file.path) as source, pq.ParquetFile(source) as parquet:
                    yield from parquet.iter_batches(_BATCH, columns=columns)


def _drops(view: str, facts: pa.Table, reasons: pa.Array, details: Mapping[tuple[str, str], str]) -> pa.Table:
    out = pc.is_valid(reasons)
    subjects = facts["trace_id"].filter(out)
    said = [details.get((view, trace)) for trace in subjects.to_pylist()] if details else [None] * len(subjects)
    stage = pa.array([f"view:{view}"] * len(subjects), pa.string())
    columns = [subjects, stage, reasons.filter(out), pa.array(said, pa.string())]
    return pa.table(columns, ["subject_id", "stage", "reason", "detail"])


def _funnel(view: str, reasons: pa.Array) -> Funnel:
    counted = pc.value_counts(reasons.drop_null()).to_pylist()
    dropped = {entry["values"]: entry["counts"] for entry in counted}
    return Funnel(f"view:{view}", len(reasons), reasons.null_count, dict(sorted(dropped.items())))
