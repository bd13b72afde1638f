"""Whether two runs hold the same data: all tables but ``runs``, without measured columns and without row order."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any

from tracemill.schemas.tables import TABLES, Table

if TYPE_CHECKING:
    from tracemill.tasks.store.run import RunStore


def compare_runs(a: RunStore, b: RunStore, *, most: int = 3) -> list[str]:
    """What differs, one line a table and side, with the keys of at most ``most`` rows; empty where nothing does."""
    found: list[str] = []
    for table in TABLES.values():
        if table.name == "runs":
            continue
        ours, theirs = _rows(a, table), _rows(b, table)
        for side, only in (("first", ours - theirs), ("second", theirs - ours)):
            if only:
                keys = ["/".join(str(json.loads(row)[k]) for k in table.key) for row in sorted(only)[:most]]
                found.append(f"{table.name}: {only.total()} rows only in the {side} run, e.g. {', '.join(keys)}")
    return found


def _rows(run: RunStore, table: Table) -> Counter[str]:
    measured = set(table.measured)
    columns = [name for name in table.schema.names if name not in measured]
    rows: list[dict[str, Any]] = run.read(table.name, columns).to_pylist()
    return Counter(json.dumps(row, sort_keys=True, default=str) for row in rows)
