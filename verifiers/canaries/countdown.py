"""Canaries of the countdown verifier: expressions as people write them, and every way to use numbers that are not there."""

from __future__ import annotations

from tracemill.verifiers.base import Candidate
from tracemill.verifiers.canaries.base import Suite, suite_of

_GOOD = [
    ("the box", r"\boxed{(40-11)+83-50}"),
    ("the tag", "<answer>83 - 50 + 40 - 11</answer>"),
    ("an equation", r"\boxed{83-50+40-11=62}"),
    ("typographic signs", r"\boxed{83−50+40−11}"),
    ("after a thought", "<think>40*83</think>83-50+40-11"),
]
_BAD = [
    ("the target itself", r"\boxed{62}"),
    ("a number twice", r"\boxed{40+11+11}"),
    ("three of the four", r"\boxed{83-11-10}"),
    ("joined digits", r"\boxed{83-5011+40}"),
    ("all numbers, another value", r"\boxed{40+83+11+50}"),
    ("a claim that is false", r"\boxed{40+83+11+50=62}"),
    ("a power", r"\boxed{83-50+40-11**1}"),
    ("numbers made of zeros", r"\boxed{62+40*0+83*0+11*0+50*0}"),
    ("code", r"\boxed{__import__('builtins').int('62')}"),
    ("a thought alone", r"<think>\boxed{83-50+40-11}"),
    ("two answers", r"\boxed{83-50+40-11} or \boxed{40+83+11+50}"),
    ("nothing", ""),
]


def suite() -> Suite:
    """One problem: 40, 83, 11 and 50 to 62."""
    return suite_of([_candidate(*row) for row in _GOOD], [_candidate(*row) for row in _BAD])


def _candidate(name: str, response: str) -> Candidate:
    return Candidate(f"countdown: {name}", response, spec={"numbers": [40, 83, 11, 50], "target": 62})
