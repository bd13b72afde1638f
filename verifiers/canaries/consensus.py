"""Canaries of the vote: when it may give a label, and to whom."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tracemill.verifiers.base import Candidate, Judgement
from tracemill.verifiers.canaries.base import Suite, suite_of
from tracemill.verifiers.consensus import check


def suite() -> Suite:
    """Under the default thresholds, whatever the run's are: half of at least sixteen."""
    half, spelled = ["1/2"] * 8 + ["0.5"] * 2 + ["2"] * 6, ["7", "7.0", "$7$", "14/2"] * 4
    good = [
        _candidate("with a clear majority", r"\boxed{\frac12}", half),
        _candidate("with everybody, each in another spelling", r"\boxed{7}", spelled),
        _candidate("with half of sixteen", r"\boxed{3}", ["3"] * 8 + ["4"] * 5 + ["5"] * 3),
        _candidate("with those who have an answer", r"\boxed{3}", ["3"] * 12 + ["4"] * 4 + [None] * 20),
        _candidate("with words", r"\boxed{\text{even}}", ["even"] * 16),
    ]
    bad = [
        _candidate("with too few voters", r"\boxed{3}", ["3"] * 15),
        _candidate("with less than half", r"\boxed{3}", ["3"] * 7 + ["4"] * 5 + ["5"] * 4),
        _candidate("with one side of a tie", r"\boxed{3}", ["3"] * 8 + ["4"] * 8),
        _candidate("with the minority", r"\boxed{4}", ["3"] * 15 + ["4"]),
        _candidate("with nobody", r"\boxed{9}", ["3"] * 16),
        _candidate("without an answer", "I do not know.\nReally.", ["3"] * 16),
        _candidate("with a thought that does not end", r"<think>\boxed{3}", ["3"] * 16),
        _candidate("with several answers", r"\boxed{3} or \boxed{4}", ["3"] * 16),
        _candidate("where nobody has an answer", r"\boxed{3}", [None] * 32),
        _candidate("where nobody says anything", r"\boxed{nan}", ["nan", ""] * 16),
        _candidate("with silence, as most", "", [None] * 30 + ["3"] * 2),
        _candidate("where nobody voted", r"\boxed{3}", []),
    ]
    return suite_of(good, bad, _default)


def _default(candidate: Candidate, config: Mapping[str, Any]) -> Judgement:
    return check(candidate, {})


def _candidate(name: str, response: str, answers: Sequence[str | None]) -> Candidate:
    return Candidate(name, response, spec={"answers": list(answers)})
