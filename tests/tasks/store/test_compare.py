"""Two runs are equal when their rows are, whatever the shards, the order and the clock."""

from __future__ import annotations

import pyarrow as pa

from tracemill.schemas.tables import schema_of
from tracemill.tasks.store import RunStore, compare_runs


def verdict(subject: str, outcome: str, cpu_ms: float) -> dict[str, object]:
    fixed = dict.fromkeys(
        ("verifier", "version", "config_hash", "inputs_hash", "level", "backend", "isolation", "reason"), "x"
    )
    return {**fixed, "subject_id": subject, "outcome": outcome, "evidence": "{}", "cpu_ms": cpu_ms}


def verdicts(*rows: dict[str, object]) -> pa.Table:
    return pa.Table.from_pylist(list(rows), schema=schema_of("verdicts"))


def test_shards_order_and_measured_columns_do_not_matter(tmp_path, make_recipe):
    with RunStore.start(tmp_path / "a", make_recipe()) as a, RunStore.start(tmp_path / "b", make_recipe()) as b:
        a.commit("v", "1", {"verdicts": verdicts(verdict("t_1", "correct", 1.0), verdict("t_2", "timeout", 2.0))})
        b.commit("v", "1", {"verdicts": verdicts(verdict("t_2", "timeout", 9.0))})
        b.commit("v", "2", {"verdicts": verdicts(verdict("t_1", "correct", 8.0))})
        assert compare_runs(a, b) == []


def test_a_missing_doubled_or_changed_row_is_told_with_its_key(tmp_path, make_recipe):
    with RunStore.start(tmp_path / "a", make_recipe()) as a, RunStore.start(tmp_path / "b", make_recipe()) as b:
        rows = [verdict("t_1", "correct", 1.0), verdict("t_2", "timeout", 1.0)]
        a.commit("v", "1", {"verdicts": verdicts(*rows)})
        b.commit("v", "1", {"verdicts": verdicts(rows[0], rows[0], verdict("t_2", "correct", 1.0))})
        first, second = compare_runs(a, b)
        assert first.startswith("verdicts: 1 rows only in the first run, e.g. t_2/")
        assert second.startswith("verdicts: 2 rows only in the second run, e.g. t_1/")
