"""Frozen records of the rows that the code handles one at a time; ``row()`` gives the table's columns."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tracemill.schemas import ids
from tracemill.schemas.enums import Split


@dataclass(frozen=True, slots=True)
class Problem:
    """A problem and how to check it. ``spec`` holds the verifier's inputs other than ``gold``."""

    prompt: str
    verifier: str
    source: str
    spec: Mapping[str, Any] = field(default_factory=dict)
    gold: str | None = None
    domain: str = "other"
    source_row: str | None = None
    licence: str | None = None
    choices: tuple[str, ...] | None = None
    reference_solution: str | None = None
    split: str = Split.TRAIN.value
    cluster_id: str | None = None
    problem_id: str = ""

    def __post_init__(self) -> None:
        if not self.problem_id:
            object.__setattr__(self, "problem_id", ids.problem_id(self.prompt, self.verifier, self.spec))

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> Problem:
        """The problem of a row of ``problems``."""
        choices = None if row["choices"] is None else tuple(row["choices"])
        return cls(**{**row, "spec": json.loads(row["spec"]), "choices": choices})

    def row(self) -> dict[str, Any]:
        return {
            "problem_id": self.problem_id,
            "source": self.source,
            "source_row": self.source_row,
            "licence": self.licence,
            "domain": self.domain,
            "prompt": self.prompt,
            "choices": list(self.choices) if self.choices is not None else None,
            "verifier": self.verifier,
            "spec": ids.canonical_json(self.spec),
            "gold": self.gold,
            "reference_solution": self.reference_solution,
            "split": self.split,
            "cluster_id": self.cluster_id,
        }


@dataclass(frozen=True, slots=True)
class Policy:
    """A model as served. ``engine_version`` and hashes are None where the server does not say."""

    model: str
    engine: str
    revision: str | None = None
    engine_version: str | None = None
    dtype: str | None = None
    chat_template_hash: str | None = None
    licence: str | None = None

    @property
    def policy_id(self) -> str:
        return ids.policy_id(
            {
                "model": self.model,
                "engine": self.engine,
                "revision": self.revision,
                "engine_version": self.engine_version,
                "dtype": self.dtype,
                "chat_template_hash": self.chat_template_hash,
            }
        )

    def row(self) -> dict[str, Any]:
        return {
            "policy_id": self.policy_id,
            "model": self.model,
            "revision": self.revision,
            "engine": self.engine,
            "engine_version": self.engine_version,
            "dtype": self.dtype,
            "chat_template_hash": self.chat_template_hash,
            "licence": self.licence,
        }


@dataclass(frozen=True, slots=True)
class Drop:
    """Why a row is not in a view (or a source row not among the problems)."""

    subject_id: str
    stage: str
    reason: str
    detail: str | None = None

    def row(self) -> dict[str, Any]:
        return {
            "subject_id": self.subject_id,
            "stage": self.stage,
            "reason": self.reason,
            "detail": self.detail,
        }
