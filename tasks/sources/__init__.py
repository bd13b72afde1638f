"""Problems from files, the Hub, reasoning-gym and the known benchmark shapes."""

from tracemill.tasks.sources.registry import Loaded, load_problems

__all__ = ["Loaded", "load_problems"]
