"""Does the code of a text run? Asked as a chain of thought grows (rStar-Math, arXiv 2501.04519; algorithms §2.14).

The program is loaded in the ``code`` verifier's sandbox, which has no network, no files and limits of its own; what it prints
or claims is not looked at. A failure of the sandbox is not held against the text.
"""

from __future__ import annotations

import asyncio
import atexit
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Any, Final

from tracemill.schemas.enums import Outcome
from tracemill.verifiers.base import Candidate
from tracemill.verifiers.code.server import close_servers
from tracemill.verifiers.code.verifier import check, verifier

#: Seconds that all code so far may take.
SECONDS: Final = 2.0
_MARK: Final = "tracemill_has_run"
_SPEC: Final = {"calls": [{"args": [], "output": 1}], "entry_point": _MARK}
_RUNNER: Final = ThreadPoolExecutor(max_workers=1, thread_name_prefix="running-code")


async def runs(code: str) -> bool:
    """Whether ``code`` runs to its end within ``SECONDS``, without an exception."""
    return await asyncio.get_running_loop().run_in_executor(_RUNNER, _runs, code)


def _runs(code: str) -> bool:
    response = f"```python\n{code}\n\ndef {_MARK}():\n    return 1\n```"
    judged = check(Candidate("running", response, spec=_SPEC), _config())
    return judged.outcome in (Outcome.CORRECT, Outcome.ERROR)


@lru_cache(maxsize=1)
def _config() -> dict[str, Any]:
    atexit.register(close_servers)
    return dict(verifier({"time_limit": SECONDS}).config)
