"""Each limit gives its own outcome, whatever the program does about it."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

from tracemill.schemas.enums import Outcome

RESOURCES = runpy.run_path(str(Path(__file__).with_name("attacks.py")))["RESOURCES"]


@pytest.mark.parametrize("name", RESOURCES)
def test_a_limit_gives_its_outcome(judged, name):
    outcome, text = RESOURCES[name]
    found = judged(text, time_limit=0.6 if outcome == "timeout" else 10.0)  # time is only the last limit to be met
    assert found.outcome == outcome, found


def test_a_value_that_unfolds_without_end_is_no_data(judged):
    text = "def mul(a, b):\n    x = [0]\n    for _ in range(40): x = [x, x]\n    return x"
    found = judged(text, time_limit=30.0)
    assert (found.outcome, "too many values" in found.reason) == (Outcome.INCORRECT, True)


def test_memory_is_what_the_option_says(judged):
    text = "def mul(a, b):\n    x = bytearray(300 << 20)\n    return a * b"
    assert judged(text, memory=256).outcome is Outcome.MEMORY
    assert judged(text, memory=512).outcome is Outcome.CORRECT


def test_a_problem_s_own_time_limit_comes_first(judged):
    text = "import time\ndef mul(a, b):\n    t = time.process_time()\n    while time.process_time() - t < 0.2: pass\n    return a * b"
    spec = {"tests": ["assert mul(2, 3) == 6"], "time_limit": 0.05}
    assert judged(text, spec, time_limit=5.0).outcome is Outcome.TIMEOUT
    assert judged(text, {**spec, "time_limit": 3}, time_limit=0.05).outcome is Outcome.CORRECT


def test_the_limit_of_cases_is_for_each(judged):
    text = "import time\nt = time.process_time()\nwhile time.process_time() - t < 0.3: pass\nprint(1)"
    assert judged(text, {"cases": [["", "1"]] * 3}, time_limit=0.6).outcome is Outcome.CORRECT


def test_what_the_children_used_is_counted(judged):
    text = "import time\ndef mul(a, b):\n    t = time.process_time()\n    while time.process_time() - t < 0.2: pass\n    return 0"
    assert judged(text, time_limit=5.0).cpu_ms > 190
