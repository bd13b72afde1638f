"""The ``lean`` verifier: one response against one theorem statement.

``spec`` has ``statement`` (a named theorem header without its body) and optionally ``header`` (imports and what the statement
needs before it). The response is a whole submission, a fenced Lean block, or the proof term. What must stay true: ``correct`` only at
the configured level or above, and never because of a message. A limit that the candidate hit is ``timeout``, ``memory`` or ``output_limit``; a
problem whose header or statement this Lean cannot read is ``error``, because nothing was found out about the candidate.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Final

from tracemill.schemas.enums import Outcome
from tracemill.schemas.errors import UsageError, refuse_unknown
from tracemill.schemas.ids import digest
from tracemill.verifiers.base import Candidate, Judgement, Verifier
from tracemill.verifiers.lean import choose
from tracemill.verifiers.lean.kimina import KiminaServer
from tracemill.verifiers.lean.levels import ProofLevel
from tracemill.verifiers.lean.native import second_check
from tracemill.verifiers.lean.policy import policy
from tracemill.verifiers.lean.process import LeanLost, LeanProcess
from tracemill.verifiers.lean.submission import (
    LONGEST,
    Header,
    Submission,
    code_of,
    header_of,
    statement_text,
    submission_of,
)

VERSION: Final = "1"
#: The axioms of classical mathematics that Lean's library itself uses.
AXIOMS: Final = ("propext", "Classical.choice", "Quot.sound")
#: Roots of modules that a response may import besides those of the problem's header.
IMPORTS: Final = frozenset({"Init", "Std"})
HEARTBEATS: Final = 200_000
TIME_LIMIT: Final = 30.0

_LOST: Final = {
    "time": Outcome.TIMEOUT,
    "memory": Outcome.MEMORY,
    "output": Outcome.OUTPUT_LIMIT,
    "died": Outcome.ERROR,
}


class _Session:
    """The Lean processes of one worker: the one that reads submissions and, where asked for, the one that only reads declarations."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        backend = choose.backend(str(config["backend"]), config.get("project"), config.get("address"))
        self.config = config
        self.level = ProofLevel(config["level"])
        self.reader: LeanProcess | KiminaServer = (
            KiminaServer(backend) if backend.name == "kimina" else LeanProcess(backend, policy(config["commands"]))
        )
        self.judge = LeanProcess(backend, policy())
        self.backend = backend

    @property
    def fresh(self) -> bool:
        return self.level.reaches(ProofLevel.REPLAY_FRESH_PROCESS)

    def ready(self) -> None:
        self.reader.ready()
        if self.fresh:
            self.judge.ready()

    def ask(self, request: Mapping[str, Any]) -> tuple[dict[str, Any], ProofLevel]:
        """What Lean says, and the level that the submission reached."""
        limit = float(self.config["time_limit"])
        begun = time.monotonic()
        answer = self.reader.ask({"cmd": "check", **request, "certificate": self.fresh}, limit)
        if self.config["commands"] == "any":
            self.reader.close()  # the submission may have left code running in it
        level = _level(answer)
        certificate = answer.pop("certificate", None)
        if self.fresh and level is ProofLevel.REPLAY_SAME_PROCESS and certificate is not None:
            left = max(limit - (time.monotonic() - begun), 1.0)
            task = {key: value for key, value in request.items() if key != "source"}
            again = self.judge.ask({"cmd": "replay", **task, "certificate": certificate}, left)
            if _clean(again):
                level = ProofLevel.REPLAY_FRESH_PROCESS
            else:
                answer.update({key: again[key] for key in _CHECKS if again.get(key)})
                answer["timeout"] = answer.get("timeout") or again.get("timeout")
        if self.level is ProofLevel.SECOND_CHECKER and level is ProofLevel.REPLAY_FRESH_PROCESS:
            why = second_check(self.backend, request, limit)
            if why is None:
                level = ProofLevel.SECOND_CHECKER
            else:
                answer["replay"] = [f"leanchecker: {why}"]
        return answer, level


_CHECKS: Final = ("axioms", "statement", "replay")
_SESSIONS: Final[dict[str, _Session]] = {}


def _session(config: Mapping[str, Any]) -> _Session:
    key = digest("lean", dict(config))
    if key not in _SESSIONS:
        for other in _SESSIONS.values():  # one configuration at a time: each is a gigabyte
            other.reader.close()
            other.judge.close()
        _SESSIONS.clear()
        _SESSIONS[key] = _Session(config)
    return _SESSIONS[key]


def prepare(config: Mapping[str, Any]) -> None:
    """Have the worker's Lean ready, outside the candidate's limits."""
    _session(config).ready()


def check(candidate: Candidate, config: Mapping[str, Any]) -> Judgement:
    """Judge one response."""
    given = candidate.spec.get("statement")
    if not isinstance(given, str) or not given.strip():
        return Judgement(Outcome.ERROR, "the problem's spec has no statement")
    written = candidate.spec.get("header") or ""
    if not isinstance(written, str):
        return Judgement(Outcome.ERROR, "the problem's header is not text")
    statement, header = statement_text(given), header_of(written)
    code, why = code_of(candidate.response, statement, candidate.finish_reason)
    if code is None:
        return Judgement(Outcome.UNPARSED, why)
    if len(code) > LONGEST:
        return Judgement(Outcome.UNPARSED, f"the code is longer than {LONGEST} characters", answer=code)
    submission = submission_of(code, header, statement)
    extra, refused = _imports(submission, header, config)
    if refused is not None:
        return Judgement(Outcome.UNPARSED, f"import not allowed: {refused}", answer=code)
    session = _session(config)
    request = {
        "imports": [*header.imports, *extra],
        "header": header.text,
        "statement": statement,
        "source": submission.source,
        "axioms": list(config["axioms"]),
        "maxHeartbeats": config["heartbeats"],
        "whole": False,
    }
    try:
        answer, level = _asked_twice(session, request)
        if header.text and not submission.single and _declares_again(answer):
            answer, level = _asked_twice(session, {**request, "whole": True})
    except LeanLost as lost:
        return _gone(lost, session, code)
    if any(name in str(answer.get("problem", "")) for name in extra):
        return Judgement(Outcome.INCORRECT, f"it imports what is not there: {', '.join(extra)}"[:300], answer=code)
    return _judgement(answer, level, session, submission)


def _asked_twice(session: _Session, request: Mapping[str, Any]) -> tuple[dict[str, Any], ProofLevel]:
    """Once more, in a new process, where the first died for no reason that it gave."""
    try:
        return session.ask(request)
    except LeanLost as lost:
        if lost.cause != "died":
            raise
    return session.ask(request)


def _imports(submission: Submission, header: Header, config: Mapping[str, Any]) -> tuple[list[str], str | None]:
    """(modules to import beside the header's, the first that may not be)."""
    roots = IMPORTS | {name.partition(".")[0] for name in header.imports} | set(config["imports"])
    extra: list[str] = []
    for name in submission.imports:
        if name.partition(".")[0] not in roots:
            return [], name
        if name not in header.imports and name not in extra and name != "Init":
            extra.append(name)
    return extra, None


def _declares_again(answer: Mapping[str, Any]) -> bool:
    """Whether the submission brought the header's declarations itself."""
    return any("has already been declared" in message["text"] for message in answer.get("messages", ()))


def _clean(answer: Mapping[str, Any]) -> bool:
    return not answer.get("timeout") and all(answer.get(key) == [] for key in _CHECKS)


_FAILED: Final = ("stopped", "blocked", "timeout", "problem", "exception")


def _level(answer: Mapping[str, Any]) -> ProofLevel:
    """The level that an answer shows. Each field must be there and empty: what is missing was not checked."""
    if answer.get("errors") is not False or any(answer.get(key) for key in _FAILED):
        return ProofLevel.NONE
    if answer.get("axioms") != []:
        return ProofLevel.COMPILES
    if answer.get("statement") != []:
        return ProofLevel.AXIOMS
    if answer.get("replay") != []:
        return ProofLevel.PINNED
    return ProofLevel.REPLAY_SAME_PROCESS


def _gone(lost: LeanLost, session: _Session, code: str) -> Judgement:
    """The process is gone: the candidate's doing where a limit was met, ours where it died twice for no reason that it gave."""
    outcome = _LOST[lost.cause]
    evidence = {"back_end": session.backend.label, "level": ProofLevel.NONE.value}
    return Judgement(outcome, f"Lean was ended: {lost.detail}"[:500], answer=code, evidence=evidence)


def _judgement(answer: Mapping[str, Any], level: ProofLevel, session: _Session, submission: Submission) -> Judgement:
    outcome, reason = _outcome(answer, level, session.level)
    evidence: dict[str, Any] = {"level": level.value, "back_end": session.backend.label, "lean": session.reader.version}
    for key in ("target", "declared"):
        if answer.get(key):
            evidence[key] = answer[key]
    for key in _CHECKS:
        if answer.get(key) and answer[key] != ["not checked"]:
            evidence[key] = answer[key]
    if answer.get("messages"):
        evidence["messages"] = [_placed(message, submission.offset) for message in answer["messages"][:8]]
    for key in ("first_error", "blocked"):
        if answer.get(key):
            evidence[key] = _placed(answer[key], submission.offset)
    return Judgement(outcome, reason, answer=submission.code, evidence=_fitting(evidence))


def _outcome(answer: Mapping[str, Any], level: ProofLevel, wanted: ProofLevel) -> tuple[Outcome, str]:
    if answer.get("problem"):
        return Outcome.ERROR, f"this Lean cannot read the problem: {answer['problem']}"
    if answer.get("timeout") or answer.get("stopped") == "time":
        return Outcome.TIMEOUT, "over the time limit"
    if answer.get("exception"):
        return Outcome.ERROR, f"the checker failed: {answer['exception']}"
    if answer.get("blocked"):
        return Outcome.UNPARSED, f"command not allowed: {answer['blocked']['what'].removeprefix('Lean.Parser.')}"
    if answer.get("errors"):
        first = next((m["text"] for m in answer.get("messages", ()) if m["severity"] == "error"), "")
        return (
            Outcome.INCORRECT,
            f"it does not elaborate: {first.splitlines()[0][:200] if first else 'see the messages'}",
        )
    if answer.get("stopped"):
        return Outcome.UNPARSED, f"command not allowed: {answer['stopped'].removeprefix('Lean.Parser.')}"
    if any("sorryAx" in said for said in answer.get("axioms") or ()):
        return Outcome.INCORRECT, f"axioms: {answer['axioms'][0]}"[:300]  # at no level is it a proof
    if level.reaches(wanted):
        return Outcome.CORRECT, f"proved, level {level.value}"
    for key, what in (("axioms", "axioms"), ("statement", "another statement"), ("replay", "the kernel refuses it")):
        if answer.get(key):
            return Outcome.INCORRECT, f"{what}: {answer[key][0]}"[:300]
    return Outcome.INCORRECT, f"it reaches level {level.value} only, and {wanted.value} was asked for"


def _placed(item: Mapping[str, Any], offset: int) -> dict[str, Any]:
    """With the line counted in the response's code, from 1; 0 is the statement that we put before a proof term."""
    return {**item, "line": max(int(item.get("line", 0)) - offset, 0)}


def _fitting(evidence: dict[str, Any]) -> dict[str, Any]:
    """Few enough bytes to be kept: texts are clipped, hardest where there is most."""
    for limit in (2000, 800, 300, 120):
        clipped: dict[str, Any] = _clipped(evidence, limit)
        if len(repr(clipped).encode("utf-8", "replace")) < 5000:
            return clipped
    return {key: evidence[key] for key in ("level", "back_end", "lean")}


def _clipped(value: Any, limit: int) -> Any:
    if isinstance(value, str):
        return value if len(value) <= limit else value[:limit] + " ..."
    if isinstance(value, dict):
        return {key: _clipped(item, limit) for key, item in value.items()}
    if isinstance(value, list):
        return [_clipped(item, limit) for item in value[: max(limit // 25, 4)]]
    return value


_DEFAULTS: Final[dict[str, Any]] = {
    "backend": "auto",
    "project": None,
    "address": None,
    "level": ProofLevel.REPLAY_SAME_PROCESS.value,
    "axioms": list(AXIOMS),
    "commands": [],
    "imports": [],
    "heartbeats": HEARTBEATS,
    "time_limit": TIME_LIMIT,
}


def verifier(options: Mapping[str, Any] | None = None) -> Verifier:
    """The ``lean`` verifier. The embedded back end is installed here where it is chosen and missing.

    Options: ``backend`` (``auto``, ``embedded``, ``native``, ``kimina``), ``project`` (a lake folder, native), ``address`` (kimina), ``level`` (the least for ``correct``),
    ``axioms`` (the allow-list), ``commands`` (allowed beside the default ones; ``any`` needs level ``replay_fresh_process``), ``imports``
    (roots of modules that a response may import), ``heartbeats``, ``time_limit`` (seconds). Raises UsageError for others.
    """
    given = dict(options or {})
    refuse_unknown(given, _DEFAULTS, "the lean verifier")
    config = {**_DEFAULTS, **given}
    wanted = _wanted(config)
    backend = choose.backend(str(config["backend"]), config["project"], config["address"], install=True)
    if wanted.rank > choose.highest(backend).rank:
        raise UsageError(
            f"the {backend.name} back end ends at level {choose.highest(backend).value}, below {wanted.value}",
            where="verifier lean",
            mend=f"ask for level {choose.highest(backend).value}",
        )
    if config["commands"] == "any" and backend.name != "embedded":
        raise UsageError(
            f"the {backend.name} back end has no sandbox for a submission's code",
            where="verifier lean",
            mend="use backend embedded, or name the commands",
        )
    config |= {"backend": backend.name, "lean": backend.version, "level": wanted.value}
    return Verifier(
        "lean",
        VERSION,
        check,
        config,
        time_limit=float(config["time_limit"]),
        memory_limit=None,
        backend=backend.label,
        isolation=backend.isolation,
        prepare=prepare,
        worker_bytes=backend.recycle * (2 if wanted.reaches(ProofLevel.REPLAY_FRESH_PROCESS) else 1),
    )


def _wanted(config: Mapping[str, Any]) -> ProofLevel:
    where = "verifier lean"
    levels = [level.value for level in ProofLevel if level is not ProofLevel.NONE]
    if config["level"] not in levels:
        raise UsageError(f"no level {config['level']!r}", where=where, mend=f"use one of {', '.join(levels)}")
    wanted = ProofLevel(config["level"])
    if config["commands"] == "any" and not wanted.reaches(ProofLevel.REPLAY_FRESH_PROCESS):
        raise UsageError(
            "with every command allowed, a submission's code runs beside the checker",
            where=where,
            mend="ask for level replay_fresh_process, or name the commands",
        )
    if not isinstance(config["axioms"], list) or not all(isinstance(name, str) for name in config["axioms"]):
        raise UsageError("axioms is not a list of names", where=where)
    if "sorryAx" in config["axioms"]:
        raise UsageError("sorryAx is no axiom to allow: it proves everything", where=where)
    return wanted
