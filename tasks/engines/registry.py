"""From the recipe's engine to the engine; the servers are imported only where they are asked for."""

from __future__ import annotations

import os

from tracemill.schemas.recipe import EngineSpec
from tracemill.tasks.engines.base import Engine


def engine_home() -> str:
    """The folder for servers' logs, pid files and caches: ``$TRACEMILL_HOME``, else ``~/.cache/tracemill``."""
    return os.environ.get("TRACEMILL_HOME") or os.path.expanduser("~/.cache/tracemill")


def build_engine(spec: EngineSpec, home: str) -> Engine:
    """The engine of ``spec``, not started. ``home`` is a folder for what a server of ours keeps (logs, pid files)."""
    match spec.kind:
        case "local":
            from tracemill.tasks.engines.local import LocalEngine

            return LocalEngine(spec, home)
        case "vllm":
            from tracemill.tasks.engines.vllm import VllmEngine

            return VllmEngine(spec, home)
        case "openai":
            from tracemill.tasks.engines.openai import OpenAiEngine

            return OpenAiEngine(spec)
        case "none":
            from tracemill.tasks.engines.none import NoEngine

            return NoEngine(spec)
        case "replay":
            from tracemill.tasks.engines.replay import ReplayEngine

            return ReplayEngine(spec)
        case "simulated":
            from tracemill.tasks.engines.simulated import SimulatedEngine

            return SimulatedEngine(spec)
