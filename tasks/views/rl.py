"""The view ``rl``: a problem to practise on, how to check it, and how often a named policy solved it.

What must stay true: one row a problem; a pass rate stands beside the policy that it was measured with and how many
attempts it is of; a problem without a pass rate is in only where the recipe sets no band.
"""

from __future__ import annotations

from typing import Final

import duckdb
import pyarrow as pa

from tracemill.schemas.recipe import ViewsSpec
from tracemill.tasks.sources.registry import NEEDS_GOLD
from tracemill.tasks.store import Funnel
from tracemill.tasks.views.rows import MESSAGES, Prompts
from tracemill.tasks.views.select import DropRows, arrow

VIEW: Final = "rl"

SCHEMA: Final = pa.schema(
    [
        ("prompt", MESSAGES),
        ("problem_id", pa.string()),
        ("problem", pa.string()),
        ("gold", pa.string()),
        ("verifier", pa.string()),
        ("spec", pa.string()),
        ("pass_rate", pa.float64()),
        ("n", pa.int64()),
        ("c", pa.int64()),
        ("pass_rate_low", pa.float64()),
        ("pass_rate_high", pa.float64()),
        ("policy_id", pa.string()),
        ("model", pa.string()),
        ("template_id", pa.string()),
        ("source", pa.string()),
        ("licence", pa.string()),
        ("domain", pa.string()),
        ("cluster_id", pa.string()),
        ("split", pa.string()),
    ]
)

# The reference policy of a problem is the one with the most attempts at it.
_PROBLEMS: Final = """
WITH rates AS (
    SELECT problem_id, policy_id, sum(n)::BIGINT AS n, sum(c)::BIGINT AS c
    FROM pass_rate GROUP BY ALL HAVING sum(n) > 0
), reference AS (
    SELECT problem_id, arg_min(struct_pack(policy_id, n, c), row(-n, policy_id)) AS best FROM rates GROUP BY problem_id
), asked AS (
    SELECT problem_id, policy_id, min(template_id) AS template_id FROM traces
    WHERE NOT list_contains($incomplete, template_id) GROUP BY ALL
)
SELECT p.problem_id, p.prompt AS problem, p.gold, p.verifier, p.spec, r.best.c::DOUBLE / r.best.n::DOUBLE AS pass_rate,
    r.best.n AS n, r.best.c AS c, r.best.policy_id AS policy_id, m.model, a.template_id,
    p.source, p.licence, p.domain, p.cluster_id, s.split, p.split AS own_split, f.reason AS flag
FROM problems p
LEFT JOIN (SELECT subject_id, min(reason) AS reason FROM drops WHERE stage = 'problem' GROUP BY subject_id) f
    ON f.subject_id = p.problem_id
LEFT JOIN reference r ON r.problem_id = p.problem_id
LEFT JOIN asked a ON a.problem_id = p.problem_id AND a.policy_id = r.best.policy_id
LEFT JOIN policies m ON m.policy_id = r.best.policy_id
LEFT JOIN assigned s ON s.problem_id = p.problem_id
ORDER BY p.problem_id
"""


def rl_rows(
    connection: duckdb.DuckDBPyConnection, spec: ViewsSpec, prompts: Prompts
) -> tuple[pa.Table, pa.Table, Funnel]:
    """(rows of ``SCHEMA``, rows of ``drops``, the funnel over problems). Needs the table ``assigned``."""
    found = arrow(connection, _PROBLEMS, {"incomplete": list(prompts.incomplete)}).combine_chunks()
    drops, kept, asked = DropRows(), [], []
    low, high = spec.pass_rate
    columns = ("problem_id", "gold", "verifier", "pass_rate", "split", "own_split", "flag", "template_id")
    for row, values in enumerate(zip(*(found[name].to_pylist() for name in columns), strict=True)):
        problem, gold, verifier, rate, split, own_split, flag, template = values
        reason = _reason(gold, verifier, rate, split, own_split, flag, spec)
        if reason is not None:
            drops.add(f"view:{VIEW}", problem, reason, None if rate is None else f"pass rate {rate:.4g}")
            continue
        kept.append(row)
        asked.append(prompts.before(template, problem)[0])
    rows = found.take(pa.array(kept, pa.int64()))
    extra = {
        "prompt": pa.array(asked, MESSAGES),
        "pass_rate_low": pa.array([low] * len(kept), pa.float64()),
        "pass_rate_high": pa.array([high] * len(kept), pa.float64()),
    }
    table = pa.table([extra[name] if name in extra else rows[name] for name in SCHEMA.names], schema=SCHEMA)
    counts = {reason: drops.reason.count(reason) for reason in sorted(set(drops.reason))}
    return table, drops.table(), Funnel(f"view:{VIEW}", found.num_rows, len(kept), counts)


def _reason(
    gold: str | None,
    verifier: str,
    rate: float | None,
    split: str,
    own_split: str,
    flag: str | None,
    spec: ViewsSpec,
) -> str | None:
    low, high = spec.pass_rate
    if split == "test" and not spec.include_test:
        return "test_split" if own_split == "test" else "near_test_split"
    if flag is not None:
        return f"problem_{flag}"
    if verifier in NEEDS_GOLD and not (gold or "").strip():
        return "no_gold"
    if rate is None:
        return None if (low, high) == (0.0, 1.0) else "no_pass_rate"
    if rate < low:
        return "pass_rate_too_low"
    return "pass_rate_too_high" if rate > high else None
