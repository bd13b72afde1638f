"""Whether a problem's tests can be trusted: the gold check of programs.

What must stay true: a problem is judged by running it, never by reading it, in the same walls and shapes as candidates. Its
reference solution passes its tests, twice; a program that does nothing or always says one thing does not; and faults put
into the reference are noticed. A fault that the tests do not notice counts only if it shows: where the tests are calls,
it must change a result on hidden inputs (``hidden.py``), else it may be no fault at all.

The check's judgement is about the problem, its ``reason`` the row of ``drops``: ``gold_fails``, ``flaky``,
``passes_trivial``, ``weak_tests``, or ``sound``; its score is the share of the faults that were noticed (the mutation score).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from tracemill.schemas.enums import Level, Outcome
from tracemill.verifiers.base import Candidate, Judgement, Verifier
from tracemill.verifiers.code.hidden import hidden_inputs
from tracemill.verifiers.code.inside.fence import Limits
from tracemill.verifiers.code.inside.line import TooMuch
from tracemill.verifiers.code.inside.plain import BAD, Encoder, NotPlain, decode
from tracemill.verifiers.code.judging import RUNS, Spent
from tracemill.verifiers.code.layers import described
from tracemill.verifiers.code.mutation import mutants
from tracemill.verifiers.code.options import WALL, options_of
from tracemill.verifiers.code.program import program_of
from tracemill.verifiers.code.server import Server, ServerLost, server_for
from tracemill.verifiers.code.shapes import BadSpec, Call, Calls, Cases, Shape, shape_of
from tracemill.verifiers.code.verifier import entry_of, judged, prepare, seconds

NAME: Final = "code_sanity"
VERSION: Final = "1"
SOUND: Final = "sound"
#: Faults put into a reference, hidden inputs tried, and the least share of faults that sound tests notice.
MUTANTS: Final = 12
HIDDEN: Final = 20
THRESHOLD: Final = 0.5
#: What programs that look at nothing may say.
CONSTANTS: Final[tuple[Any, ...]] = (None, True, False, 0, 1, "", [])
_OWN: Final = ("mutants", "threshold")


def check(candidate: Candidate, config: Mapping[str, Any]) -> Judgement:
    """Judge a problem: ``candidate`` is its reference solution (an empty response: it has none), ``spec`` its tests."""
    options = options_of({key: value for key, value in config.items() if key not in _OWN})
    try:
        shape = shape_of(candidate.spec)
        limits = options.limits(seconds(candidate.spec.get("time_limit")))
    except BadSpec as error:
        return _about("gold_fails", Outcome.INCORRECT, f"its spec cannot be used: {error}")
    spent = Spent()
    try:
        found = _Problem(candidate, shape, options, limits, spent).check(int(config["mutants"]), config["threshold"])
    except ServerLost as error:
        found = Judgement(Outcome.ERROR, f"the fork server: {error}")
    layers = server_for("programs", options.packages).layers
    return replace(found, cpu_ms=spent.cpu * 1e3, isolation=described(layers, options.without))


def _about(reason: str, outcome: Outcome, detail: str, score: float | None = None, **evidence: Any) -> Judgement:
    return Judgement(outcome, reason, score, evidence={"detail": detail, **evidence})


class _Problem:
    """One problem and the means to run programs on it."""

    def __init__(self, candidate: Candidate, shape: Shape, options: Any, limits: Limits, spent: Spent) -> None:
        self._candidate, self._shape, self._options = candidate, shape, options
        self._limits, self._spent = limits, spent
        self._entry = entry_of(shape)

    def _run(self, programs: Sequence[str], limits: Limits | None = None) -> Judgement:
        return judged(tuple(programs), self._shape, self._candidate, self._options, limits or self._limits, self._spent)

    def check(self, most: int, threshold: float) -> Judgement:
        for name, text in self._trivial():
            if self._run([text]).outcome is Outcome.CORRECT:
                return _about("passes_trivial", Outcome.INCORRECT, f"its tests pass {name}")
        if not self._candidate.response.strip():
            return _about(SOUND, Outcome.CORRECT, "no reference solution: only trivial programs were tried")
        return self._reference(most, threshold)

    def _trivial(self) -> list[tuple[str, str]]:
        if self._entry is None:
            first = self._shape.cases[0][1] if isinstance(self._shape, Cases) else ""
            return [("an empty program", "pass"), ("the first case's output", f"print({first!r}, end='')")]
        head, *rest = self._entry.split(".")
        if rest:
            return [("an empty program", "pass")]
        said = [("an empty program", "pass")]
        return said + [(f"a constant {value!r}", f"def {head}(*a, **k): return {value!r}") for value in CONSTANTS]

    def _reference(self, most: int, threshold: float) -> Judgement:
        program = program_of(self._candidate.response, self._entry, self._candidate.prompt)
        before = self._spent.cpu
        first, second = self._run(program.texts or ("",)), self._run(program.texts or ("",))
        used = (self._spent.cpu - before) / 2
        if Outcome.ERROR in (first.outcome, second.outcome):
            told = first if first.outcome is Outcome.ERROR else second
            return _about(
                "gold_fails", Outcome.INCORRECT, f"its tests cannot be run: {told.reason}", tests=dict(told.evidence)
            )
        if first.outcome is not second.outcome:
            return _about("flaky", Outcome.INCORRECT, f"{first.outcome}, then {second.outcome}")
        if first.outcome is not Outcome.CORRECT:
            detail = f"its reference solution is {first.outcome}: {first.reason}"
            return _about("gold_fails", Outcome.INCORRECT, detail, tests=dict(first.evidence))
        text = next((one for one in program.texts if _compiles(one)), "")
        # most mutants that need many times what the reference does never end
        cpu = min(self._limits.cpu, max(0.5, 10 * used))
        short = replace(self._limits, cpu=cpu, wall=cpu * WALL)
        faults = mutants(text, most)
        unnoticed = [one for one in faults if self._run([one], short).outcome is Outcome.CORRECT]
        shown = self._shown(text, unnoticed, short)
        counted = len(faults) - len(unnoticed) + len(shown)
        score = (len(faults) - len(unnoticed)) / counted if counted else None
        evidence = {"faults": len(faults), "noticed": len(faults) - len(unnoticed), "unnoticed": len(shown)}
        if score is not None and score < threshold:
            detail = f"{evidence['noticed']} of {counted} faults are noticed, below {threshold:g}"
            return _about("weak_tests", Outcome.INCORRECT, detail, score, **evidence, first=shown[0][:2000])
        return _about(
            SOUND, Outcome.CORRECT, "the reference solution passes, twice; trivial programs do not", score, **evidence
        )

    def _shown(self, reference: str, unnoticed: Sequence[str], limits: Limits) -> list[str]:
        """Those of the unnoticed mutants that give another result than the reference on a hidden input."""
        if not unnoticed or not isinstance(self._shape, Calls):
            return list(unnoticed)
        server = server_for("programs", self._options.packages)
        calls = self._shape.calls
        inputs = hidden_inputs([call.args for call in calls if not call.kwargs], HIDDEN)
        right = _results(server, reference, calls[0], inputs, limits, self._spent)
        again = _results(server, reference, calls[0], inputs, limits, self._spent)
        steady = [place for place, value in enumerate(right) if value is not None and value == again[place]]
        found = []
        for mutant in unnoticed:
            got = _results(server, mutant, calls[0], inputs, limits, self._spent)
            if any(got[place] != right[place] for place in steady):
                found.append(mutant)
        return found


def _compiles(text: str) -> bool:
    """Whether the reference, which is the problem's author's, is Python."""
    return bool(mutants(text, 1))


def _results(
    server: Server, program: str, call: Call, inputs: Sequence[Sequence[Any]], limits: Limits, spent: Spent
) -> list[str | None]:
    """What the program gives for each of ``inputs``, as text; None where it gives nothing that is data."""
    found: list[str | None] = [None] * len(inputs)
    with server.child("candidate", limits) as child:
        try:
            child.line.send({"programs": [program], "entries": [call.target]})
            child.line.send({"calls": [_sent(call.target, one) for one in inputs]})
            child.line.receive()
            for place in range(len(inputs)):
                said = child.line.receive()
                if not isinstance(said, dict):
                    break
                if "value" in said:
                    found[place] = repr(decode(said["value"]))
        except (OSError, TooMuch, NotPlain, *BAD):
            pass  # what was heard until then stands
        spent.add(child.end())
    return found


def _sent(target: str, arguments: Sequence[Any]) -> dict[str, Any]:
    encoder = Encoder()
    return {"target": target, "args": [encoder.encode(one) for one in arguments]}


def sanity(options: Mapping[str, Any], mutants: int = MUTANTS, threshold: float = THRESHOLD) -> Verifier:
    """The check as a verifier, with the options that candidates are run with. Its verdicts are about problems."""
    parsed = options_of(options)
    config = parsed.as_config() | {"mutants": mutants, "threshold": threshold}
    limit = parsed.time_limit * WALL * RUNS
    return Verifier(NAME, VERSION, check, config, Level.RULE, time_limit=limit, isolation="sandbox", prepare=_prepare)


def _prepare(config: Mapping[str, Any]) -> None:
    prepare({key: value for key, value in config.items() if key not in _OWN})


def detail_of(judgement: Judgement) -> str:
    """What a row of ``drops`` says in detail."""
    return str(judgement.evidence.get("detail") or json.dumps(dict(judgement.evidence)))[:2000]
