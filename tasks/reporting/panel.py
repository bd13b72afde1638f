"""The live panel: what a run is doing, on the terminal or as one plain line every ten seconds.

It goes to stderr; stdout is for data. It reads the engine's counters and never touches them.
"""

from __future__ import annotations

import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, TextIO

from tracemill.tasks.engines.base import EngineStats
from tracemill.tasks.reporting.grid import visible

if TYPE_CHECKING:
    from rich.live import Live
    from rich.table import Table

#: Seconds between plain lines, and the window over which tokens per second are measured.
PLAIN_SECONDS: Final = 10.0
WINDOW_SECONDS: Final = 10.0


@dataclass(slots=True)
class Progress:
    """One stage: how much is done, of how much, since when (monotonic seconds)."""

    name: str
    total: int | None
    began: float
    done: int = 0


@dataclass(slots=True)
class Watch:
    """The numbers behind the panel. ``clock`` gives monotonic seconds."""

    clock: Callable[[], float] = time.monotonic
    stages: dict[str, Progress] = field(default_factory=dict)
    current: str | None = None
    stats: EngineStats | None = None
    correct: int = 0
    graded: int = 0
    began: float = field(init=False)
    _tokens: deque[tuple[float, int]] = field(default_factory=deque)
    _before: tuple[float, int] = (0.0, 0)  # when the engine was attached, and its tokens then
    _newest: tuple[float, int] = (0.0, 0)  # when its tokens were last seen to change

    def __post_init__(self) -> None:
        self.began = self.clock()

    def attach(self, stats: EngineStats) -> None:
        """Count from here on."""
        self.stats = stats
        self._before = self._newest = (self.clock(), stats.completion_tokens)
        self._tokens = deque([self._before])

    def tokens_per_second(self) -> float | None:
        """Completion tokens per second over the last ``WINDOW_SECONDS``; None before an engine is attached."""
        if self.stats is None:
            return None
        now = self.clock()
        self._tokens.append((now, self.stats.completion_tokens))
        if self.stats.completion_tokens != self._newest[1]:
            self._newest = self._tokens[-1]
        while len(self._tokens) > 2 and self._tokens[1][0] < now - WINDOW_SECONDS:
            self._tokens.popleft()
        then, count = self._tokens[0]
        return (self.stats.completion_tokens - count) / (now - then) if now > then else 0.0

    def ending(self) -> str | None:
        """What the engine wrote, in how long and how fast; None where it wrote nothing."""
        self.tokens_per_second()
        seconds, tokens = (new - old for new, old in zip(self._newest, self._before, strict=True))
        if not tokens or seconds <= 0:
            return None
        whole = clock_text(self.clock() - self.began)
        return f"{tokens:,.0f} completion tokens in {clock_text(seconds)}, {tokens / seconds:,.0f} tokens/s; {whole} in all"

    def eta(self, stage: Progress) -> float | None:
        """Seconds until ``stage`` is done at its mean rate so far; None where that is not known."""
        if stage.total is None or not stage.done:
            return None
        return max(0, stage.total - stage.done) * (self.clock() - stage.began) / stage.done

    def facts(self) -> list[str]:
        """What is known of the engine and the verdicts, a phrase each."""
        parts: list[str] = []
        rate = self.tokens_per_second()
        if self.stats is not None and rate is not None:
            limit = f"/{self.stats.limit}" if self.stats.limit else ""
            parts += [f"{rate:,.0f} tokens/s", f"{self.stats.in_flight}{limit} requests in flight"]
            if self.stats.retries:
                parts.append(f"{self.stats.retries} retries")
        if self.graded:
            parts.append(f"{100 * self.correct / self.graded:.1f} % of {self.graded:,} verified correct")
        if self.stats is not None and self.stats.cost_usd:
            parts.append(f"${self.stats.cost_usd:,.2f}")
        return parts

    def line(self) -> str:
        """Everything in one plain line."""
        parts = [self.count(self.stages[self.current])] if self.current else []
        parts += [
            self.count(s) for s in self.stages.values() if s.name != self.current and s.total and s.done < s.total
        ]
        parts += self.facts()
        left = self.eta(self.stages[self.current]) if self.current else None
        if left:
            parts.append(f"ETA {clock_text(left)}")
        return f"[{clock_text(self.clock() - self.began)}] " + " · ".join(parts)

    @staticmethod
    def count(stage: Progress) -> str:
        if stage.total is None:
            return stage.name if not stage.done else f"{stage.name} {stage.done:,}"
        part = f" ({100 * stage.done / stage.total:.0f} %)" if stage.total else ""
        return f"{stage.name} {stage.done:,}/{stage.total:,}{part}"


def clock_text(seconds: float) -> str:
    """``mm:ss``, or ``h:mm:ss`` from an hour on."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes:02}:{rest:02}"


class Panel:
    """A ``Listener`` that shows. Live where ``stream`` is a terminal and ``plain`` is not asked for."""

    def __init__(
        self,
        title: str,
        *,
        stream: TextIO | None = None,
        plain: bool | None = None,
        every: float = PLAIN_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._title = title
        self._stream = stream or sys.stderr
        self._watch = Watch(clock)
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._every = every
        self._live: Live | None = None
        self._ticker: threading.Thread | None = None
        live = self._stream.isatty() if plain is None else not plain
        if live:
            self._live = self._go_live()
        else:
            self._ticker = threading.Thread(target=self._tick, name="panel", daemon=True)
            self._ticker.start()

    def stage(self, name: str, total: int | None) -> None:
        """Begin ``name``, or give it another total; a plain panel says how the stage before it ended."""
        with self._lock:
            watch = self._watch
            held = watch.stages.get(name)
            if held is not None:
                held.total, held.done, held.began = total, 0, watch.clock()
            else:
                watch.stages[name] = Progress(name, total, watch.clock())
            if self._live is None and watch.current is not None:
                self._say(watch.line())
            watch.current = name

    def advance(self, name: str, n: int = 1) -> None:
        with self._lock:
            stage = self._watch.stages.get(name)
            if stage is None:
                stage = self._watch.stages[name] = Progress(name, None, self._watch.clock())
            stage.done += n

    def note(self, text: str) -> None:
        with self._lock:
            if self._live is not None:
                from rich.text import Text

                self._live.console.print(Text(visible(text)))
            else:
                self._say(visible(text))

    def attach(self, stats: EngineStats) -> None:
        with self._lock:
            self._watch.attach(stats)

    def verdicts(self, correct: int, graded: int) -> None:
        with self._lock:
            self._watch.correct += correct
            self._watch.graded += graded

    def close(self) -> None:
        """Show the last state and stop."""
        if self._closed.is_set():
            return
        self._closed.set()
        ending = self._watch.ending()
        if self._live is not None:
            self._live.stop()
            if ending is not None:
                self._live.console.print(ending)
            return
        with self._lock:
            if self._watch.current is not None:
                self._say(self._watch.line())
            if ending is not None:
                self._say(ending)

    def _go_live(self) -> Live:
        from rich.console import Console
        from rich.live import Live

        live = Live(
            console=Console(file=self._stream),
            get_renderable=self._table,
            refresh_per_second=4,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        live.start()
        return live

    def _table(self) -> Table:
        from rich.progress_bar import ProgressBar
        from rich.table import Table

        table = Table.grid(padding=(0, 2))
        watch = self._watch
        for stage in list(watch.stages.values()):
            bar = ProgressBar(total=stage.total or 1, completed=min(stage.done, stage.total or 0), width=24)
            left = watch.eta(stage)
            running = left is not None and stage.total is not None and stage.done < stage.total
            table.add_row(
                f"{'▸' if stage.name == watch.current else ' '} {watch.count(stage)}",
                bar if stage.total else "",
                f"ETA {clock_text(left)}" if running and left is not None else "",
            )
        outer = Table.grid()
        outer.add_row(f"{self._title}  {clock_text(watch.clock() - watch.began)}", style="bold")
        outer.add_row(table)
        outer.add_row(" · ".join(watch.facts()))
        return outer

    def _tick(self) -> None:
        while not self._closed.wait(self._every):
            with self._lock:
                if self._watch.current is not None and not self._closed.is_set():
                    self._say(self._watch.line())

    def _say(self, line: str) -> None:
        try:
            print(line, file=self._stream, flush=True)
        except OSError:
            self._closed.set()  # nobody reads any more; the work goes on
