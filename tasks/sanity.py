"""Sanity: whether the problems of programs can be trusted, before their candidates are believed.

Each is judged once by ``tracemill.verifiers.code.sanity``: its verdict is kept in ``verdicts`` with the problem as subject,
the mutation score as ``score``, and what is wrong with it is a row of ``drops`` of stage ``problem``, which keeps its traces
out of training views. Idempotent: a problem that was judged under the same settings is not judged again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final

import pyarrow as pa

from tracemill.schemas import ids
from tracemill.schemas.enums import Outcome
from tracemill.schemas.recipe import ImportRecipe, Recipe, VerifierSpec
from tracemill.schemas.records import Drop, Problem
from tracemill.schemas.tables import schema_of
from tracemill.tasks.labelling import PROBLEM
from tracemill.tasks.reporting.listener import Listener
from tracemill.tasks.store import Funnel, RunStore
from tracemill.verifiers.base import Candidate, Verdict, Verifier
from tracemill.verifiers.code.sanity import detail_of, sanity
from tracemill.verifiers.pool import VerifierPool
from tracemill.verifiers.verdicts import verdict_table

STAGE: Final = "sanity"
#: The verifier whose problems are judged.
CODE: Final = "code"
SHARD: Final = 256


async def check_problems(
    run: RunStore, pool: VerifierPool, problems: Sequence[Problem], recipe: Recipe | ImportRecipe, listener: Listener
) -> None:
    """Judge those of ``problems`` that programs answer and that have no judgement yet."""
    asked = [problem for problem in problems if problem.verifier == CODE]
    if not asked or not recipe.sanity.enabled:
        return
    verifier = sanity(options_of(recipe.verifiers), recipe.sanity.mutants, recipe.sanity.threshold)
    judged, flagged = _judged(run, verifier), _flagged(run)
    owed = [problem for problem in asked if problem.problem_id not in judged]
    if not owed:
        return
    listener.stage(STAGE, len(owed))
    for start in range(0, len(owed), SHARD):
        shard = owed[start : start + SHARD]
        verdicts = await pool.verify(verifier, [_candidate(problem) for problem in shard])
        _commit(run, verifier, verdicts, flagged)
        listener.advance(STAGE, len(shard))


def options_of(specs: Sequence[VerifierSpec]) -> dict[str, object]:
    """The options that the recipe gives the candidates' verifier."""
    for spec in specs:
        if spec.kind == CODE:
            return spec.options | ({"time_limit": spec.time_limit} if spec.time_limit is not None else {})
    return {}


def _candidate(problem: Problem) -> Candidate:
    return Candidate(problem.problem_id, problem.reference_solution or "", None, problem.spec, problem.prompt)


def _judged(run: RunStore, verifier: Verifier) -> set[str]:
    table = run.read("verdicts", ["subject_id", "verifier", "version", "config_hash", "outcome"])
    key = (verifier.name, verifier.version, verifier.config_hash)
    rows = zip(*(column.to_pylist() for column in table.columns), strict=True)
    return {subject for subject, *own, outcome in rows if tuple(own) == key and outcome != Outcome.ERROR.value}


def _flagged(run: RunStore) -> set[tuple[str, str]]:
    table = run.read("drops", ["subject_id", "stage", "reason"])
    rows = zip(*(column.to_pylist() for column in table.columns), strict=True)
    return {(subject, reason) for subject, stage, reason in rows if stage == PROBLEM}


def _commit(run: RunStore, verifier: Verifier, verdicts: Sequence[Verdict], flagged: set[tuple[str, str]]) -> None:
    drops: list[Drop] = []
    lost: Counter[str] = Counter()
    for verdict in verdicts:
        judgement = verdict.judgement
        if judgement.outcome in (Outcome.CORRECT, Outcome.ERROR):
            continue
        # a check that the pool had to stop says no reason of ours
        reason = judgement.reason if judgement.outcome is Outcome.INCORRECT else f"gold_{judgement.outcome.value}"
        lost[reason] += 1
        if (verdict.subject_id, reason) not in flagged:
            flagged.add((verdict.subject_id, reason))
            drops.append(Drop(verdict.subject_id, PROBLEM, reason, detail_of(judgement)))
    shard = ids.digest("shard", STAGE, verifier.version, verifier.config_hash, [v.inputs_hash for v in verdicts])
    if run.is_committed(STAGE, shard):
        shard = ids.digest("shard", shard, len(run.commits()))  # the same problems again, after an error of ours
    tables = {
        "verdicts": verdict_table(verdicts),
        "drops": pa.Table.from_pylist([drop.row() for drop in drops], schema=schema_of("drops")),
    }
    run.commit(STAGE, shard, tables, Funnel(STAGE, len(verdicts), len(verdicts) - lost.total(), lost))
