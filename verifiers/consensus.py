"""Majority vote."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tracemill.verifiers.base import Verdict


@dataclass(frozen=True, slots=True)
class Vote:
    classes: dict[str, int]
    winner: str | None
    share: float
    tied: bool


def vote(answers: Sequence[str | None]) -> Vote:
    raise NotImplementedError


def consensus_verdicts(subjects: Sequence[tuple[str, str, str | None]]) -> list[Verdict]:
    raise NotImplementedError
