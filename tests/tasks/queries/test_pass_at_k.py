"""pass@k is the unbiased estimator, to the last digit that a double holds."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from math import comb

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tracemill.tasks.queries import connect


@pytest.fixture(scope="module")
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    """No run at all: the macros need none."""
    opened = connect([])
    yield opened
    opened.close()


def pass_at_k(connection: duckdb.DuckDBPyConnection, n: int, c: int, k: int) -> float | None:
    row = connection.execute("SELECT pass_at_k(?, ?, ?)", [n, c, k]).fetchone()
    assert row is not None
    return row[0]  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("n", "c", "k", "golden"),
    [(10, 3, 1, 0.3), (10, 3, 5, 0.916667), (16, 4, 8, 0.961538), (200, 1, 100, 0.5), (64, 0, 8, 0.0), (5, 2, 4, 1.0)],
)
def test_golden_numbers_of_section_1_3(
    connection: duckdb.DuckDBPyConnection, n: int, c: int, k: int, golden: float
) -> None:
    assert pass_at_k(connection, n, c, k) == pytest.approx(golden, abs=5e-7)


def test_too_few_attempts_say_nothing(connection: duckdb.DuckDBPyConnection) -> None:
    assert pass_at_k(connection, 3, 1, 4) is None
    assert pass_at_k(connection, 0, 0, 1) is None


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 10_000).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n), st.integers(1, n))))
def test_it_is_the_exact_quotient_of_binomials_up_to_ten_thousand(
    connection: duckdb.DuckDBPyConnection, drawn: tuple[int, int, int]
) -> None:
    n, c, k = drawn
    exact = float(1 - Fraction(comb(n - c, k), comb(n, k)))
    assert pass_at_k(connection, n, c, k) == pytest.approx(exact, rel=1e-9, abs=1e-12)


def test_the_mean_of_the_estimates_is_the_truth_where_the_plug_in_is_low(connection: duckdb.DuckDBPyConnection) -> None:
    """Section 1.3: p = 0.2, n = 16, k = 8; truth 0.8322, plug-in 0.7573. The expectation is exact, not sampled."""
    n, k, p = 16, 8, 0.2
    chance = [comb(n, c) * p**c * (1 - p) ** (n - c) for c in range(n + 1)]
    estimates = [pass_at_k(connection, n, c, k) or 0.0 for c in range(n + 1)]
    assert sum(w * e for w, e in zip(chance, estimates, strict=True)) == pytest.approx(0.8322, abs=5e-5)
    plug_in = sum(w * (1 - (1 - c / n) ** k) for c, w in enumerate(chance))
    assert plug_in == pytest.approx(0.7573, abs=1e-3)
