"""Which ``tracemill serve`` runs now: one note under our home, believed only while its process lives and answers."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path

from tracemill.flows import quiet
from tracemill.flows.prefect_server import answers
from tracemill.tasks.engines.reaper import start_time


def _note() -> Path:
    return quiet.prefect_home() / "serve.json"


@contextlib.contextmanager
def noted(port: int) -> Iterator[None]:
    """While this lasts, others find the server on ``port``."""
    note, draft = _note(), _note().with_suffix(".draft")
    draft.write_text(json.dumps({"pid": os.getpid(), "start": start_time(os.getpid()), "port": port}))
    draft.replace(note)
    try:
        yield
    finally:
        note.unlink(missing_ok=True)


def running_server() -> str | None:
    """The API address of the running ``tracemill serve``; None where none runs."""
    try:
        note = json.loads(_note().read_text())
        port, pid, start = int(note["port"]), int(note["pid"]), note["start"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    if start is None or start_time(pid) != start or not answers(port):
        return None
    return f"http://127.0.0.1:{port}/api"
