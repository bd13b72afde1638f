"""What a run came to: pass rates beside the question-blind baseline, recorded labels beside verdicts, funnel and cost.

What must stay true: only rule verdicts count as correct; ``error``, unverified and disputed attempts are shown and leave
the denominators; pass@k is the unbiased estimator (algorithms §1.3) averaged over problems with at least k graded attempts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import duckdb

from tracemill.tasks.mining.checks import checks_of, kept_out
from tracemill.tasks.mining.collapse import Check
from tracemill.tasks.queries import connect
from tracemill.tasks.reporting import grid
from tracemill.tasks.reporting.funnel import StageCount, funnel_grid, funnel_rows
from tracemill.tasks.reporting.grid import Grid, share
from tracemill.tasks.reporting.streams import SearchRow, StreamRow, search_grid, search_rows, stream_grid, stream_rows
from tracemill.tasks.store import RunStore

#: pass@k is shown where at least this share of the problems has k graded attempts.
ENOUGH: Final = 0.9
#: Largest k shown.
LARGEST_K: Final = 4096


@dataclass(frozen=True, slots=True)
class PassRow:
    """One model on one source and domain. ``graded`` counts attempts weighted by repeats; shares lie in [0, 1]."""

    model: str
    source: str
    domain: str
    strategy: str
    problems: int
    traces: int
    graded: int
    pass_at: Mapping[int, float]
    majority: float | None
    blind: float | None
    tokens: int | None
    errors: int
    disputed: int
    unverified: int
    apart: int


@dataclass(frozen=True, slots=True)
class LuckyRow:
    """One type of gold answer: what guessing without the question scores (``share``), beside the mean pass rate."""

    answer_type: str
    problems: int
    answer: str
    share: float
    pass_rate: float | None


@dataclass(frozen=True, slots=True)
class LabelRow:
    """A model's recorded labels beside the rule verdicts, over the attempts that have both."""

    model: str
    label: str
    attempts: int
    verified: float
    recorded: float
    disagree: int


@dataclass(frozen=True, slots=True)
class CostRow:
    stage: str
    model: str | None
    requests: int
    prompt_tokens: int | None
    completion_tokens: int | None
    usd: float | None
    errors: int


@dataclass(frozen=True, slots=True)
class Summary:
    """A run in numbers. ``status`` is that of its newest invocation, ``unfinished`` where none has ended."""

    name: str
    path: str
    status: str
    rows: tuple[PassRow, ...]
    labels: tuple[LabelRow, ...]
    funnel: tuple[StageCount, ...]
    costs: tuple[CostRow, ...]
    disagreements: Mapping[str, int]  # by kind, see docs/sql.md
    lucky: tuple[LuckyRow, ...]
    streams: tuple[StreamRow, ...] = ()
    searches: tuple[SearchRow, ...] = ()
    mined: tuple[tuple[str, str, int], ...] = ()  # what, kind, rows
    checks: tuple[Check, ...] = ()
    kept_out: Mapping[str, Sequence[str]] = field(default_factory=dict)  # mined set -> why it is not published

    def grids(self) -> list[Grid]:
        """The tables to show, in order; empty ones are left out."""
        made = [
            funnel_grid(list(self.funnel)),
            _pass_grid(self.rows),
            _lucky_grid(self.lucky),
            _label_grid(self.labels),
            stream_grid(self.streams),
            search_grid(self.searches),
            _cost_grid(self.costs),
        ]
        made += [_mined_grid(self.mined), _check_grid(self.checks, self.kept_out)]
        return [table for table in made if table.rows]


_RATES: Final = """
CREATE OR REPLACE TEMP TABLE _rates AS
SELECT coalesce(m.model, 'unknown') AS model, p.source, p.domain, r.strategy, r.* EXCLUDE (strategy), j.correct AS majority
FROM pass_rate r
JOIN problems p ON p.run = r.run AND p.problem_id = r.problem_id
LEFT JOIN policies m ON m.run = r.run AND m.policy_id = r.policy_id
LEFT JOIN majority j ON j.run = r.run AND j.problem_id = r.problem_id AND j.policy_id = r.policy_id
    AND j.strategy = r.strategy
"""

_GROUPS: Final = """
WITH tokens AS (
    SELECT coalesce(m.model, 'unknown') AS model, p.source, p.domain, a.strategy, count(*) AS traces,
        sum(a.completion_tokens * a.repeats)::BIGINT AS tokens
    FROM attempts a
    JOIN problems p ON p.run = a.run AND p.problem_id = a.problem_id
    LEFT JOIN policies m ON m.run = a.run AND m.policy_id = a.policy_id
    GROUP BY ALL
)
SELECT r.model, r.source, r.domain, r.strategy, count(DISTINCT r.problem_id), any_value(t.traces), sum(r.n)::BIGINT,
    coalesce(quantile_disc(r.n, {low}) FILTER (r.n > 0), 0), CASE WHEN count(r.majority) > 0 THEN avg(coalesce(r.majority, 0)) FILTER (r.n > 0) END,
    any_value(b.share), any_value(t.tokens), sum(r.errors)::BIGINT, sum(r.disputed)::BIGINT, sum(r.unverified)::BIGINT,
    sum(r.apart)::BIGINT, [{passes}]
FROM _rates r
JOIN tokens t USING (model, source, domain, strategy)
LEFT JOIN blind_baseline b ON b.source = r.source AND b.domain = r.domain
GROUP BY r.model, r.source, r.domain, r.strategy ORDER BY ALL
"""

_LABELS: Final = """
SELECT coalesce(m.model, 'unknown'), substr(l.verifier, 10), sum(a.repeats)::BIGINT,
    sum(a.repeats) FILTER (a.outcome = 'correct')::DOUBLE / sum(a.repeats)::DOUBLE,
    sum(a.repeats) FILTER (l.outcome = 'correct')::DOUBLE / sum(a.repeats)::DOUBLE,
    coalesce(sum(a.repeats) FILTER ((l.outcome = 'correct') <> (a.outcome = 'correct')), 0)::BIGINT
FROM attempts a
JOIN current_verdicts l ON l.run = a.run AND l.subject_id = a.trace_id AND starts_with(l.verifier, 'recorded:')
LEFT JOIN policies m ON m.run = a.run AND m.policy_id = a.policy_id
WHERE a.apart IS NULL AND a.outcome NOT IN ('error', 'disputed') AND l.outcome <> 'error'
GROUP BY ALL ORDER BY ALL
"""


_LUCKY: Final = (
    "SELECT answer_type, problems, answer, share, pass_rate FROM lucky_rate ORDER BY problems DESC, answer_type"
)

_MINED: Final = """
SELECT 'pairs', kind, count(*) FROM pairs GROUP BY kind
UNION ALL SELECT 'splices', CASE WHEN NOT verified THEN 'not verified' WHEN backtracks > 0 THEN 'with detours' ELSE 'controls' END AS kind, count(*)
    FROM streams WHERE linearizer = 'splice' GROUP BY kind
UNION ALL SELECT 'preferences', kind, count(*) FROM preferences GROUP BY kind
UNION ALL SELECT 'turns', kind, count(*) FROM turns GROUP BY kind
UNION ALL SELECT 'critiques', label, count(*) FROM critiques WHERE agrees GROUP BY label
UNION ALL SELECT 'right answers', 'by a wrong process', count(*) FROM process WHERE outcome = 'correct' AND NOT process_ok
ORDER BY ALL
"""


def summarise(run: RunStore) -> Summary:
    """The summary of what ``run`` has committed so far."""
    connection = connect([run])
    try:
        return summary_of(connection, run)
    finally:
        connection.close()


def summary_of(connection: duckdb.DuckDBPyConnection, run: RunStore) -> Summary:
    """The same over a connection to ``run`` alone; leaves the disagreements in the temporary table ``_disagreements``."""
    labels = connection.execute(_LABELS).fetchall()
    costs = connection.execute(
        "SELECT stage, model, requests, prompt_tokens, completion_tokens, usd, errors FROM cost ORDER BY ALL"
    ).fetchall()
    status = connection.execute("SELECT status FROM runs ORDER BY invocation DESC LIMIT 1").fetchone()
    connection.execute("CREATE OR REPLACE TEMP TABLE _disagreements AS FROM disagreements")
    differ = connection.execute("SELECT kind, count(*) FROM _disagreements GROUP BY kind").fetchall()
    return Summary(
        run.name,
        run.path,
        status[0] if status else "unfinished",
        tuple(_pass_rows(connection)),
        tuple(
            LabelRow(m, label, n, ours or 0.0, theirs or 0.0, differ) for m, label, n, ours, theirs, differ in labels
        ),
        tuple(funnel_rows(connection, run.name)),
        tuple(CostRow(*cost) for cost in costs),
        dict(differ),
        tuple(LuckyRow(*lucky) for lucky in connection.execute(_LUCKY).fetchall()),
        tuple(stream_rows(connection)),
        tuple(search_rows(connection)),
        *_mining(connection, run),
    )


def _mining(
    connection: duckdb.DuckDBPyConnection, run: RunStore
) -> tuple[tuple[tuple[str, str, int], ...], tuple[Check, ...], Mapping[str, Sequence[str]]]:
    spec = run.recipe().mining
    if spec is None:
        return (), (), {}
    checks = checks_of(connection, spec)
    return tuple(connection.execute(_MINED).fetchall()), tuple(checks), kept_out(checks, spec)


def _pass_rows(connection: duckdb.DuckDBPyConnection) -> list[PassRow]:
    connection.execute(_RATES)
    most = connection.execute("SELECT coalesce(max(n), 0) FROM _rates").fetchone()
    ks = [k for k in (2**i for i in range(13)) if k <= max(1, most[0] if most else 0, 1) and k <= LARGEST_K]
    passes = ", ".join(f"avg(pass_at_k(r.n, r.c, {k}))" for k in ks)
    rows: list[PassRow] = []
    for found in connection.execute(_GROUPS.format(low=round(1 - ENOUGH, 3), passes=passes)).fetchall():
        *head, graded, low, majority, blind, tokens, errors, disputed, unverified, apart, values = found
        model, source, domain, strategy, problems, traces = head
        kept = {k: value for k, value in zip(ks, values, strict=True) if value is not None and k <= low}
        rows.append(
            PassRow(
                model,
                source,
                domain,
                strategy,
                problems,
                traces,
                graded,
                kept,
                majority,
                blind,
                tokens,
                errors,
                disputed,
                unverified,
                apart,
            )
        )
    return rows


def _pass_grid(rows: tuple[PassRow, ...]) -> Grid:
    ks = sorted({k for row in rows for k in row.pass_at})
    optional = {
        "errors": [row.errors for row in rows],
        "disputed": [row.disputed for row in rows],
        "unverified": [row.unverified for row in rows],
        "set apart": [row.apart for row in rows],
    }
    shown = {name: counts for name, counts in optional.items() if any(counts)}
    domains = len({(row.source, row.domain) for row in rows}) > len({row.source for row in rows})
    strategies = len({row.strategy for row in rows}) > 1
    said = {"model": True, "source": True, "domain": domains, "strategy": strategies}
    places = [name for name, wanted in said.items() if wanted]
    headers = (*places, "problems", "graded")
    body: list[tuple[Any, ...]] = []
    for i, row in enumerate(rows):
        place = [getattr(row, name) for name in places]
        rates = [share(row.pass_at.get(k)) for k in ks]
        body.append(
            (
                *place,
                row.problems,
                row.graded,
                *rates,
                share(row.majority),
                share(row.blind),
                row.tokens,
                *(counts[i] for counts in shown.values()),
            )
        )
    return Grid(
        "Pass rates",
        (*headers, *(f"pass@{k}" for k in ks), "maj@n", "blind", "tokens", *shown),
        tuple(body),
        "blind: what always giving the most frequent answer of the domain's other problems scores, without reading a question.",
    )


def _lucky_grid(rows: tuple[LuckyRow, ...]) -> Grid:
    return Grid(
        "Lucky rates by type of answer",
        ("answer type", "problems", "most frequent", "blind", "pass@1"),
        tuple((r.answer_type, r.problems, r.answer[:40], share(r.share), share(r.pass_rate)) for r in rows),
    )


def _mined_grid(rows: tuple[tuple[str, str, int], ...]) -> Grid:
    return Grid("Learning from failures", ("what", "kind", "rows"), tuple(row for row in rows if row[2]))


def _check_grid(checks: tuple[Check, ...], kept_out: Mapping[str, Sequence[str]]) -> Grid:
    reasons = "; ".join(f"{subject}: {', '.join(why)}" for subject, why in kept_out.items())
    return Grid(
        "Checks of what was mined",
        ("set", "check", "value", "limit", "status"),
        tuple((c.subject, c.name, None if c.value is None else round(c.value, 4), c.limit, c.status) for c in checks),
        f"kept out of publishing: {reasons}" if reasons else "",
    )


def _label_grid(rows: tuple[LabelRow, ...]) -> Grid:
    return Grid(
        "Recorded labels beside the verifier",
        ("model", "label", "attempts", "verified correct", "recorded correct", "disagree"),
        tuple((r.model, r.label, r.attempts, share(r.verified), share(r.recorded), r.disagree) for r in rows),
    )


def _cost_grid(rows: tuple[CostRow, ...]) -> Grid:
    return Grid(
        "Cost",
        ("stage", "model", "requests", "prompt tokens", "completion tokens", "USD", "errors"),
        tuple(
            (r.stage, r.model, r.requests, r.prompt_tokens, r.completion_tokens, r.usd, r.errors or None) for r in rows
        ),
    )


def to_markdown(summary: Summary) -> str:
    """The summary as Markdown: a heading and the tables."""
    head = f"# {grid.markdown_escape(grid.visible(summary.name))}\n\nStatus: {summary.status}."
    return "\n\n".join([head, *(grid.to_markdown(table) for table in summary.grids())]) + "\n"


def to_text(summary: Summary) -> str:
    """The summary as plain text: the tables, aligned."""
    return "\n\n".join(grid.to_text(table) for table in summary.grids()) + "\n"
