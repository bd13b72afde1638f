"""The panel: plain lines where there is no terminal, a live one where there is, and never an exception."""

from __future__ import annotations

import io
import re

import pytest

from tracemill.tasks.engines.base import EngineStats
from tracemill.tasks.reporting.listener import Listener, NullListener
from tracemill.tasks.reporting.panel import Panel, Watch, clock_text


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_both_are_listeners() -> None:
    listeners: list[Listener] = [NullListener(), Panel("x", stream=io.StringIO(), plain=True)]
    for listener in listeners:
        listener.close()


def test_a_plain_panel_says_a_line_when_a_stage_ends() -> None:
    stream, clock = io.StringIO(), Clock()
    panel = Panel("demo", stream=stream, plain=True, clock=clock)
    stats = EngineStats(in_flight=3, limit=8)
    panel.stage("sample", 10)
    panel.attach(stats)
    panel.advance("sample", 5)
    panel.verdicts(1, 4)
    clock.now += 10
    stats.completion_tokens = 420
    panel.stage("views", None)
    panel.note("said in passing \x1b[2J")
    panel.close()
    panel.close()
    first, note, last, ending = stream.getvalue().splitlines()
    assert first == (
        "[00:10] sample 5/10 (50 %) · 42 tokens/s · 3/8 requests in flight · 25.0 % of 4 verified correct · ETA 00:10"
    )
    assert note == "said in passing \\x1b[2J"
    assert last.startswith("[00:10] views")
    assert ending == "420 completion tokens in 00:10, 42 tokens/s; 00:10 in all"


def test_a_plain_panel_speaks_while_nothing_advances() -> None:
    stream = io.StringIO()
    panel = Panel("demo", stream=stream, plain=True, every=0.01)
    panel.stage("sample", 10)
    deadline = 500
    while stream.getvalue().count("\n") < 2 and deadline:
        deadline -= 1
        panel._closed.wait(0.01)
    panel.close()
    assert stream.getvalue().count("sample 0/10") >= 2


def test_tokens_per_second_are_those_of_the_last_seconds() -> None:
    clock = Clock()
    watch = Watch(clock)
    stats = EngineStats()
    watch.attach(stats)
    for _ in range(60):
        watch.tokens_per_second()
        clock.now += 1
        stats.completion_tokens += 100
    assert watch.tokens_per_second() == pytest.approx(100)
    for _ in range(30):
        watch.tokens_per_second()
        clock.now += 1
    assert watch.tokens_per_second() == 0


def test_progress_beyond_the_total_gives_no_negative_eta() -> None:
    clock = Clock()
    watch = Watch(clock)
    panel = Panel("x", stream=io.StringIO(), plain=True, clock=clock)
    panel.stage("verify", 2)
    panel.advance("verify", 5)
    panel.advance("unannounced")
    panel.close()
    assert watch.eta(panel._watch.stages["verify"]) == 0


def test_a_closed_stream_does_not_stop_the_work() -> None:
    class Broken(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    panel = Panel("x", stream=Broken(), plain=True)
    panel.stage("a", 1)
    panel.stage("b", 1)
    panel.close()


def test_a_live_panel_draws_every_stage() -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    stream = Terminal()
    panel = Panel("demo", stream=stream)
    panel.stage("sample", 4)
    panel.attach(EngineStats(in_flight=1, cost_usd=1.5))
    panel.advance("sample", 2)
    panel.note("[bold]not markup[/bold]")
    panel.close()
    drawn = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", stream.getvalue())
    assert "sample 2/4 (50 %)" in drawn
    assert "[bold]not markup[/bold]" in drawn
    assert "$1.50" in drawn


@pytest.mark.parametrize(("seconds", "text"), [(0, "00:00"), (61.9, "01:01"), (3600, "1:00:00")])
def test_times_read_as_a_clock(seconds: float, text: str) -> None:
    assert clock_text(seconds) == text
