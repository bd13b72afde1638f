"""From a name, or ``module:function``, to a ``Verifier``.

One rule for ``module:function``: with two parameters it is a check, ``check(candidate, config) -> Judgement`` (or bool);
with one it is a factory, ``factory(options) -> Verifier``; a ``Verifier`` itself is taken as it is. The version of a check
is its module's ``VERSION``, else a digest of the module's source, so that an edited check gives new verdicts. Further
names come from entry points of the group ``tracemill.verifiers``, read as ``module:function``.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from importlib.metadata import entry_points
from typing import Any, Final

from tracemill.schemas.errors import UsageError
from tracemill.schemas.ids import text_hash
from tracemill.schemas.plugins import resolve
from tracemill.verifiers import answer, consensus, countdown, judge, puzzle, reward, stream_of_search
from tracemill.verifiers.base import Verifier
from tracemill.verifiers.code import verifier as code
from tracemill.verifiers.lean import verifier as lean

GROUP: Final = "tracemill.verifiers"
_BUILT_IN: Final[Mapping[str, Callable[[Mapping[str, Any]], Verifier]]] = {
    "answer": answer.verifier,
    "code": code.verifier,
    "consensus": consensus.consensus,
    "countdown": countdown.verifier,
    "lean": lean.verifier,
    "judge": judge.judge,
    "puzzle": puzzle.verifier,
    "stream_of_search": stream_of_search.verifier,
    "reward": reward.reward,
}

#: Those that ask a model: as ``Verifier`` they are only the rules around it (its gate, the reading of its answer).
ASKING: Final = frozenset({judge.NAME, reward.NAME})

#: Verifiers that install what they need when they are first built.
INSTALLED: Final = frozenset({"lean"})


def known() -> list[str]:
    """The names that ``build_verifier`` takes, besides ``module:function``."""
    return sorted({*_BUILT_IN, *(point.name for point in entry_points(group=GROUP))})


def build_verifier(
    name_or_path: str, options: Mapping[str, Any] | None = None, time_limit: float | None = None
) -> Verifier:
    """The verifier of that name with these options. ``time_limit`` is in seconds of CPU per candidate; a verifier that has
    an option of that name (``code``) takes it as that: the limit of one run of a program.

    Raises UsageError for a name, module, function or option that is not there.
    """
    given = dict(options or {})
    target = resolve(name_or_path, _BUILT_IN, noun="verifier", group=GROUP)
    found = _BUILT_IN[name_or_path](given) if name_or_path in _BUILT_IN else _own(name_or_path, target, given)
    if time_limit is None:
        return found
    if not time_limit > 0:
        raise UsageError(f"time limit must be above 0 seconds, not {time_limit}", where=f"verifier {name_or_path}")
    # a check that keeps the time itself finds its limit in its options
    if name_or_path in _BUILT_IN and "time_limit" in found.config:
        return _BUILT_IN[name_or_path]({**given, "time_limit": float(time_limit)})
    own = {"time_limit": float(time_limit)} if "time_limit" in found.config else {}
    return replace(found, time_limit=float(time_limit), config={**found.config, **own})


def _own(name: str, target: Any, options: Mapping[str, Any]) -> Verifier:
    where = f"verifier {name}"
    if isinstance(target, Verifier):
        return replace(target, config={**target.config, **options})
    if not callable(target):
        raise UsageError(f"it is a {type(target).__name__}, not a function", where=where)
    parameters = _parameters(target, where)
    if parameters == 2:
        return Verifier(name, _version(target.__module__, where), target, options)
    if parameters != 1:
        raise UsageError(
            f"it takes {parameters} parameters",
            where=where,
            mend="write check(candidate, config) -> Judgement, or factory(options) -> Verifier",
        )
    made = target(options)
    if not isinstance(made, Verifier):
        raise UsageError(
            f"it returned {type(made).__name__}, not a Verifier",
            where=where,
            mend="a check takes two parameters: check(candidate, config)",
        )
    return made


def _parameters(target: Callable[..., Any], where: str) -> int:
    try:
        signature = inspect.signature(target)
    except (TypeError, ValueError) as error:
        raise UsageError(f"its parameters cannot be read: {error}", where=where) from error
    return sum(
        p.default is p.empty and p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
        for p in signature.parameters.values()
    )


def _version(module_name: str, where: str) -> str:
    module = sys.modules[module_name]
    version = getattr(module, "VERSION", None)
    if version is not None:
        return str(version)
    try:
        return f"source-{text_hash(inspect.getsource(module))[:12]}"
    except (OSError, TypeError) as error:
        raise UsageError("it has neither VERSION nor source", where=where, mend="set VERSION in its module") from error
