"""Prefect's settings, before Prefect is imported: a home of our own, nothing measured for anyone, nothing printed.

The user's own Prefect home is neither read nor written. ``PREFECT_API_URL`` in the environment names the server to use.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

#: Settings of every process of ours that imports Prefect. The user's own environment variables win.
SETTINGS: Final = {
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_LOGGING_LEVEL": "CRITICAL",
    "PREFECT_LOGGING_SERVER_LEVEL": "ERROR",
    "PREFECT_LOGGING_INTERNAL_LEVEL": "CRITICAL",
    "PREFECT_LOGGING_TO_API_ENABLED": "false",
    "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore",
    "PREFECT_RESULTS_PERSIST_BY_DEFAULT": "false",
    "PREFECT_CLI_PROMPT": "false",
    "PREFECT_CLI_COLORS": "false",
    # an API that does not answer must not hold up a run
    "PREFECT_API_REQUEST_TIMEOUT": "10",
    "PREFECT_CLIENT_MAX_RETRIES": "1",
    "PREFECT_SERVER_EPHEMERAL_ENABLED": "false",
}


def home() -> Path:
    """Where Tracemill keeps what is not a run: ``$TRACEMILL_HOME``, else ``~/.cache/tracemill``."""
    return Path(os.environ.get("TRACEMILL_HOME") or Path.home() / ".cache" / "tracemill").absolute()


def prefect_home() -> Path:
    """Prefect's home below ours: its database, logs and profiles."""
    folder = home() / "prefect"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def hush() -> None:
    """Put the settings into this process's environment. Call it before anything imports Prefect."""
    os.environ["PREFECT_HOME"] = str(prefect_home())
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
