"""What the pipeline tells whoever watches it. A listener only listens: it never raises and never changes the work."""

from __future__ import annotations

from typing import Protocol

from tracemill.tasks.engines.base import EngineStats


class Listener(Protocol):
    """Told of stages, progress and verdicts as they happen, from the thread that runs the pipeline."""

    def stage(self, name: str, total: int | None) -> None:
        """The stage ``name`` begins, or begins again with another ``total`` (rows to come, None where unknown)."""

    def advance(self, name: str, n: int = 1) -> None:
        """``n`` more rows of the stage ``name`` are done."""

    def note(self, text: str) -> None:
        """One line that the user should read."""

    def attach(self, stats: EngineStats) -> None:
        """The engine's live counters, to be read at any time until ``close``."""

    def verdicts(self, correct: int, graded: int) -> None:
        """``graded`` more verdicts other than ``error``, of which ``correct`` were correct."""

    def close(self) -> None:
        """Nothing more will come. Closing twice does nothing."""


class NullListener:
    """Hears nothing."""

    def stage(self, name: str, total: int | None) -> None: ...

    def advance(self, name: str, n: int = 1) -> None: ...

    def note(self, text: str) -> None: ...

    def attach(self, stats: EngineStats) -> None: ...

    def verdicts(self, correct: int, graded: int) -> None: ...

    def close(self) -> None: ...
