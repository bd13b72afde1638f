"""The collapse report of a run's mined sets, from its tables, and what may be published of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import duckdb

from tracemill.schemas.recipe import MiningSpec
from tracemill.tasks.mining.collapse import (
    SURPRISAL,
    Check,
    blocked,
    histogram,
    ignore_index,
    pair_checks,
    splice_checks,
    telltale_checks,
)

#: What each set is, as tables and as views; a set that is blocked keeps all of them out of publishing.
TABLES: Final[Mapping[str, frozenset[str]]] = {
    "pairs": frozenset({"pairs", "turns"}),
    "preferences": frozenset({"preferences"}),
    "splices": frozenset(),  # rows of ``streams`` by the linearizer ``splice``
}
VIEWS: Final[Mapping[str, frozenset[str]]] = {
    "pairs": frozenset({"corrections"}),
    "preferences": frozenset({"preference", "step_preference", "unpaired"}),
    "splices": frozenset({"splices"}),
}

#: Pairs, and preferences, that the figures are taken of at the most.
SAMPLE: Final = 100_000

#: Fewer scored texts say nothing.
SCORED: Final = 10

_PAIRS: Final = """
SELECT count(*) FILTER (p.kind = 'ic'), count(*) FILTER (p.kind = 'cc'),
    avg(p.on_policy::INT) FILTER (p.kind = 'ic'), avg((v.outcome IS DISTINCT FROM 'correct')::INT),
    avg((SELECT max(round) FROM traces) - w.round) FILTER (p.kind = 'ic')
FROM pairs p
JOIN traces w ON w.run = p.run AND w.trace_id = p.wrong_id
LEFT JOIN final_verdict v ON v.run = p.run AND v.subject_id = p.right_id
"""
_EDITS: Final = f"SELECT 1 - similarity FROM pairs WHERE kind = 'ic' ORDER BY pair_id LIMIT {SAMPLE}"
_SPLICES: Final = """
SELECT json_extract_string(parameters, '$.marker') AS marker, json_extract_string(parameters, '$.cut') AS cut, count(*)
FROM streams WHERE linearizer = 'splice' AND verified GROUP BY ALL ORDER BY ALL
"""
_FEATURES: Final = f"""
SELECT length(c.text), length(r.text), (c.finish_reason = 'length')::INT, (r.finish_reason = 'length')::INT,
    contains(c.text, 'boxed')::INT, contains(r.text, 'boxed')::INT, contains(c.text, '```')::INT, contains(r.text, '```')::INT,
    len(c.steps), len(r.steps)
FROM (SELECT * FROM preferences WHERE kind = 'outcome' ORDER BY preference_id LIMIT {SAMPLE}) p
JOIN traces c ON c.run = p.run AND c.trace_id = p.chosen_id
JOIN traces r ON r.run = p.run AND r.trace_id = p.rejected_id
"""
#: By the scorer that scored most of what there is now.
_IGNORED: Final = """
SELECT avg(other.nll), any_value(own.nll) FROM pairs p
JOIN scores own ON own.subject_id = p.pair_id AND own.kind = 'own'
JOIN scores other ON other.subject_id = p.pair_id AND other.kind = 'other' AND other.policy_id = own.policy_id
WHERE p.kind = 'ic' AND own.policy_id = ? AND own.nll IS NOT NULL AND other.nll IS NOT NULL GROUP BY p.pair_id ORDER BY p.pair_id
"""
#: Splices that are not to be trained on: once some were scored, those of a surprising seam and those that were not scored.
SURPRISING: Final = f"""
SELECT s.stream_id FROM streams s
LEFT JOIN (SELECT subject_id, max(seam) AS seam FROM scores WHERE kind = 'seam' GROUP BY subject_id) c ON c.subject_id = s.stream_id
WHERE s.linearizer = 'splice' AND s.backtracks > 0 AND coalesce(c.seam, {SURPRISAL} + 1) > {SURPRISAL}
    AND EXISTS (SELECT 1 FROM scores o JOIN streams t ON t.stream_id = o.subject_id WHERE o.seam IS NOT NULL)
"""
_SEAMS: Final = f"""
SELECT c.seam, c.subject_id IN ({SURPRISING}) FROM scores c JOIN streams s ON s.stream_id = c.subject_id
WHERE c.kind = 'seam' AND c.policy_id = ? AND c.seam IS NOT NULL AND s.verified ORDER BY s.stream_id
"""
_SCORER: Final = """
SELECT policy_id FROM scores WHERE nll IS NOT NULL AND (subject_id IN (SELECT pair_id FROM pairs) OR subject_id IN (SELECT stream_id FROM streams))
GROUP BY policy_id ORDER BY count(*) DESC, policy_id LIMIT 1
"""
_NAMES: Final = ("length", "truncation", "box", "code_fence", "steps")


def checks_of(connection: duckdb.DuckDBPyConnection, spec: MiningSpec) -> list[Check]:
    """The checks of the sets that the one run behind ``connection`` has. What needs a model's log-probabilities is unmeasured
    where fewer than ``SCORED`` texts were scored."""
    found: list[Check] = []
    scorer = connection.execute(_SCORER).fetchall()
    scored = connection.execute(_IGNORED, scorer[0]).fetchall() if scorer else []
    ignored = ignore_index(*zip(*scored, strict=True)) if len(scored) >= SCORED else None
    seams = connection.execute(_SEAMS, scorer[0]).fetchall() if scorer else []
    fit = [seam for seam, surprising in seams if not surprising] if len(seams) >= SCORED else None
    changed, kept, on_policy, broken, age = connection.execute(_PAIRS).fetchall()[0]
    if changed:
        edits = _column(connection, _EDITS)
        share = kept / (changed + kept)
        found += pair_checks(edits, on_policy, share, broken, age, ignored, spec.on_policy_share, spec.controls)
    features = connection.execute(_FEATURES).fetchall()
    if features:
        sides = list(zip(*features, strict=True))
        found += telltale_checks({name: (sides[2 * i], sides[2 * i + 1]) for i, name in enumerate(_NAMES)})
    rows = connection.execute(_SPLICES).fetchall()
    told = [(marker, cut, n) for marker, cut, n in rows if marker is not None]
    if told:
        markers: dict[str, int] = {}
        for marker, _, n in told:
            markers[marker] = markers.get(marker, 0) + n
        sound = sum(n for _, cut, n in told if cut in ("first_error", "post_error"))
        clean = sum(n for marker, _, n in rows if marker is None)
        found += splice_checks(markers, sound, sum(markers.values()), clean, fit, len(seams))
    return found


def surprising(connection: duckdb.DuckDBPyConnection) -> frozenset[str]:
    """The ids of the splices that are left out of views and of what is published, for their seams."""
    return frozenset(_column(connection, SURPRISING))


def edit_histogram(connection: duckdb.DuckDBPyConnection) -> list[int]:
    """Pairs by the share of tokens that the correction changes, in even bins of [0, 1]."""
    return histogram(_column(connection, _EDITS))


def kept_out(checks: list[Check], spec: MiningSpec) -> dict[str, list[str]]:
    """Set -> why it is not published."""
    return blocked(checks, spec.waive)


def _column(connection: duckdb.DuckDBPyConnection, query: str) -> list[Any]:
    return [row[0] for row in connection.execute(query).fetchall()]
