r"""The strict check of a Stream of Search text on Countdown, line by line. The ``stream_of_search`` verifier.

What must stay true: every line is replayed on a machine that holds each node's numbers as a multiset, and ``correct`` means
not one error and the goal reached. Nothing is evaluated: a line is read by its grammar or is a ``formatting`` error. Errors
are of four kinds (arXiv 2404.03683, algorithms §2.19):

- ``arithmetic``: a wrong result, a subtraction or division that the game does not have, a wrong claim of an end;
- ``exploration``: a move to a node that was never made, a node made twice or below another, operations that are not its own;
- ``formatting``: a line that is not of the grammar, or stands where it cannot;
- ``numbers``: an operand that is not there (or not so often), or numbers left that are not what the operation leaves.

``spec`` is ``{"numbers": [...], "target": n}``; without it the first line gives the problem.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from tracemill.schemas.enums import Outcome
from tracemill.schemas.errors import refuse_unknown
from tracemill.verifiers.base import Candidate, Judgement, Verifier

VERSION: Final = "1"
KINDS: Final = ("arithmetic", "exploration", "formatting", "numbers")
#: Digits of a number at most; a longer one is not of the grammar.
DIGITS: Final = 18
#: Errors that the evidence lists.
LISTED: Final = 20

_INT: Final = rf"(?:0|[1-9][0-9]{{0,{DIGITS - 1}}})"
_LIST: Final = rf"\[({_INT}(?:, {_INT})*)\]"
_STEP: Final = rf"({_INT})([-+*/])({_INT})=({_INT})"
_ID: Final = r"(0(?:,(?:0|[1-9][0-9]*))*)"
_QUOTED: Final = rf"'{_INT}[-+*/]{_INT}={_INT}'"
_OPERATIONS: Final = rf"\[((?:{_QUOTED}(?:, {_QUOTED})*)?)\]"
_CURRENT_LINE: Final = re.compile(rf"Current State: ({_INT}):{_LIST}, Operations: {_OPERATIONS}", re.ASCII)
_EXPLORE_LINE: Final = re.compile(rf"Exploring Operation: {_STEP}, Resulting Numbers: {_LIST}", re.ASCII)
_MADE_LINE: Final = re.compile(rf"Generated Node #{_ID}: ({_INT}):{_LIST} Operation: {_STEP}", re.ASCII)
_MOVE_LINE: Final = re.compile(rf"Moving to Node #{_ID}", re.ASCII)
_END_LINE: Final = re.compile(rf"({_INT}),({_INT}) (unequal: No Solution|equal: Goal Reached)", re.ASCII)
_NOTHING: Final = "No solution found."


@dataclass(frozen=True, slots=True)
class Mistake:
    """One error: its kind, the line's number from 1, and what is wrong."""

    kind: str
    line: int
    why: str


@dataclass(frozen=True, slots=True)
class Replay:
    """What a stream does. ``explored`` counts the operations looked at, as the paper counts nodes."""

    mistakes: tuple[Mistake, ...]
    solved: bool
    explored: int

    @property
    def counts(self) -> dict[str, int]:
        found = Counter(mistake.kind for mistake in self.mistakes)
        return {kind: found[kind] for kind in KINDS}


@dataclass(slots=True)
class _Known:
    numbers: list[int]
    written: str
    operations: tuple[str, ...]


@dataclass(slots=True)
class _Machine:
    """The replay: what is known of each node, where the search stands, and what the next line must be."""

    numbers: Sequence[int] | None
    target: int | None
    nodes: dict[str, _Known] = field(default_factory=dict)
    here: str | None = None
    due: str = "start"  # start, any, current, made, end, over
    child: tuple[str, list[int], str] = ("", [], "")
    mistakes: list[Mistake] = field(default_factory=list)
    line: int = 0
    solved: bool = False
    explored: int = 0
    moving: str = "0"

    def wrong(self, kind: str, why: str) -> None:
        self.mistakes.append(Mistake(kind, self.line, why))

    def read(self, line: str) -> None:
        self.line += 1
        if self.due == "over":
            self.wrong("formatting", "a line after the end")
            return
        first = line[:1]
        if first == "E" and (said := _EXPLORE_LINE.fullmatch(line)):
            self.explore(said)
        elif first == "G" and (said := _MADE_LINE.fullmatch(line)):
            self.made(said)
        elif first == "M" and (said := _MOVE_LINE.fullmatch(line)):
            self.move(said[1])
        elif first == "C" and (said := _CURRENT_LINE.fullmatch(line)):
            self.current(said)
        elif line == _NOTHING:
            self.expect("any")
            self.due = "over"
        elif said := _END_LINE.fullmatch(line):
            self.end(said)
        else:
            self.wrong("formatting", f"not a line of the grammar: {line[:60]!r}")

    def expect(self, *due: str) -> bool:
        if self.due in due:
            return True
        wanted = {
            "start": "the first state",
            "any": "an event",
            "current": "the state moved to",
            "made": "the node made",
        }
        self.wrong("formatting", f"out of place: {wanted.get(self.due, 'the end of the operation')} must come here")
        return False

    def current(self, said: re.Match[str]) -> None:
        target, written, operations = int(said[1]), said[2], tuple(re.findall(r"'([^']*)'", said[3]))
        numbers = [int(n) for n in written.split(", ")]
        if self.due == "start":
            self.target = target if self.target is None else self.target
            if operations:
                self.wrong("exploration", "the first state has operations")
            if self.numbers is not None and Counter(numbers) != Counter(self.numbers):
                self.wrong("numbers", "not the problem's numbers")
            if target != self.target:
                self.wrong("numbers", "not the problem's target")
            self.nodes["0"] = _Known(numbers, written, ())
            self.here, self.due = "0", "any"
            return
        if not self.expect("current"):
            return
        known = self.nodes.get(self.moving)
        if known is not None:
            if target != self.target or written != known.written:
                self.wrong("numbers", "the state is not the node's")
            if operations != known.operations:
                self.wrong("exploration", "the operations are not those that lead to the node")
        else:
            self.nodes[self.moving] = _Known(numbers, written, operations)  # as claimed, to go on reading
        self.here, self.due = self.moving, "any"

    def explore(self, said: re.Match[str]) -> None:
        if not self.expect("any"):
            return
        self.explored += 1
        a, sign, b, result = int(said[1]), said[2], int(said[3]), int(said[4])
        if _result(a, sign, b) != result:
            self.wrong("arithmetic", f"{said[1]}{sign}{said[3]} is not {said[4]} by a legal operation")
        left = list(self.nodes[self.here].numbers) if self.here is not None and self.here in self.nodes else []
        for operand in (a, b):
            if operand in left:
                left.remove(operand)
            else:
                self.wrong("numbers", f"{operand} is not there")
        resulting = [int(n) for n in said[5].split(", ")]
        if Counter(resulting) != Counter([*left, result]):
            self.wrong("numbers", "not the numbers that the operation leaves")
        step = f"{said[1]}{sign}{said[3]}={said[4]}"
        self.child = (said[5], resulting, step)
        self.due = "end" if len(resulting) == 1 else "made"

    def made(self, said: re.Match[str]) -> None:
        if not self.expect("made"):
            return
        written, numbers, step = self.child
        self.due = "any"
        node, here = said[1], self.here or "0"
        if node in self.nodes:
            self.wrong("exploration", f"node {node} is there already")
            return
        if node.rpartition(",")[0] != here:
            self.wrong("exploration", f"node {node} is not a child of {here}")
        if int(said[2]) != self.target or said[3] != written:
            self.wrong("numbers", "the node's state is not what the operation leaves")
        if "".join((said[4], said[5], said[6], "=", said[7])) != step:
            self.wrong("exploration", "not the operation that was explored")
        before = self.nodes[here].operations if here in self.nodes else ()
        self.nodes[node] = _Known(numbers, written, (*before, step))

    def move(self, node: str) -> None:
        if not self.expect("any"):
            return
        if node not in self.nodes:
            self.wrong("exploration", f"node {node} was never made")
        self.moving, self.due = node, "current"

    def end(self, said: re.Match[str]) -> None:
        if not self.expect("end"):
            return
        number, target, goal = int(said[1]), int(said[2]), said[3].startswith("equal")
        self.due = "over" if goal else "any"
        if target != self.target or [number] != self.child[1]:
            self.wrong("numbers", "not the number left, or not the target")
        if goal != (number == target):
            self.wrong("arithmetic", f"{number} and {target} are {'un' if goal else ''}equal")
        self.solved = goal and number == target == self.target


def replay(text: str, numbers: Sequence[int] | None = None, target: int | None = None) -> Replay:
    """Read ``text`` line by line; a missing line break after the last one is allowed. Never raises."""
    machine = _Machine(numbers, target)
    lines = text.split("\n")
    if lines[-1] == "":
        lines.pop()
    for line in lines:
        machine.read(line)
    if machine.due not in ("any", "over"):
        machine.line += 1
        machine.wrong("formatting", "the stream ends in the middle of an event")
    return Replay(tuple(machine.mistakes), machine.solved and not machine.mistakes, machine.explored)


def _result(a: int, sign: str, b: int) -> int | None:
    """What the operation gives; None where the game does not have it."""
    if sign == "+":
        return a + b
    if sign == "*":
        return a * b
    if sign == "-":
        return a - b if a >= b else None
    return a // b if b and a >= b and a % b == 0 else None


def check(candidate: Candidate, config: Mapping[str, Any]) -> Judgement:
    """Replay the response: ``correct`` without an error and with the goal reached."""
    from tracemill.verifiers.countdown import problem_of

    problem = problem_of(candidate.spec)
    if isinstance(problem, str):
        return Judgement(Outcome.ERROR, problem)
    if candidate.finish_reason == "length":
        return Judgement(Outcome.UNPARSED, "cut in the middle of the search")
    found = replay(candidate.response, *problem)
    evidence = {
        "errors": found.counts,
        "explored": found.explored,
        "first": [{"line": m.line, "kind": m.kind, "why": m.why} for m in found.mistakes[:LISTED]],
    }
    if found.mistakes:
        first = found.mistakes[0]
        return Judgement(Outcome.INCORRECT, f"line {first.line}: {first.kind}: {first.why}", evidence=evidence)
    if not found.solved:
        return Judgement(Outcome.INCORRECT, "the goal is not reached", evidence=evidence)
    return Judgement(Outcome.CORRECT, "every line replayed, and the goal reached", score=1.0, evidence=evidence)


def verifier(options: Mapping[str, Any] | None = None) -> Verifier:
    """The ``stream_of_search`` verifier; it has no options."""
    refuse_unknown(options or (), (), "the stream_of_search verifier")
    return Verifier("stream_of_search", VERSION, check)
