"""A Kimina Lean server as a back end, over its HTTP interface (``POST /api/check``).

What must stay true: it is taken at its word for no more than its word says. The server reports messages and ``sorry``s of a text; it compares no
statement and looks at no axioms, so a submission reaches level ``compiles`` and never more, and with the default level no verdict over it is
``correct``. What it was not asked is ``not checked``. A server that fails, is busy or cannot be reached is ``error``, never ``incorrect``.
"""

from __future__ import annotations

import http.client
import json
import os
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any, Final

from tracemill.schemas.errors import UsageError
from tracemill.verifiers.lean.backend import Backend
from tracemill.verifiers.lean.process import OUTPUT, LeanLost

#: Seconds for the connection and the answer beyond the server's own limit.
SLACK: Final = 10.0
#: The environment variable with the server's key, where it wants one.
KEY: Final = "KIMINA_API_KEY"
_NOT_CHECKED: Final = ["not checked"]


def kimina(address: str | None) -> Backend:
    """The back end at that address (``http://127.0.0.1:8000``). Raises UsageError for one that is none."""
    if not address or not address.startswith(("http://", "https://")):
        raise UsageError(
            "no address of a Kimina server",
            where="verifier lean, backend kimina",
            mend="--option address=http://127.0.0.1:8000",
        )
    return Backend("kimina", "unknown", (address.rstrip("/"),), isolation="a server's own", recycle=0)


class KiminaServer:
    """Speaks for the server what a ``LeanProcess`` speaks for a process of ours."""

    def __init__(self, backend: Backend) -> None:
        self.backend, self.version = backend, backend.version

    def ready(self) -> None:
        """Nothing to start."""

    def close(self) -> None:
        """Nothing to end."""

    def ask(self, request: Mapping[str, Any], limit: float) -> dict[str, Any]:
        """A ``check`` request as one snippet. Raises LeanLost where the server does not answer it."""
        imports = "".join(f"import {name}\n" for name in request["imports"])
        before = imports + (request["header"] + "\n" if request["header"] else "")
        snippet = {"id": "0", "code": before + request["source"]}
        body = {"snippets": [snippet], "timeout": max(int(limit), 1), "debug": False, "reuse": True}
        result = self._post(body, limit)
        error, response = result.get("error"), result.get("response")
        if error is not None:
            if "timed out" in str(error):
                return {"timeout": True}
            raise LeanLost("died", f"the server failed: {str(error)[:300]}")
        if not isinstance(response, dict) or "message" in response:
            said = response.get("message") if isinstance(response, dict) else response
            return {"exception": f"the server's Lean failed: {str(said)[:300]}"}
        return _answer(response, before.count("\n"))

    def _post(self, body: Mapping[str, Any], limit: float) -> dict[str, Any]:
        headers = {"Content-Type": "application/json"}
        if key := os.environ.get(KEY):
            headers["Authorization"] = f"Bearer {key}"
        asked = urllib.request.Request(
            f"{self.backend.command[0]}/api/check", json.dumps(body).encode(), headers, method="POST"
        )
        try:
            with urllib.request.urlopen(asked, timeout=limit + SLACK) as reply:
                said = reply.read(OUTPUT + 1)
        except TimeoutError as error:
            raise LeanLost("died", "the server did not answer in time") from error
        except (urllib.error.URLError, http.client.HTTPException, OSError) as error:
            raise LeanLost("died", f"the server cannot be asked: {error}") from error
        if len(said) > OUTPUT:
            raise LeanLost("output", f"over {OUTPUT >> 20} MB of answer")
        try:
            (result,) = json.loads(said)["results"]
        except (ValueError, KeyError, TypeError) as error:
            raise LeanLost("died", "the server's answer is not what it should be") from error
        if not isinstance(result, dict):
            raise LeanLost("died", "the server's answer is not what it should be")
        return result


def _answer(response: Mapping[str, Any], before: int) -> dict[str, Any]:
    """The server's messages as ours. A ``sorry`` that it saw is an error: it knows no axioms to refuse it by."""
    messages: list[dict[str, Any]] = []
    for message in response.get("messages") or ():
        place = message.get("pos") or {}
        messages.append(
            {
                "severity": str(message.get("severity")),
                "line": int(place.get("line", 0)) - before,
                "column": int(place.get("column", 0)),
                "text": str(message.get("data", "")),
            }
        )
    sorry = bool(response.get("sorries")) or any(
        "declaration uses" in m["text"] and "sorry" in m["text"] for m in messages
    )
    if sorry:
        messages.insert(0, {"severity": "error", "line": 1, "column": 0, "text": "it uses sorry"})
    wrong = any(message["severity"] == "error" for message in messages)
    unchecked = {"axioms": _NOT_CHECKED, "statement": _NOT_CHECKED, "replay": _NOT_CHECKED}
    return {"errors": wrong, "messages": messages[:20], **unchecked}
