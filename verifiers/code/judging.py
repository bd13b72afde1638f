"""From a program and a shape to a judgement.

What must stay true: ``correct`` is said here alone, after every value or output was found right on this side; anything
missing, late, unreadable or out of order is not. What the program caused is its outcome (``timeout``, ``memory``,
``output_limit``, ``incorrect``); what we or the tests caused is ``error``.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Final

from tracemill.schemas.enums import Outcome
from tracemill.verifiers.base import Judgement
from tracemill.verifiers.code import output
from tracemill.verifiers.code.expression import Unsupported
from tracemill.verifiers.code.inside.fence import Limits
from tracemill.verifiers.code.inside.line import TooMuch
from tracemill.verifiers.code.inside.plain import BAD, Encoder, decode
from tracemill.verifiers.code.server import Child, Ended, Server
from tracemill.verifiers.code.shapes import Call, Calls, Cases, Tests

#: All runs of one candidate together may take this many times the limit of one.
RUNS: Final = 20
_SHOWN: Final = 300
#: What a program's exception says about a limit that it met; each of them is a failure.
_LIMITS: Final = {"memory": Outcome.MEMORY, "output": Outcome.OUTPUT_LIMIT}


@dataclass(slots=True)
class Spent:
    """CPU seconds of children, and how many ran."""

    cpu: float = 0.0
    runs: int = 0

    def add(self, ended: Ended) -> None:
        self.cpu += ended.cpu
        self.runs += 1


def _found(outcome: Outcome, reason: str, **evidence: Any) -> Judgement:
    return Judgement(outcome, reason, evidence={key: value for key, value in evidence.items() if value is not None})


def judge_calls(server: Server, programs: Sequence[str], shape: Calls, limits: Limits, spent: Spent) -> Judgement:
    """All calls in one run; the first that is wrong decides."""
    with server.child("candidate", limits) as child:
        found = _calls(child, programs, shape)
        spent.add(child.end())
    return found


def _calls(child: Child, programs: Sequence[str], shape: Calls) -> Judgement:
    line = child.line
    with suppress(OSError):  # a program that ended while loading: what it said, or how it ended, tells
        line.send({"programs": list(programs), "entries": sorted({call.target for call in shape.calls})})
        line.send({"calls": [_sent(call) for call in shape.calls]})
    said = _heard(child, "while it was loaded")
    if isinstance(said, Judgement):
        return said
    if "names" not in said:
        return _unloaded(said)
    for number, call in enumerate(shape.calls):
        said = _heard(child, f"in test {number}", test=number, source=call.source)
        if isinstance(said, Judgement):
            return said
        wrong = _wrong(said, call)
        if wrong is not None:
            outcome, reason, got = wrong
            return _found(
                outcome, reason, test=number, source=call.source[:_SHOWN], args=repr(call.args)[:_SHOWN], got=got
            )
    return _found(Outcome.CORRECT, f"all {len(shape.calls)} tests passed", tests=len(shape.calls))


def _sent(call: Call) -> dict[str, Any]:
    encoder = Encoder()
    return {
        "target": call.target,
        "args": [encoder.encode(argument) for argument in call.args],
        "kwargs": {name: encoder.encode(argument) for name, argument in call.kwargs.items()},
    }


def _heard(child: Child, when: str, **evidence: Any) -> dict[str, Any] | Judgement:
    """The child's next message, or the judgement where there is none."""
    try:
        said = child.line.receive()
    except TooMuch as error:
        return _found(Outcome.OUTPUT_LIMIT, f"{when}: {error}", **evidence)
    except (ValueError, RecursionError, OSError):
        said = None if child.end().status else "?"
    if isinstance(said, dict):
        return said
    if said is not None:
        return _found(Outcome.INCORRECT, f"{when}: what it said is no answer", **evidence)
    return _ended(child, when, **evidence)


def _ended(child: Child, when: str, **evidence: Any) -> Judgement:
    """Why a child ended before it had answered."""
    ended = child.end()
    if ended.over is not None:
        unit = "CPU" if ended.over == "cpu" else "wall time"
        return _found(Outcome.TIMEOUT, f"{when}: over its limit of {unit}", **evidence)
    if ended.status == -signal.SIGXFSZ or child.printed() >= child.limits.file_size:
        return _found(Outcome.OUTPUT_LIMIT, f"{when}: it printed or wrote too much", **evidence)
    if ended.status == -signal.SIGKILL and ended.stopped:
        return _found(Outcome.INCORRECT, f"{when}: it stopped answering", **evidence)
    if ended.status < 0:
        with suppress(ValueError):
            name = signal.Signals(-ended.status).name
            outcome = Outcome.MEMORY if ended.status == -signal.SIGKILL else Outcome.INCORRECT
            return _found(outcome, f"{when}: ended by {name}", **evidence)
    return _found(Outcome.INCORRECT, f"{when}: it ended (exit status {ended.status})", **evidence)


def _unloaded(said: Mapping[str, Any]) -> Judgement:
    if "missing" in said:
        return _found(Outcome.INCORRECT, f"it defines no {str(said['missing'])[:100]!r}")
    return _raised(said, "while it was loaded")


def _raised(said: Mapping[str, Any], when: str, **evidence: Any) -> Judgement:
    names = said.get("raised")
    name = str(names[0])[:80] if isinstance(names, list) and names else "something"
    outcome = _LIMITS.get(str(said.get("limit")), Outcome.INCORRECT)
    return _found(outcome, f"{when}: raised {name}", message=str(said.get("message", ""))[:_SHOWN], **evidence)


def _wrong(said: Mapping[str, Any], call: Call) -> tuple[Outcome, str, str | None] | None:
    """Why the answer to ``call`` is not right: outcome, reason, what was got; None where it is."""
    if "value" not in said:
        if "not_plain" in said:
            if call.asks_truth and isinstance(said.get("truth"), bool):
                return None if call.holds(said["truth"]) else (Outcome.INCORRECT, "a wrong truth value", None)
            return Outcome.INCORRECT, f"returned {str(said['not_plain'])[:120]}, which is no plain data", None
        told = _raised(said, "in a test")
        return told.outcome, told.reason, str(told.evidence.get("message", ""))
    try:
        value = decode(said["value"])
    except BAD:
        return Outcome.INCORRECT, "what it said is no value", None
    try:
        right = call.holds(value)
    except Unsupported:
        right = False
    # What Python raises for such a value in such an expression; the assert fails then too.
    except (TypeError, ValueError, ArithmeticError, LookupError, RecursionError) as error:
        return Outcome.INCORRECT, f"the test raised {type(error).__name__}", repr(value)[:_SHOWN]
    return None if right else (Outcome.INCORRECT, "a wrong value", _shown(value))


def _shown(value: Any) -> str:
    try:
        return repr(value)[:_SHOWN]
    except ValueError:  # an integer of too many digits
        return f"a {type(value).__name__}"


def judge_tests(
    server: Server, referees: Server, programs: Sequence[str], shape: Tests, helpers: str, limits: Limits, spent: Spent
) -> Judgement:
    """Test text in a referee, the program beside it."""
    # Each waits while the other works, so both have the other's time too.
    waiting = replace(limits, wall=limits.wall * 2)
    patient = replace(limits, cpu=limits.cpu * 2, wall=limits.wall * 2 + 2)
    with server.child("candidate", waiting) as child:
        with suppress(OSError):
            child.line.send({"programs": list(programs), "entries": [shape.entry] if shape.entry else []})
        with referees.child("referee", patient, also=child.give_line()) as referee:
            child.close_line()
            referee.line.send(
                {
                    "tests": list(shape.texts),
                    "entry": shape.entry,
                    "setup": shape.setup,
                    "helpers": helpers,
                    "wanted": list(shape.wanted),
                    "modules": list(shape.modules),
                    "check": shape.check,
                }
            )
            try:
                said = referee.line.receive()
            except (TooMuch, ValueError, OSError):
                said = None
            spent.add(referee.end())
        ended = child.end()
        spent.add(ended)
        return _refereed(said, child, referee, shape)


def _refereed(said: Any, child: Child, referee: Child, shape: Tests) -> Judgement:
    if not isinstance(said, dict):
        if child.end().over is not None:
            return _ended(child, "in the tests")
        told = _ended(referee, "the tests' own process")
        return told if told.outcome in (Outcome.TIMEOUT, Outcome.MEMORY) else _found(Outcome.ERROR, told.reason)
    where = {
        "test": said.get("test"),
        "line": said.get("line"),
        "source": _source(shape, said),
        "last": said.get("last") or None,
    }
    if "unloaded" in said:
        return _unloaded(said["unloaded"])
    if "too_much" in said:
        return _found(Outcome.OUTPUT_LIMIT, str(said["too_much"]))
    if "gone" in said:
        told = _ended(child, "in the tests", **where)
        return told if told.outcome is not Outcome.INCORRECT else _found(Outcome.INCORRECT, str(said["gone"]), **where)
    if "broken" in said:
        told = _raised(said["broken"], "the tests themselves", **where)
        return _found(Outcome.ERROR, told.reason, **told.evidence)
    if "failed" in said:
        return _raised(said["failed"], "in a test", **where)
    if not said.get("calls"):
        return _found(Outcome.ERROR, "the tests never call the program", **where)
    return _found(Outcome.CORRECT, f"all {said['passed']} tests passed", tests=said["passed"], calls=said["calls"])


def _source(shape: Tests, said: Mapping[str, Any]) -> str | None:
    test, line = said.get("test"), said.get("line")
    if not isinstance(test, int) or not isinstance(line, int) or not 0 <= test < len(shape.texts):
        return None
    lines = shape.texts[test].splitlines()
    return lines[line - 1].strip()[:_SHOWN] if 0 < line <= len(lines) else None


def judge_cases(server: Server, programs: Sequence[str], shape: Cases, limits: Limits, spent: Spent) -> Judgement:
    """Each case in a run of its own; the first that is wrong decides."""
    for number, (given, expected) in enumerate(shape.cases):
        if spent.cpu > RUNS * limits.cpu:
            return _found(Outcome.TIMEOUT, f"its cases together took over {RUNS} times the limit of one", test=number)
        with server.child("script", limits, stdin=given.encode("utf-8", "surrogatepass")) as child:
            with suppress(OSError):
                child.line.send({"programs": list(programs)})
            spent.add(child.end(kill=False))
            found = _case(child, number, given, expected, shape.tolerance)
        if found is not None:
            return found
    return _found(Outcome.CORRECT, f"all {len(shape.cases)} cases passed", tests=len(shape.cases))


def _case(child: Child, number: int, given: str, expected: str, tolerance: float) -> Judgement | None:
    size = os.fstat(child.output).st_size
    evidence = {"test": number, "input": given[:_SHOWN]}
    if child.end().status != 0 or child.end().over is not None:
        said = child.read(child.errors, 1 << 16).decode("utf-8", "replace").strip()
        last = said.rpartition("\n")[2][:_SHOWN]
        found = _ended(child, f"in case {number}", **evidence, errors=last or None)
        if found.outcome is Outcome.INCORRECT and last.startswith("MemoryError"):
            return _found(Outcome.MEMORY, found.reason, **found.evidence)
        return found
    if size > output.allowed(expected):
        return _found(Outcome.OUTPUT_LIMIT, f"in case {number}: {size} bytes of output", **evidence)
    printed = child.read(child.output, size)
    try:
        difference = output.first_difference(printed.decode("utf-8"), expected, tolerance)
    except UnicodeDecodeError:
        difference = "the output is not UTF-8"
    if difference is None:
        return None
    return _found(Outcome.INCORRECT, f"in case {number}: {difference}", **evidence)
