"""Final-answer matching."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tracemill.verifiers.base import Candidate, Judgement, Verifier
from tracemill.verifiers.normal import normal_form as normal_form

VERSION = "1"


def check(candidate: Candidate, config: Mapping[str, Any]) -> Judgement:
    raise NotImplementedError


def verifier(options: Mapping[str, Any] | None = None) -> Verifier:
    return Verifier("answer", VERSION, check, dict(options or {}))
