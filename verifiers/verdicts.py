"""Verdicts as rows of the ``verdicts`` table."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from tracemill.schemas.ids import canonical_json
from tracemill.schemas.tables import schema_of
from tracemill.verifiers.base import EVIDENCE_BYTES, Judgement, Verdict


def verdict_table(verdicts: Iterable[Verdict]) -> pa.Table:
    """Rows of ``verdicts`` in order, stamped with the time."""
    now = datetime.now(UTC)
    return pa.Table.from_pylist([verdict_row(verdict, now) for verdict in verdicts], schema=schema_of("verdicts"))


def verdict_row(verdict: Verdict, now: datetime) -> dict[str, Any]:
    """One row of ``verdicts``."""
    judgement = verdict.judgement
    return {
        "subject_id": verdict.subject_id,
        "verifier": verdict.verifier,
        "version": verdict.version,
        "config_hash": verdict.config_hash,
        "inputs_hash": verdict.inputs_hash,
        "outcome": judgement.outcome.value,
        "score": judgement.score,
        "level": verdict.level.value,
        "backend": verdict.backend,
        "isolation": verdict.isolation,
        "reason": judgement.reason,
        "evidence": evidence_json(judgement),
        "cpu_ms": verdict.cpu_ms,
        "wall_ms": verdict.wall_ms,
        "verified_at": now,
    }


def evidence_json(judgement: Judgement) -> str:
    """The evidence and the extracted answer as canonical JSON of at most ``EVIDENCE_BYTES``; longer strings are clipped."""
    evidence = dict(judgement.evidence)
    if judgement.answer is not None:
        evidence["answer"] = judgement.answer
    text = canonical_json(evidence)
    limit = EVIDENCE_BYTES
    while len(text.encode("utf-8", "replace")) > EVIDENCE_BYTES:
        limit //= 2
        text = canonical_json({key: _clipped(value, limit) for key, value in evidence.items()} | {"clipped": True})
    return text


def _clipped(value: Any, limit: int) -> Any:
    text = value if isinstance(value, str) else canonical_json(value)
    return value if len(text) <= limit else text[:limit]
