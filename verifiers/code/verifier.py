"""The ``code`` verifier: ``check`` runs in a worker of the pool, which keeps its own warm fork servers."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

from tracemill.schemas.enums import Outcome
from tracemill.schemas.ids import canonical_json
from tracemill.verifiers.base import Candidate, Judgement, Verifier
from tracemill.verifiers.code.inside.fence import Layers
from tracemill.verifiers.code.judging import RUNS, Spent, judge_calls, judge_cases, judge_tests
from tracemill.verifiers.code.layers import described, require
from tracemill.verifiers.code.options import WALL, Options, options_of
from tracemill.verifiers.code.program import helpers, program_of
from tracemill.verifiers.code.server import ServerLost, close_servers, server_for
from tracemill.verifiers.code.shapes import BadSpec, Calls, Cases, Shape, Tests, shape_of

VERSION: Final = "1"
#: Packages that test text is known to import, beside the standard library.
TEST_PACKAGES: Final = ("numpy",)


def prepare(config: Mapping[str, Any]) -> None:
    """Have a fork server ready. Raises TracemillError where it does not start, or this host lacks a protection."""
    options = _options(canonical_json(dict(config)))
    require(server_for("programs", options.packages).layers, options.without)


def walls() -> Layers:
    """What this host offers, found by putting it up. Raises TracemillError where a protection is missing."""
    try:
        layers = server_for("programs").layers
        require(layers, ())
    finally:
        close_servers()
    return layers


def check(candidate: Candidate, config: Mapping[str, Any]) -> Judgement:
    """Run the program of a candidate's answer against its problem's tests."""
    options = _options(canonical_json(dict(config)))
    try:
        shape = shape_of(candidate.spec)
        limits = options.limits(seconds(candidate.spec.get("time_limit")))
    except BadSpec as error:
        return Judgement(Outcome.ERROR, f"the problem's spec: {error}")
    entry = entry_of(shape)
    found = program_of(candidate.response, entry, candidate.prompt, candidate.finish_reason)
    if not found.texts:
        return Judgement(Outcome.UNPARSED, found.reason)
    spent = Spent()
    try:
        judgement = judged(found.texts, shape, candidate, options, limits, spent)
    except ServerLost as error:
        judgement = Judgement(Outcome.ERROR, f"the fork server: {error}")
    evidence = {**judgement.evidence, "program": found.how, "chars": len(found.texts[0])}
    return Judgement(
        judgement.outcome,
        judgement.reason,
        evidence=evidence,
        cpu_ms=spent.cpu * 1e3,
        isolation=described(server_for("programs", options.packages).layers, options.without),
    )


def judged(
    programs: tuple[str, ...], shape: Shape, candidate: Candidate, options: Options, limits: Any, spent: Spent
) -> Judgement:
    server = server_for("programs", options.packages)
    require(server.layers, options.without)  # a check may be called without the pool
    if isinstance(shape, Calls):
        return judge_calls(server, programs, shape, limits, spent)
    if isinstance(shape, Cases):
        return judge_cases(server, programs, shape, limits, spent)
    needed = {name for name in TEST_PACKAGES if any(name in text for text in (*shape.texts, shape.setup))}
    referees = server_for("referees", tuple(sorted(needed | set(options.packages))))
    trusted = helpers(candidate.prompt, shape.entry)
    return judge_tests(server, referees, programs, shape, trusted, limits, spent)


def entry_of(shape: Shape) -> str | None:
    """The function that the tests call; None where they run whole programs."""
    if isinstance(shape, Tests):
        return shape.entry
    return shape.calls[0].target if isinstance(shape, Calls) else None


def seconds(value: Any) -> float | None:
    """A problem's own ``time_limit``. Raises BadSpec for what is none."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= 3600:
        raise BadSpec("time_limit is not a number of seconds")
    return float(value)


@lru_cache(maxsize=16)
def _options(config: str) -> Options:
    import json

    return options_of(json.loads(config))


def verifier(options: Mapping[str, Any] | None = None) -> Verifier:
    """The ``code`` verifier. Raises UsageError for a wrong option (see ``options.py``)."""
    parsed = options_of(options or {})
    return Verifier(
        "code",
        VERSION,
        check,
        parsed.as_config(),
        time_limit=parsed.time_limit * WALL * RUNS,
        isolation="sandbox",
        prepare=prepare,
    )
