"""The first step of a wrong trace whose program fails, or does not print what the trace says: executed, in the sandbox.

What must stay true: a trace is executed once; what is found is kept with source ``execution``, and a trace in which nothing
is found has a row of ``drops`` that says so.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final

import pyarrow as pa

from tracemill.schemas import ids
from tracemill.schemas.enums import Outcome
from tracemill.schemas.records import Problem
from tracemill.schemas.tables import schema_of
from tracemill.tasks.reporting.listener import Listener
from tracemill.tasks.steps.asking import Subject, owed
from tracemill.tasks.steps.base import FirstError, Source, Steps
from tracemill.tasks.steps.labels import located
from tracemill.tasks.store import Funnel, RunStore
from tracemill.verifiers.base import Candidate, Judgement
from tracemill.verifiers.code.steps import blocks, execution
from tracemill.verifiers.pool import VerifierPool

STAGE: Final = "execute"
SHARD: Final = 256
#: Why nothing is said: no program, all blocks run, or one needs what the sandbox has not.
NO_PROGRAM: Final = "no_program"
RUNS: Final = "runs"
UNKNOWN: Final = "cannot_be_run"

_ALL: Final = 2**31 - 1


def first_failing_step(steps: Steps, judgement: Judgement) -> FirstError | None:
    """The step that a judgement of ``verifiers.code.steps`` points at."""
    place = judgement.evidence.get("place")
    step = steps.at(place) if isinstance(place, int) and judgement.outcome is Outcome.INCORRECT else None
    return None if step is None else FirstError(step, Source.EXECUTION)


async def execute(
    run: RunStore,
    pool: VerifierPool,
    problems: Sequence[Problem],
    options: Mapping[str, Any],
    listener: Listener,
) -> int:
    """Execute the wrong traces of ``run`` that were not; how many. ``options`` are those of the verifier ``code``."""
    of = {problem.problem_id: problem for problem in problems}
    groups = owed(run, STAGE, Source.EXECUTION, of, steps=_ALL, traces=_ALL, right=False)
    subjects = [subject for group in groups for subject in group.subjects]
    if not subjects:
        return 0
    listener.stage(STAGE, len(subjects))
    verifier = execution(options)
    for start in range(0, len(subjects), SHARD):
        shard = subjects[start : start + SHARD]
        having = [subject for subject in shard if blocks(subject.steps.text)]
        verdicts = await pool.verify(verifier, [Candidate(s.steps.trace_id, s.steps.text, None) for s in having])
        _commit(run, shard, {verdict.subject_id: verdict.judgement for verdict in verdicts})
        listener.advance(STAGE, len(shard))
    return len(subjects)


def _commit(run: RunStore, shard: Sequence[Subject], judged: Mapping[str, Judgement]) -> None:
    labels: list[dict[str, Any]] = []
    silent: dict[str, str] = {}
    for subject in shard:
        trace = subject.steps.trace_id
        judgement = judged.get(trace)
        error = None if judgement is None else first_failing_step(subject.steps, judgement)
        if error is not None:
            labels += located(subject.steps, error, 0)
        else:
            runs = judgement is not None and judgement.outcome is Outcome.CORRECT
            silent[trace] = NO_PROGRAM if judgement is None else RUNS if runs else UNKNOWN
    drops = [{"subject_id": trace, "stage": STAGE, "reason": reason} for trace, reason in silent.items()]
    tables = {"step_labels": labels, "drops": drops}
    run.commit(
        STAGE,
        ids.digest("shard", STAGE, [subject.steps.trace_id for subject in shard]),
        {name: pa.Table.from_pylist(rows, schema=schema_of(name)) for name, rows in tables.items()},
        Funnel(STAGE, len(shard), len(shard) - len(silent), dict(sorted(Counter(silent.values()).items()))),
    )
