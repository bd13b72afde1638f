"""What is tried again, how long it waits, and when the engine is given up."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracemill.tasks.engines.retry import LONGEST_PAUSE, Breaker, Kind, delay, kind_of_status, pause_of


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504, 529, 408])
def test_overload_and_server_faults_are_tried_again(status: int) -> None:
    assert kind_of_status(status).retried


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 413, 415, 422, 302])
def test_nothing_else_is_tried_again(status: int) -> None:
    assert not kind_of_status(status).retried


def test_only_overload_and_time_outs_lower_the_concurrency() -> None:
    assert {status for status in (408, 429, 500, 502, 503, 400) if kind_of_status(status).overload} == {408, 429, 503}


@given(attempt=st.integers(0, 10_000), uniform=st.floats(0, 1, exclude_max=True), pause=st.floats(0, LONGEST_PAUSE))
def test_jitter_is_full_and_comes_after_the_pause(attempt: int, uniform: float, pause: float) -> None:
    waited = delay(attempt, pause, uniform)
    assert pause <= waited <= pause + min(30.0, 0.5 * 2.0 ** min(attempt, 30))
    assert delay(attempt, pause, 0.0) == pause


NOW = datetime(2026, 1, 1, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("3", 3.0),
        ("0.5", 0.5),
        ("Thu, 01 Jan 2026 12:00:07 GMT", 7.0),
        ("Thu, 01 Jan 2026 11:00:00 GMT", 0.0),
        ("99999", LONGEST_PAUSE),
        ("inf", LONGEST_PAUSE),
        ("nan", 0.0),
        ("-3", 0.0),
        ("soon", 0.0),
        ("", 0.0),
        (None, 0.0),
    ],
)
def test_retry_after_is_a_number_or_a_date_and_bounded(header: str | None, seconds: float) -> None:
    assert pause_of(header, NOW) == seconds


@given(st.text(max_size=40))
def test_any_retry_after_gives_a_bounded_pause(header: str) -> None:
    assert 0.0 <= pause_of(header, NOW) <= LONGEST_PAUSE


def test_the_breaker_trips_on_different_prompts_in_a_row() -> None:
    breaker = Breaker(limit=3)
    breaker.succeeded()
    assert not breaker.failed(Kind.CONNECTION, "a")
    assert not breaker.failed(Kind.CONNECTION, "a")  # siblings of one poisoned prompt
    assert not breaker.failed(Kind.CONNECTION, "b")
    breaker.succeeded()
    assert not breaker.failed(Kind.SERVER, "c")
    assert not breaker.failed(Kind.SERVER, "d")
    assert breaker.failed(Kind.SERVER, "e")


@pytest.mark.parametrize("kind", [Kind.CONNECTION, Kind.GARBAGE, Kind.REFUSED])
def test_an_engine_that_never_answered_is_given_up_at_once(kind: Kind) -> None:
    assert Breaker().failed(kind, "a")


def test_rejected_prompts_never_trip_it() -> None:
    breaker = Breaker(limit=2)
    assert not any(breaker.failed(Kind.REJECTED, n) for n in range(100))
