"""Tables that are wider than the terminal."""

from __future__ import annotations

from tracemill.flows.cli.show_tables import lifted
from tracemill.tasks.reporting.grid import Grid


def test_words_that_every_row_says_move_into_the_title() -> None:
    grid = Grid("Rates", ("model", "source", "n", "k"), (("m", "a", 1, 2), ("m", "b", 1, 2)), "a note")
    assert lifted(grid) == Grid("Rates, model m", ("source", "n", "k"), (("a", 1, 2), ("b", 1, 2)), "a note")
    words = Grid("", ("a", "b"), (("x", "y"),))
    assert lifted(words) == words
