"""Canaries of the stream check: one right stream, and that stream with each kind of error in it."""

from __future__ import annotations

from tracemill.verifiers.base import Candidate
from tracemill.verifiers.canaries.base import Suite, suite_of

_RIGHT = """Current State: 30:[5, 3, 2], Operations: []
Exploring Operation: 5+3=8, Resulting Numbers: [2, 8]
Generated Node #0,0: 30:[2, 8] Operation: 5+3=8
Moving to Node #0,0
Current State: 30:[2, 8], Operations: ['5+3=8']
Exploring Operation: 2*8=16, Resulting Numbers: [16]
16,30 unequal: No Solution
Moving to Node #0
Current State: 30:[5, 3, 2], Operations: []
Exploring Operation: 5*3=15, Resulting Numbers: [2, 15]
Generated Node #0,1: 30:[2, 15] Operation: 5*3=15
Moving to Node #0,1
Current State: 30:[2, 15], Operations: ['5*3=15']
Exploring Operation: 2*15=30, Resulting Numbers: [30]
30,30 equal: Goal Reached
"""
_ELSEWHERE = """Current State: 24:[4, 6], Operations: []
Exploring Operation: 6-4=2, Resulting Numbers: [2]
2,24 unequal: No Solution
Exploring Operation: 4*6=24, Resulting Numbers: [24]
24,24 equal: Goal Reached
"""
_RIGHT_TOO = [
    ("factors the other way round", "5*3=15", "3*5=15"),
    ("numbers in another order", "[2, 15]", "[15, 2]"),
    ("another index", "0,1", "0,7"),
    (
        "a look back",
        "Moving to Node #0\n",
        "Moving to Node #0,0\nCurrent State: 30:[2, 8], Operations: ['5+3=8']\nMoving to Node #0\n",
    ),
]
_WRONG = [
    ("a wrong product", "2*8=16, Resulting Numbers: [16]", "2*8=17, Resulting Numbers: [17]"),
    ("a number used twice", "2*15=30, Resulting Numbers: [30]", "15+15=30, Resulting Numbers: [30]"),
    ("a number from elsewhere", "2*15=30", "3*10=30"),
    ("a node that was never made", "Moving to Node #0,1", "Moving to Node #0,2"),
    ("a node made twice", "Generated Node #0,1", "Generated Node #0,0"),
    ("another target", "30,30 equal", "16,16 equal"),
    ("a goal that is none", "16,30 unequal: No Solution", "16,30 equal: Goal Reached"),
    ("no goal", "30,30 equal: Goal Reached\n", ""),
    ("a line between", "Moving to Node #0\n", "Let me think.\nMoving to Node #0\n"),
]


def suite() -> Suite:
    good = [_candidate(name, _RIGHT.replace(old, new)) for name, old, new in _RIGHT_TOO]
    bad = [_candidate(name, _RIGHT.replace(old, new, 1)) for name, old, new in _WRONG]
    bad += [_candidate("nothing", ""), _candidate("another problem's stream", _ELSEWHERE)]
    return suite_of([_candidate("the stream", _RIGHT), *good], bad)


def _candidate(name: str, response: str) -> Candidate:
    return Candidate(f"stream_of_search: {name}", response, spec={"numbers": [5, 3, 2], "target": 30})
