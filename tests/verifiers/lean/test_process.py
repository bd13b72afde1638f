import os
import time
from dataclasses import replace
from pathlib import Path

import pytest

from tracemill.schemas.errors import TracemillError
from tracemill.verifiers.lean import process as process_module
from tracemill.verifiers.lean.policy import Policy
from tracemill.verifiers.lean.process import LeanLost, LeanProcess


@pytest.fixture
def lean(standin):
    with LeanProcess(standin, Policy()) as process:
        yield process


def source(text):
    return {"cmd": "check", "source": text}


def gone(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"


def test_it_starts_on_first_use_and_answers(lean):
    assert not lean.alive
    assert lean.ask(source("fine"), 10)["errors"] is False
    assert lean.version == "9.9.9"
    assert (lean.starts, lean.requests) == (1, 1)


@pytest.mark.parametrize(
    ("word", "cause"), [("HANG", "time"), ("DIE", "died"), ("STACK", "memory"), ("FLOOD", "output"), ("OTHER", "died")]
)
def test_a_lost_request_says_why_and_leaves_no_process(lean, word, cause, monkeypatch):
    monkeypatch.setattr(process_module, "OUTPUT", 1 << 20)
    pid = lean.ask({"cmd": "pid"}, 10)["pid"]
    with pytest.raises(LeanLost) as lost:
        lean.ask(source(word), 0.5)
    assert lost.value.cause == cause
    assert gone(pid)
    assert lean.ask(source("fine"), 10)["errors"] is False
    assert lean.starts == 2


def test_what_the_submission_prints_is_no_answer(lean):
    assert lean.ask(source("FORGE"), 10)["errors"] is True


def test_an_interruption_leaves_nothing_for_the_next_request(lean, monkeypatch):
    pid = lean.ask({"cmd": "pid"}, 10)["pid"]

    class Interrupted(BaseException):
        pass

    def interrupt(*_):
        raise Interrupted

    monkeypatch.setattr(lean, "_read", interrupt)
    with pytest.raises(Interrupted):
        lean.ask(source("fine"), 10)
    assert gone(pid)


def test_it_is_replaced_after_its_count_and_above_its_memory(standin, monkeypatch):
    monkeypatch.setattr(process_module, "REQUESTS", 3)
    with LeanProcess(standin, Policy()) as counted:
        for _ in range(7):
            counted.ask(source("fine"), 10)
        assert counted.starts == 3
    with LeanProcess(replace(standin, recycle=1), Policy()) as grown:
        grown.ask(source("fine"), 10)
        grown.ask(source("fine"), 10)
        assert grown.starts == 2


def test_memory_above_the_limit_ends_a_request(standin):
    with LeanProcess(standin, Policy()) as small:
        small.ready()
        small.backend = replace(standin, memory=1)
        with pytest.raises(LeanLost) as lost:
            small.ask(source("HANG"), 10)
    assert lost.value.cause == "memory"


def test_it_sees_nothing_of_our_environment(lean, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "secret")
    assert set(lean.ask({"cmd": "pid"}, 10)["environment"]) <= {"PATH", "LANG", "LC_CTYPE"}


def test_a_program_that_is_no_lean_is_one_clear_error(standin):
    begun = time.monotonic()
    with (
        LeanProcess(replace(standin, command=("/bin/false",)), Policy()) as broken,
        pytest.raises(TracemillError) as told,
    ):
        broken.ready()
    assert "lean install --again" in str(told.value)
    assert time.monotonic() - begun < 10
