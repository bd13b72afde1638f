from dataclasses import replace

import pytest

from tracemill.schemas.errors import UsageError
from tracemill.verifiers.base import Candidate, Verifier
from tracemill.verifiers.canaries.base import CanaryError, prove, suite_of
from tracemill.verifiers.canaries.registry import find_suite, known
from tracemill.verifiers.pool import VerifierPool
from tracemill.verifiers.registry import build_verifier


@pytest.fixture
def gullible(outside):
    import gullible

    return gullible


async def report_of(verifier):
    async with VerifierPool(1) as pool:
        return await prove(pool, verifier, find_suite(verifier))


@pytest.mark.parametrize("name", [name for name in known() if name not in ("code", "lean")])
async def test_no_known_bad_candidate_is_accepted_and_no_known_good_one_is_lost(name):
    report = await report_of(build_verifier(name))
    assert (report.false_accepts, report.lost) == ((), ())
    assert report.good >= 5
    assert report.bad >= 10


async def test_lenient_options_of_a_run_are_not_taken_for_a_failure():
    assert (await report_of(build_verifier("answer", {"tolerance": 0.5, "last_number": True}))).passed


async def test_a_verifier_that_can_be_fooled_fails_and_says_by_what(gullible):
    report = await report_of(gullible.verifier({"accepts": True}))
    assert report.false_accepts == ("a trick",)
    assert not report.passed
    assert "accepts a trick" in str(CanaryError(report))
    assert report.document()["false_accepts"] == ["a trick"]


async def test_a_verifier_that_refuses_what_is_right_fails_and_says_why(gullible):
    report = await report_of(gullible.verifier({"refuses": True}))
    assert report.lost == ("demanding (error: no toolchain)",)
    assert not report.passed


async def test_a_check_that_crashes_or_hangs_on_everything_fails(hostile):
    verifier = Verifier("broken", "1", hostile.check, time_limit=0.1)
    suite = suite_of([Candidate("good", "raise")], [Candidate("bad", "loop")])
    async with VerifierPool(1) as pool:
        report = await prove(pool, verifier, suite)
    assert report.false_accepts == ()
    assert len(report.lost) == 1


async def test_a_suite_with_a_check_of_its_own_runs_that(gullible):
    suite = replace(gullible.canaries(), check=gullible.check)
    async with VerifierPool(1) as pool:
        report = await prove(pool, build_verifier("answer"), suite)
    assert (report.verifier, report.passed) == ("answer", True)


def test_a_verifier_without_canaries_has_none(hostile):
    assert find_suite(Verifier("hostile", "1", hostile.check)) is None


def test_canaries_of_another_kind_are_refused(hostile, monkeypatch):
    monkeypatch.setattr(hostile, "canaries", lambda: ["good"], raising=False)
    with pytest.raises(UsageError, match="not a Suite"):
        find_suite(Verifier("hostile", "1", hostile.check))


def test_two_canaries_of_one_name_are_refused():
    with pytest.raises(ValueError, match="'a'"):
        suite_of([Candidate("a", "x")], [Candidate("a", "y")])
