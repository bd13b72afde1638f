"""What a verifier is: a named, versioned function from one untrusted candidate to one judgement.

``check`` runs in a worker process under limits; it may raise or hang, and the pool turns that into a verdict. A bad
candidate is never an exception for the caller, and a failure of ours is ``error``, never ``incorrect``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tracemill.schemas.enums import Level, Outcome
from tracemill.schemas.ids import digest, text_hash

#: Longest ``evidence`` kept with a verdict, in bytes of JSON.
EVIDENCE_BYTES = 8192


@dataclass(frozen=True, slots=True)
class Candidate:
    """One response to check. ``response`` is model output: hostile until verified.

    ``finish_reason`` is why generation ended, so that a truncated response is not read as a finished one; ``spec`` holds
    the problem's inputs to the verifier (``options``, ``tests``, the puzzle entry); ``prompt`` and ``choices`` are the problem's.
    """

    subject_id: str
    response: str
    gold: str | None = None
    spec: Mapping[str, Any] = field(default_factory=dict)
    prompt: str = ""
    choices: tuple[str, ...] | None = None
    finish_reason: str = "stop"

    @property
    def inputs_hash(self) -> str:
        """Identifies all that the verdict depends on besides the verifier."""
        said = text_hash(self.response)  # a long text as JSON would cost more than its check
        return digest("i", said, self.gold, dict(self.spec), self.prompt, self.choices, self.finish_reason)[2:]


@dataclass(frozen=True, slots=True)
class Judgement:
    """What one check found. ``answer`` is the extracted answer as written, None where there is none.

    A check that has processes of its own says in ``cpu_ms`` what they used, and in ``isolation`` how they were walled in.
    """

    outcome: Outcome
    reason: str
    score: float | None = None
    answer: str | None = None
    evidence: Mapping[str, Any] = field(default_factory=dict)
    cpu_ms: float = 0.0
    isolation: str | None = None


@dataclass(frozen=True, slots=True)
class Verifier:
    """A verifier as configured. ``name``, ``version`` and ``config`` identify its verdicts.

    ``check(candidate, config)`` is a module-level function (it is called in worker processes). ``time_limit`` is in
    seconds per candidate, measured inside the worker; ``memory_limit`` in bytes of address space per worker. ``prepare(config)``
    is called in the worker before each candidate, outside its limits: it starts, or replaces, what the check needs.
    ``worker_bytes`` is the memory that such helpers of one worker take, so that no more workers run than fit.
    """

    name: str
    version: str
    check: Callable[[Candidate, Mapping[str, Any]], Judgement]
    config: Mapping[str, Any] = field(default_factory=dict)
    level: Level = Level.RULE
    time_limit: float = 10.0
    memory_limit: int | None = 4 << 30
    backend: str = "python"
    isolation: str = "process"
    prepare: Callable[[Mapping[str, Any]], None] | None = None
    worker_bytes: int = 0

    @property
    def config_hash(self) -> str:
        """Identifies the options and limits under which the verdicts were given."""
        return digest("c", dict(self.config), self.time_limit, self.memory_limit)[2:]

    def verdict(self, subject_id: str, inputs_hash: str, judgement: Judgement) -> Verdict:
        """``judgement`` as this verifier's, where it was found elsewhere than in a worker."""
        own = (self.name, self.version, self.config_hash)
        return Verdict(subject_id, *own, inputs_hash, judgement, self.level, self.backend, self.isolation)


@dataclass(frozen=True, slots=True)
class Verdict:
    """A judgement with its provenance: one row of ``verdicts``."""

    subject_id: str
    verifier: str
    version: str
    config_hash: str
    inputs_hash: str
    judgement: Judgement
    level: Level
    backend: str
    isolation: str
    cpu_ms: float | None = None
    wall_ms: float | None = None

    @property
    def correct(self) -> bool:
        """True for a rule verifier's ``correct`` alone."""
        return self.judgement.outcome is Outcome.CORRECT and self.level is Level.RULE
