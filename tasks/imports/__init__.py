"""Traces that exist already, from the shapes that people keep them in."""

from tracemill.tasks.imports.collect import Label
from tracemill.tasks.imports.registry import Imported, read_traces

__all__ = ["Imported", "Label", "read_traces"]
