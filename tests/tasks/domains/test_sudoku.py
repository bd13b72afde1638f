"""Sudoku: a generated puzzle has one solution, and the solver finds exactly what brute force does."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tracemill.schemas.errors import DataError
from tracemill.schemas.records import Problem
from tracemill.tasks.domains.base import Draw
from tracemill.tasks.domains.sudoku import Sudoku, candidates, consistent, generated, side_of, solutions


@pytest.mark.parametrize("side", [4, 6, 9])
def test_a_generated_puzzle_has_exactly_the_solution_that_it_came_from(side):
    for index in range(4 if side == 9 else 20):
        puzzle, full = generated(1, index, side)
        assert solutions(puzzle, 2) == [full]
        assert consistent(full)
        assert "." not in full
        assert side_of(puzzle) == side
        assert generated(1, index, side) == (puzzle, full)


def test_clues_are_kept_when_they_are_asked_for():
    puzzle, _ = generated(2, 0, 9, clues=40)
    assert sum(cell != "." for cell in puzzle) == 40


@given(st.lists(st.sampled_from("....1234"), min_size=16, max_size=16).map("".join).filter(lambda g: g.count(".") <= 6))
@settings(deadline=None)
def test_the_solver_is_brute_force_on_small_grids(grid):
    places = [i for i, cell in enumerate(grid) if cell == "."]
    found = []
    for digits in product("1234", repeat=len(places)):
        cells = list(grid)
        for place, digit in zip(places, digits, strict=True):
            cells[place] = digit
        if consistent("".join(cells)):
            found.append("".join(cells))
    assert sorted(solutions(grid, 10_000)) == sorted(found)


def test_steps_fill_the_cell_with_the_fewest_candidates():
    puzzle, full = generated(3, 0, 4, clues=6)
    domain = Sudoku()
    steps = domain.expand(puzzle, None, Draw(0))
    place = next(i for i in range(16) if steps[0].state[i] != puzzle[i])
    assert len(steps) == min(len(digits) for digits in candidates(puzzle).values())
    assert {step.state[place] for step in steps} == set(candidates(puzzle)[place])
    assert domain.terminal(full) == 1.0
    assert domain.terminal(puzzle) is None


def test_a_cell_without_candidates_is_an_end_without_reward():
    domain = Sudoku()
    grid = "123....." + "...4" + "...."
    assert candidates(grid)[3] == ""
    assert domain.terminal(grid) == 0.0
    assert domain.value(grid, Draw(0)) == 0.0


def test_values_order_a_puzzle_below_its_solution():
    puzzle, full = generated(4, 0, 9)
    for name in ("oracle", "freedom"):
        domain = Sudoku(value_name=name)
        assert domain.value(full, Draw(0)) == 1.0
        assert 0.0 <= domain.value(puzzle, Draw(0)) <= 1.0


@pytest.mark.parametrize("grid", [None, "", "1" * 16, "12345678.", "0" * 81])
def test_what_is_no_sudoku_is_refused(grid):
    with pytest.raises(DataError, match="not a sudoku"):
        Sudoku().initial(Problem("?", "answer", "test", {"grid": grid}))
