"""From a verifier to its canaries. A new suite is one module with ``suite() -> Suite`` and one line here.

A verifier of somebody else's has the canaries that its check's module says: a function ``canaries() -> Suite`` beside the
check. One without is used without, and the run says so.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping
from typing import Final

from tracemill.schemas.errors import UsageError
from tracemill.verifiers.base import Verifier
from tracemill.verifiers.canaries.base import Suite

_BUILT_IN: Final[Mapping[str, str]] = {
    "answer": "tracemill.verifiers.canaries.answer",
    "code": "tracemill.verifiers.canaries.code",
    "consensus": "tracemill.verifiers.canaries.consensus",
    "countdown": "tracemill.verifiers.canaries.countdown",
    "lean": "tracemill.verifiers.canaries.lean",
    "judge": "tracemill.verifiers.canaries.judge",
    "puzzle": "tracemill.verifiers.canaries.puzzle",
    "reward": "tracemill.verifiers.canaries.reward",
    "stream_of_search": "tracemill.verifiers.canaries.stream_of_search",
}


def known() -> list[str]:
    """The verifiers of ours that have canaries."""
    return sorted(_BUILT_IN)


def find_suite(verifier: Verifier) -> Suite | None:
    """The canaries of ``verifier``; None where nobody wrote any. Raises UsageError for ``canaries`` of another kind."""
    if verifier.name in _BUILT_IN:
        suite = importlib.import_module(_BUILT_IN[verifier.name]).suite()
    else:
        own = getattr(sys.modules.get(verifier.check.__module__), "canaries", None)
        if own is None:
            return None
        suite = own() if callable(own) else own
    if not isinstance(suite, Suite):
        raise UsageError(
            f"its canaries are a {type(suite).__name__}, not a Suite",
            where=f"verifier {verifier.name}",
            mend="write canaries() -> Suite beside its check",
        )
    return suite
