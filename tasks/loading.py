"""Loading: problems and imported traces into the run, each once, however often it is started.

A problem's row and a trace's row are written when they are first seen and never again; what is wrong with one is a drop.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from tracemill.schemas import ids
from tracemill.schemas.enums import Level, Outcome
from tracemill.schemas.errors import UsageError
from tracemill.schemas.records import Drop, Problem
from tracemill.schemas.tables import schema_of
from tracemill.tasks import labelling
from tracemill.tasks.imports import Imported, Label
from tracemill.tasks.sources import Loaded
from tracemill.tasks.store import Funnel, RunStore
from tracemill.verifiers.base import Judgement, Verdict
from tracemill.verifiers.verdicts import verdict_table

STAGE: Final = "load"


def load(run: RunStore, loaded: Loaded, limit: int | None = None) -> list[Problem]:
    """Commit the problems that the run does not hold yet; returns those that this invocation works on.

    A problem that came back with another gold keeps the committed one and is a ``gold_conflict`` drop.
    """
    chosen = loaded.problems[:limit]
    if not chosen:
        raise UsageError("no problems to work on", where="problems", mend="see the drops, or name another source")
    table = run.read("problems", ["problem_id", "gold", "cluster_id"])
    held = {row["problem_id"]: row for row in table.to_pylist()}
    drops = list(loaded.drops)
    new: list[Problem] = []
    working: list[Problem] = []
    for problem in chosen:
        row = held.get(problem.problem_id)
        if row is None:
            new.append(problem)
            working.append(problem)
            continue
        if row["gold"] != problem.gold:
            detail = f"{problem.source} {problem.source_row}: gold {problem.gold!r}, committed {row['gold']!r}"
            drops.append(Drop(problem.problem_id, STAGE, "gold_conflict", detail))
        working.append(replace(problem, gold=row["gold"], cluster_id=row["cluster_id"]))
    drops = _new_drops(run, drops)
    if new or drops:
        lost = Counter(drop.reason for drop in drops)
        run.commit(
            STAGE,
            ids.digest("shard", STAGE, [p.problem_id for p in new], [[d.subject_id, d.reason] for d in drops]),
            {
                "problems": pa.Table.from_pylist([p.row() for p in new], schema=schema_of("problems")),
                "drops": pa.Table.from_pylist([d.row() for d in drops], schema=schema_of("drops")),
            },
            Funnel(STAGE, len(new) + lost.total(), len(new), lost),
        )
    return working


def committed_problems(run: RunStore) -> list[Problem]:
    """The problems that ``run`` holds, as they were committed."""
    return [Problem.of(row) for row in run.read("problems").to_pylist()]


def load_traces(run: RunStore, imported: Imported) -> None:
    """Traces that the run does not hold yet, with the labels that came with them (never above level ``learned``)."""
    held = pa.array(run.read("traces", ["trace_id"])["trace_id"].to_pylist(), pa.string())
    traces = imported.traces.filter(pc.invert(pc.is_in(imported.traces["trace_id"], value_set=held)))
    drops = _new_drops(run, imported.drops)
    if not traces.num_rows and not drops:
        return
    fresh = set(traces["trace_id"].to_pylist())
    labels = [label for label in imported.labels if label.trace_id in fresh]
    lost = Counter(drop.reason for drop in drops if drop.stage != labelling.STAGE)
    run.commit(
        "import",
        ids.digest("shard", "import", sorted(fresh), [[drop.subject_id, drop.reason] for drop in drops]),
        {
            "traces": traces,
            "verdicts": verdict_table(_recorded(label) for label in labels),
            "step_labels": pa.Table.from_pylist(
                [row for row in imported.step_labels if row["trace_id"] in fresh], schema=schema_of("step_labels")
            ),
            "drops": pa.Table.from_pylist([drop.row() for drop in drops], schema=schema_of("drops")),
        },
        Funnel("import", traces.num_rows + lost.total(), traces.num_rows, lost),
    )


def _recorded(label: Label) -> Verdict:
    return Verdict(
        label.trace_id,
        f"recorded:{label.source}",
        "1",
        "",
        "",
        Judgement(Outcome(label.outcome), label.detail or "came with the trace"),
        Level.LEARNED,
        "import",
        "none",
    )


def _new_drops(run: RunStore, drops: Sequence[Drop]) -> list[Drop]:
    """Those of ``drops`` that the run does not hold yet, each once."""
    table = run.read("drops", ["subject_id", "stage", "reason"])
    held = set(zip(*(column.to_pylist() for column in table.columns), strict=True))
    once = {(drop.subject_id, drop.stage, drop.reason): drop for drop in drops}
    return [drop for key, drop in once.items() if key not in held]
