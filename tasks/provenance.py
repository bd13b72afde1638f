"""Provenance: the rows that say what the hashes in ``traces`` stand for, and what each start of a run was.

Policies, templates and samplings are written once each, before the first trace that names them.
"""

from __future__ import annotations

import asyncio
import platform
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

import pyarrow as pa

import tracemill
from tracemill.schemas import ids
from tracemill.schemas.errors import TracemillError
from tracemill.schemas.recipe import ImportRecipe, Recipe
from tracemill.schemas.records import Policy
from tracemill.schemas.tables import schema_of
from tracemill.tasks.engines.base import Sampling
from tracemill.tasks.store import RunStore
from tracemill.tasks.templates import Template
from tracemill.verifiers.base import Verifier
from tracemill.verifiers.canaries.base import Report

#: The stage that commits the row of ``runs``.
STAGE: Final = "run"


@dataclass(slots=True)
class Invocation:
    """Who took part in one start of a run: the verifiers by name, and what the canaries of each showed."""

    verifiers: Mapping[str, Verifier] = field(default_factory=dict)
    canaries: Mapping[str, Report | None] = field(default_factory=dict)


def commit_policy(run: RunStore, policy: Policy) -> None:
    _commit_once(run, "policy", policy.policy_id, "policies", policy.row())


def commit_template(run: RunStore, template: Template) -> None:
    _commit_once(run, "template", template.template_id, "templates", template.row())


def commit_sampling(run: RunStore, sampling: Sampling) -> None:
    """The sampling parameters without ``max_tokens``, which is a column of ``requests``."""
    row = {"sampling_id": sampling.sampling_id, "sampling": ids.canonical_json(sampling.identity())}
    _commit_once(run, "sampling", sampling.sampling_id, "samplings", row)


def _commit_once(run: RunStore, stage: str, name: str, table: str, row: Mapping[str, Any]) -> None:
    """A shard of one row, named by what the row identifies: a second commit of it does nothing."""
    if not run.is_committed(stage, name):
        run.commit(stage, name, {table: pa.Table.from_pylist([row], schema=schema_of(table))})


@contextmanager
def invocation(run: RunStore, recipe: Recipe | ImportRecipe, policy: Policy | None = None) -> Iterator[Invocation]:
    """Around the work of one start of ``run``: its row of ``runs`` at the end, however that comes.

    Gives what the work is to fill in. A process that is killed leaves no row; its start is in ``recipe.json`` all the same.
    """
    started, begun, status = datetime.now(UTC), Invocation(), "failed"
    try:
        yield begun
        status = "finished"
    except (KeyboardInterrupt, asyncio.CancelledError):
        status = "interrupted"
        raise
    finally:
        _record(run, recipe, policy, begun, status, started)


def _record(
    run: RunStore,
    recipe: Recipe | ImportRecipe,
    policy: Policy | None,
    begun: Invocation,
    status: str,
    started: datetime,
) -> None:
    row = {
        "run_id": run.run_id,
        "invocation": run.invocation,
        "recipe": ids.canonical_json(recipe.model_dump(mode="json")),
        "recipe_hash": recipe.recipe_hash,
        "status": status,
        "code_version": tracemill.__version__,
        "host": platform.node(),
        "engine": policy.engine if policy else "import",
        "engine_version": policy.engine_version if policy else None,
        "verifier_versions": ids.canonical_json({name: verifier.version for name, verifier in begun.verifiers.items()}),
        "canaries": canary_json(begun.canaries),
        "started_at": started,
        "finished_at": datetime.now(UTC),
    }
    try:
        run.commit(
            STAGE, f"invocation-{run.invocation:06d}", {"runs": pa.Table.from_pylist([row], schema=schema_of("runs"))}
        )
    except TracemillError:
        if status == "finished":
            raise


def canary_json(reports: Mapping[str, Report | None]) -> str | None:
    """``runs.canaries``: a report by verifier, null for one without canaries; None where no canary was run."""
    if not reports:
        return None
    return ids.canonical_json({name: report.document() if report else None for name, report in reports.items()})
