"""reasoning-gym puzzles."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tracemill.verifiers.base import Candidate, Judgement, Verifier

VERSION = "1"


def check(candidate: Candidate, config: Mapping[str, Any]) -> Judgement:
    raise NotImplementedError


def verifier(options: Mapping[str, Any] | None = None) -> Verifier:
    return Verifier("puzzle", VERSION, check, dict(options or {}))
