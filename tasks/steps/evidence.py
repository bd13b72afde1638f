"""The first error that a verifier's evidence points at: Lean's first error, by its line in the response's own code."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from tracemill.tasks.steps.base import FirstError, Source, Steps


def lean_first_error(steps: Steps, evidence: str) -> FirstError | None:
    """The step that holds the first error of a ``lean`` verdict; ``evidence`` is its JSON.

    Lines are counted from 1 in the code that the evidence holds as ``answer``; line 0 is the statement, which is no step.
    """
    found: Mapping[str, Any] = json.loads(evidence or "{}")
    code = found.get("answer")
    errors = [m for m in found.get("messages", ()) if isinstance(m, dict) and m.get("severity") == "error"]
    first = found.get("first_error") or (errors[0] if errors else None)
    if not isinstance(code, str) or not isinstance(first, dict):
        return None
    start, line = steps.text.rfind(code), int(first.get("line", 0))
    lines = code.splitlines(keepends=True)
    if start < 0 or not 0 < line <= len(lines):
        return None
    column = min(max(int(first.get("column", 0)), 0), max(len(lines[line - 1]) - 1, 0))
    step = steps.at(start + sum(map(len, lines[: line - 1])) + column)
    return None if step is None else FirstError(step, Source.LEAN)
