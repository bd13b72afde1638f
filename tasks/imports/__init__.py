"""Traces that exist already, from the shapes that people keep them in."""

from tracemill.tasks.imports.registry import Imported, Label, read_traces

__all__ = ["Imported", "Label", "read_traces"]
