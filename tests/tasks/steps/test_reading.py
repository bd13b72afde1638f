"""Arithmetic read by other processes: the same places, in the same order, and nobody is left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tracemill.schemas.errors import TracemillError
from tracemill.tasks.steps import reading
from tracemill.tasks.steps.reading import places_of, read_in_order

LINE = st.sampled_from(["3 + 4 = 7", "3 + 4 = 8", "so 2 * 5 = 11.", "x = 3 + 4 = 9", "no sum", "\ud800 1 + 1 = 3", ""])
BATCHES = st.lists(st.lists(st.lists(LINE, max_size=4).map("\n".join), max_size=5), max_size=7)


@settings(max_examples=8, deadline=None)
@given(BATCHES, st.integers(1, 3))
def test_the_places_are_those_of_one_process_in_order(batches, readers):
    expected = [(batch, [places_of(text) for text in batch]) for batch in batches]
    assert list(read_in_order(batches, lambda batch: batch, readers)) == expected


@pytest.fixture
def readers(monkeypatch):
    started = []
    spawn = reading._reader

    def noted():
        started.append(spawn())
        return started[-1]

    monkeypatch.setattr(reading, "_reader", noted)
    return started


def test_readers_end_with_the_reading_even_when_it_is_broken_off(readers):
    found = read_in_order([["1 + 1 = 3"]] * 50, lambda batch: batch, 2)
    next(found)
    found.close()
    assert len(readers) == 2
    assert all(process.poll() is not None for process in readers)


def test_a_reader_that_is_lost_is_an_error_and_no_silence(readers):
    found = read_in_order([["1 + 1 = 3"]] * 50, lambda batch: batch, 2)
    next(found)
    for process in readers:
        process.kill()
    with pytest.raises(TracemillError, match="ended by itself"):
        list(found)


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="looks for processes in /proc")
def test_readers_do_not_outlive_a_process_that_is_killed():
    code = (
        "from tracemill.tasks.steps import reading\n"
        "found = reading.read_in_order(iter(lambda: ['1 + 1 = 3'], None), lambda batch: batch, 2)\n"
        "spawn, pids = reading._reader, []\n"
        "def noted():\n    process = spawn()\n    pids.append(process.pid)\n    return process\n"
        "reading._reader = noted\nnext(found)\nprint(*pids, flush=True)\ninput()\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    pids = list(map(int, parent.stdout.readline().split()))
    assert len(pids) == 2
    parent.send_signal(signal.SIGKILL)
    parent.communicate()
    deadline = time.monotonic() + 20
    while any(_runs(pid) for pid in pids):
        assert time.monotonic() < deadline, "a reader outlived its parent"
        time.sleep(0.05)


def _runs(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
