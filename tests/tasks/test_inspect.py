"""One thing of a run, readable, whatever a model wrote in it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import duckdb
import pytest

from tracemill.schemas.errors import DataError, UsageError
from tracemill.schemas.records import Problem
from tracemill.tasks.inspect import show_id
from tracemill.tasks.queries import connect

PROBLEM = Problem("1 + 1?", "answer", "hand", gold="2", domain="sum")
HOSTILE = "two\x1b]0;owned\x07\u202e\r\nso \\boxed{2}"


@pytest.fixture
def connection(bench: Any, said: Any, by_rule: Any) -> Iterator[duckdb.DuckDBPyConnection]:
    opened = connect([bench.run([(PROBLEM, [said("2", [by_rule("correct")], text=HOSTILE), said("3")])])])
    yield opened
    opened.close()


def test_a_trace_shows_its_problem_text_and_verdicts(connection: duckdb.DuckDBPyConnection, bench: Any) -> None:
    text = show_id(connection, bench.traces[PROBLEM.prompt, 0])
    for part in (
        "1 + 1?",
        "so \\boxed{2}",
        "answer 1.0 (rule): correct",
        "tiny-model",
        "gold               2\n",
        "completion_tokens  ",
    ):
        assert part in text


def test_nothing_of_a_trace_can_drive_a_terminal(connection: duckdb.DuckDBPyConnection, bench: Any) -> None:
    text = show_id(connection, bench.traces[PROBLEM.prompt, 0])
    assert all(character.isprintable() or character == "\n" for character in text)
    assert "\\x1b]0;owned\\x07\\u202e\\r" in text


def test_a_problem_lists_its_attempts(connection: duckdb.DuckDBPyConnection, bench: Any) -> None:
    text = show_id(connection, PROBLEM.problem_id[:10])
    assert all(trace in text for trace in bench.traces.values())
    assert "unverified" in text


def test_a_prefix_of_several_things_is_refused_and_lists_them(
    connection: duckdb.DuckDBPyConnection, bench: Any
) -> None:
    first, second = bench.traces.values()
    with pytest.raises(UsageError, match="at least 4"):
        show_id(connection, "t_")
    connection.execute(
        "CREATE TABLE same AS SELECT * REPLACE ('t_same' || trace_id AS trace_id) FROM traces;"
        "CREATE OR REPLACE VIEW traces AS FROM same"
    )
    with pytest.raises(UsageError, match="more than one") as caught:
        show_id(connection, "t_same")
    assert first in str(caught.value)
    assert second in str(caught.value)


def test_an_unknown_id_is_said_to_be_unknown(connection: duckdb.DuckDBPyConnection) -> None:
    with pytest.raises(DataError, match="nothing has this id"):
        show_id(connection, "t_ffff' OR 1=1")
