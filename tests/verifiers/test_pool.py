import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tracemill.schemas.errors import UsageError
from tracemill.verifiers import pool as pool_module
from tracemill.verifiers.base import EVIDENCE_BYTES, Candidate, Verifier
from tracemill.verifiers.pool import VerifierPool, verify_all


def candidates(*responses, gold="good"):
    return [Candidate(str(place), response, gold) for place, response in enumerate(responses)]


def outcomes(verdicts):
    return [str(verdict.judgement.outcome) for verdict in verdicts]


def gone(pid, within=5.0):
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        stat = Path(f"/proc/{pid}/stat")
        if stat.exists() and stat.read_text().rpartition(")")[2].split()[0] == "Z":
            return True
        time.sleep(0.02)
    return False


@pytest.fixture
def quick(hostile, monkeypatch):
    """A verifier with a short limit, and a parent that waits little beyond it."""
    monkeypatch.setattr(pool_module, "GRACE", 0.3)
    return Verifier("hostile", "1", hostile.check, time_limit=0.2, memory_limit=1 << 30)


def test_verdicts_come_in_the_order_and_number_of_the_candidates(hostile):
    verifier = Verifier("hostile", "1", hostile.check)
    given = [Candidate(f"s{n}", str(n), gold=str(n - n % 3)) for n in range(500)]
    verdicts = verify_all(verifier, given, workers=2)
    assert [v.subject_id for v in verdicts] == [c.subject_id for c in given]
    assert outcomes(verdicts) == ["correct" if n % 3 == 0 else "incorrect" for n in range(500)]
    assert [v.inputs_hash for v in verdicts] == [c.inputs_hash for c in given]
    assert all(v.cpu_ms is not None and v.wall_ms is not None and v.wall_ms >= 0 for v in verdicts)


def test_a_verdict_does_not_depend_on_the_batch_it_was_in(hostile):
    verifier = Verifier("hostile", "1", hostile.check)
    given = [Candidate(f"s{n}", str(n % 7), gold="3") for n in range(150)]

    def keyed(verdicts):
        return {v.subject_id: (v.judgement.outcome, v.judgement.answer, v.inputs_hash) for v in verdicts}

    assert keyed(verify_all(verifier, given, workers=2)) == keyed(verify_all(verifier, given[::-1], workers=1))


def test_hostile_candidates_cost_only_their_own_verdict(quick):
    hostile_and_expected = [
        ("loop", "timeout"),
        ("sleep", "timeout"),
        ("swallow", "timeout"),
        ("memory", "memory"),
        ("raise", "error"),
        ("systemexit", "error"),
        ("interrupt", "error"),
        ("none", "error"),
        ("print", "incorrect"),
        ("bool", "correct"),
    ]
    given, expected = ["good"], ["correct"]
    for response, outcome in hostile_and_expected:
        given += [response, "good"]
        expected += [outcome, "correct"]
    assert outcomes(verify_all(quick, candidates(*given), workers=1)) == expected


@pytest.mark.parametrize(
    ("response", "outcome", "reason"),
    [("deaf", "timeout", "twice"), ("exit", "error", "exit status 3"), ("killed", "error", "SIGKILL")],
)
def test_a_worker_that_is_lost_is_replaced_and_its_candidate_tried_once_alone(quick, response, outcome, reason):
    verdicts = verify_all(quick, candidates("good", "good", response, "good", "bad"), workers=1)
    assert outcomes(verdicts) == ["correct", "correct", outcome, "correct", "incorrect"]
    assert reason in verdicts[2].judgement.reason
    assert verdicts[2].inputs_hash == candidates("good", "good", response)[2].inputs_hash


def test_two_lost_workers_in_one_batch(quick):
    verdicts = verify_all(quick, candidates("exit", "good", "killed", "good"), workers=1)
    assert outcomes(verdicts) == ["error", "correct", "error", "correct"]


def test_an_exception_is_an_error_with_its_type_and_message(quick):
    (verdict,) = verify_all(quick, candidates("raise"), workers=1)
    assert verdict.judgement.evidence["exception"] == "ValueError"
    assert "a message" in verdict.judgement.evidence["message"]
    verdict.judgement.evidence["message"].encode()  # lone surrogates are gone


def test_evidence_is_bounded_and_always_json(hostile):
    verifier = Verifier("hostile", "1", hostile.check)
    long, odd = verify_all(verifier, candidates("evidence", "no-json"), workers=1)
    assert len(str(long.judgement.evidence)) < EVIDENCE_BYTES
    assert long.judgement.outcome == odd.judgement.outcome == "correct"
    assert "not JSON" in odd.judgement.evidence["dropped"]


async def test_concurrent_calls_share_the_workers(hostile):
    verifier = Verifier("hostile", "1", hostile.check)
    async with VerifierPool(2) as pool:
        calls = [pool.verify(verifier, candidates(*["good"] * 30)) for _ in range(20)]
        results = await asyncio.gather(*calls)
    pids = {v.judgement.evidence["pid"] for verdicts in results for v in verdicts}
    assert [len(verdicts) for verdicts in results] == [30] * 20
    assert len(pids) <= 2
    assert all(map(gone, pids))


async def test_a_cancelled_call_leaves_the_pool_usable(quick):
    async with VerifierPool(1) as pool:
        call = asyncio.create_task(pool.verify(quick, candidates(*["sleep"] * 50)))
        await asyncio.sleep(0.3)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        begun = time.monotonic()
        verdicts = await asyncio.wait_for(pool.verify(quick, candidates("good")), 20)
        assert time.monotonic() - begun < 10, "the next call waited for what nobody wants any more"
    assert outcomes(verdicts) == ["correct"]


async def test_progress_counts_every_candidate_once(quick):
    told = []
    async with VerifierPool(2) as pool:
        await pool.verify(quick, candidates(*["good"] * 100, "exit"), told.append)
    assert sum(told) == 101


async def test_workers_are_replaced_after_their_count(hostile, monkeypatch):
    monkeypatch.setattr(pool_module, "RECYCLE_COUNT", 64)
    verifier = Verifier("hostile", "1", hostile.check)
    async with VerifierPool(1) as pool:
        verdicts = await pool.verify(verifier, candidates(*["good"] * 256))
    assert len({v.judgement.evidence["pid"] for v in verdicts}) == 4


async def test_workers_are_replaced_when_they_have_grown(hostile, monkeypatch):
    monkeypatch.setattr(pool_module, "RECYCLE_BYTES", 1)
    async with VerifierPool(1) as pool:
        verdicts = await pool.verify(Verifier("hostile", "1", hostile.check), candidates(*["good"] * 192))
    assert len({v.judgement.evidence["pid"] for v in verdicts}) == 3


async def test_closing_ends_what_a_check_left_behind(hostile):
    verifier = Verifier("hostile", "1", hostile.check)
    async with VerifierPool(1) as pool:
        (verdict,) = await pool.verify(verifier, candidates("orphan"))
    assert gone(verdict.judgement.evidence["pid"])


async def test_closing_at_the_moment_that_a_worker_is_ready_ends(hostile, monkeypatch):
    receive = pool_module._Worker._receive
    closing = []

    async def ready(worker):
        message = await receive(worker)
        if not closing:
            closing.append(asyncio.create_task(pool.close()))
            for slot in pool._slots:  # in the very turn of the loop in which the answer is there
                slot.cancel()
        return message

    monkeypatch.setattr(pool_module._Worker, "_receive", ready)
    pool = VerifierPool(1)
    call = asyncio.create_task(pool.verify(Verifier("hostile", "1", hostile.check), candidates("good")))
    with pytest.raises(asyncio.CancelledError):
        await call
    async with asyncio.timeout(10):
        await closing[0]


async def test_closing_in_the_middle_of_a_check_does_not_wait_for_it(hostile):
    verifier = Verifier("hostile", "1", hostile.check, time_limit=3600.0)
    pool = VerifierPool(1)
    call = asyncio.create_task(pool.verify(verifier, candidates("sleep", "good")))
    await asyncio.sleep(0.5)
    await asyncio.wait_for(pool.close(), 5)
    with pytest.raises(asyncio.CancelledError):
        await call


def test_workers_die_with_their_parent_and_say_nothing(hostile, tmp_path):
    script = tmp_path / "parent.py"
    script.write_text(
        "import asyncio, sys, time\n"
        f"sys.path.insert(0, {str(Path(hostile.__file__).parent)!r})\n"
        "import hostile_checks\n"
        "from tracemill.verifiers.base import Candidate, Verifier\n"
        "from tracemill.verifiers.pool import VerifierPool\n"
        "async def main():\n"
        "    async with VerifierPool(1) as pool:\n"
        "        v = await pool.verify(Verifier('h', '1', hostile_checks.check), [Candidate('a', 'x', 'x')])\n"
        "        print(v[0].judgement.evidence['pid'], flush=True)\n"
        "        time.sleep(3600)\n"
        "asyncio.run(main())\n"
    )
    parent = subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        worker = int(parent.stdout.readline())
        parent.send_signal(signal.SIGKILL)
        _, errors = parent.communicate(timeout=10)
    finally:
        parent.kill()
    assert gone(worker)
    assert errors == b""


def test_a_check_in_the_main_script_or_a_lambda_is_refused_before_any_work():
    def local(candidate, config):
        return True

    with pytest.raises(UsageError, match="cannot be sent to a worker"):
        verify_all(Verifier("local", "1", local), candidates("good"), workers=1)


def test_a_module_that_a_worker_cannot_import_gives_errors_not_verdicts(hostile, monkeypatch):
    verifier = Verifier("hostile", "1", hostile.check)
    monkeypatch.setattr(sys, "path", [p for p in sys.path if not p.endswith("outside")])
    (verdict,) = verify_all(verifier, candidates("good"), workers=1)
    assert verdict.judgement.outcome == "error"
    assert "ModuleNotFoundError" in verdict.judgement.reason


def test_nothing_to_verify_starts_nothing(hostile):
    assert verify_all(Verifier("hostile", "1", hostile.check), []) == []


def test_fewer_than_one_worker_is_refused():
    with pytest.raises(UsageError):
        VerifierPool(0)


QUICKLY = {"good": "correct", "bad": "incorrect", "raise": "error", "exit": "error", "killed": "error", "none": "error"}


@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from([*QUICKLY, "loop"]), min_size=1, max_size=12), st.integers(1, 2))
def test_whatever_comes_and_whatever_dies_every_candidate_gets_its_own_verdict(quick, responses, workers):
    verdicts = verify_all(quick, candidates(*responses), workers=workers)
    assert [v.subject_id for v in verdicts] == [str(place) for place in range(len(responses))]
    assert outcomes(verdicts) == [QUICKLY.get(response, "timeout") for response in responses]


async def test_workers_that_somebody_kills_cost_no_candidate_its_verdict(hostile):
    """The kernel's memory killer, an operator: the candidate that a worker was on is tried again, alone, and is none the worse."""
    verifier = Verifier("hostile", "1", hostile.check)
    async with VerifierPool(2) as pool:
        done = [0]

        def progress(count):
            done[0] += count

        call = asyncio.create_task(pool.verify(verifier, candidates(*["slow"] * 120), progress))
        for least in (10, 50):
            while done[0] < least:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            for child in Path(f"/proc/{os.getpid()}/task").glob("*/children"):
                for pid in child.read_text().split():
                    if b"verifiers.worker" in Path(f"/proc/{pid}/cmdline").read_bytes():
                        os.kill(int(pid), signal.SIGKILL)
                        break
        verdicts = await asyncio.wait_for(call, 60)
    assert outcomes(verdicts) == ["correct"] * 120
    assert done[0] == 120
    assert len({v.judgement.evidence["pid"] for v in verdicts}) >= 3


async def test_no_more_is_queued_than_the_workers_will_soon_take(hostile):
    """Back-pressure: what waits is bounded by the workers, not by the candidates."""
    verifier = Verifier("hostile", "1", hostile.check)
    async with VerifierPool(1) as pool:
        call = asyncio.create_task(pool.verify(verifier, candidates(*["slow"] * 1000)))
        most = 0
        for _ in range(60):
            await asyncio.sleep(0.02)
            most = max(most, pool._jobs.qsize())
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)
    assert 1 <= most <= 2
