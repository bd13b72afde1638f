"""Sudoku of side 4, 6 or 9: fill one cell at a time; the goal is a full grid that breaks no rule.

Exact and symbolic. A state is the grid as a string of digits, row by row, with ``.`` for an empty cell. The next cell is a
function of the grid: the one with the fewest candidates (``cell`` ``fewest``) or the first empty one (``first``, which makes
longer searches); a cell without candidates is an end of reward 0. Beside Countdown because published work finds that
search told as text helps here and not there (arXiv 2504.07052).
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Literal

from tracemill.schemas.errors import DataError
from tracemill.schemas.records import Problem
from tracemill.tasks.domains.base import Draw, Rollout, Step
from tracemill.tasks.search.rng import SplitMix

#: Side -> rows and columns of a box.
BOXES: Final = {4: (2, 2), 6: (2, 3), 9: (3, 3)}
EMPTY: Final = "."


@dataclass(frozen=True, slots=True)
class Sudoku:
    """``value_name``: ``oracle`` 1 where the grid can still be filled, else 0; ``freedom`` 1 minus the share of the candidates'
    entropy that is left, so that a grid nearly decided is near 1; ``none`` 0.
    """

    value_name: Literal["oracle", "freedom", "none"] = "freedom"
    cell: Literal["fewest", "first"] = "fewest"
    name: str = "sudoku"
    step_tokens: None = None
    rollout_tokens: None = None

    def initial(self, problem: Problem) -> str:
        grid = problem.spec.get("grid")
        if not isinstance(grid, str) or side_of(grid) is None or not consistent(grid):
            raise DataError(
                f"not a sudoku: {str(grid)[:90]!r}",
                where=f"problem {problem.problem_id}",
                mend="give 'grid' in its spec: 16, 36 or 81 digits and dots, row by row",
            )
        return grid

    def expand(self, state: str, k: int | None, draw: Draw) -> Sequence[Step[str]]:
        place, digits = self._cell(state)
        if place is None:
            return []
        side = side_of(state) or 9
        where = f"r{place // side + 1}c{place % side + 1}"
        each = -math.log(len(digits)) if digits else 0.0
        steps = [Step(f"{where}={d}", f"{state[:place]}{d}{state[place + 1 :]}", each) for d in digits]
        if k is None:
            return steps
        if draw.greedy:
            return sorted(steps, key=lambda step: -self.value(step.state, draw))[:k]
        return SplitMix(draw.seed).sample(steps, k)

    def terminal(self, state: str) -> float | None:
        place, digits = self._cell(state)
        if place is None:
            return 1.0
        return None if digits else 0.0

    def value(self, state: str, draw: Draw) -> float:
        if self.value_name == "oracle":
            return float(bool(solutions(state, 1)))
        if self.value_name == "none":
            return 0.0
        counts = [len(digits) for digits in candidates(state).values()]
        if 0 in counts:
            return 0.0
        side = side_of(state) or 9
        return 1.0 - sum(map(math.log, counts)) / (side * side * math.log(side))

    def rollout(self, state: str, draw: Draw) -> Rollout:
        rng = SplitMix(draw.seed)
        while (reward := self.terminal(state)) is None:
            place, digits = self._cell(state)
            assert place is not None
            state = f"{state[:place]}{digits[rng.below(len(digits))]}{state[place + 1 :]}"
        return Rollout(reward)

    def key(self, state: str) -> str:
        return state

    def show(self, state: str) -> str:
        return state

    def read(self, text: str) -> str:
        return text

    def _cell(self, grid: str) -> tuple[int | None, str]:
        """The next cell and its candidates; None where the grid is full."""
        open_cells = candidates(grid)
        if not open_cells:
            return None, ""
        dead = next((place for place, digits in open_cells.items() if not digits), None)
        if dead is not None:
            return dead, ""
        place = min(open_cells) if self.cell == "first" else min(open_cells, key=lambda p: (len(open_cells[p]), p))
        return place, open_cells[place]


def side_of(grid: str) -> int | None:
    """The side of a grid; None where the text is none."""
    side = math.isqrt(len(grid))
    digits = set("123456789"[:side]) | {EMPTY}
    return side if side in BOXES and side * side == len(grid) and set(grid) <= digits else None


def candidates(grid: str) -> dict[int, str]:
    """Empty cell -> the digits that break no rule there, in order of the cells."""
    side = side_of(grid) or 9
    peers = _peers(side)
    all_digits = "123456789"[:side]
    found = {}
    for place, digit in enumerate(grid):
        if digit == EMPTY:
            seen = {grid[peer] for peer in peers[place]}
            found[place] = "".join(d for d in all_digits if d not in seen)
    return found


def consistent(grid: str) -> bool:
    """Whether no digit stands twice in a row, a column or a box."""
    peers = _peers(side_of(grid) or 9)
    return not any(
        digit != EMPTY and any(grid[peer] == digit for peer in peers[place]) for place, digit in enumerate(grid)
    )


def solutions(grid: str, most: int, rng: random.Random | None = None) -> list[str]:
    """Up to ``most`` ways to fill ``grid``, by exact search on bit masks; in an order drawn from ``rng`` where it is given."""
    side = side_of(grid) or 9
    rows, columns = BOXES[side]
    used = [[0] * side for _ in range(3)]
    units = [(p // side, p % side, p // side // rows * rows + p % side // columns) for p in range(side * side)]
    open_cells = []
    for place, digit in enumerate(grid):
        if digit == EMPTY:
            open_cells.append(place)
            continue
        bit = 1 << int(digit)
        for kind, unit in enumerate(units[place]):
            if used[kind][unit] & bit:
                return []
            used[kind][unit] |= bit
    full, cells, found = (2 << side) - 2, list(grid), list[str]()

    def go() -> None:
        if not open_cells:
            found.append("".join(cells))
            return
        fewest, at, free = side + 1, -1, 0
        for i, place in enumerate(open_cells):
            r, c, b = units[place]
            left = full & ~(used[0][r] | used[1][c] | used[2][b])
            if (count := left.bit_count()) < fewest:
                fewest, at, free = count, i, left
                if count <= 1:
                    break
        if not fewest:
            return
        place = open_cells.pop(at)
        digits = [d for d in range(1, side + 1) if free >> d & 1]
        if rng is not None:
            rng.shuffle(digits)
        for digit in digits:
            for kind, unit in enumerate(units[place]):
                used[kind][unit] |= 1 << digit
            cells[place] = str(digit)
            go()
            for kind, unit in enumerate(units[place]):
                used[kind][unit] &= ~(1 << digit)
            if len(found) >= most:
                break
        cells[place] = EMPTY
        open_cells.insert(at, place)

    go()
    return found


def generated(seed: int, index: int, side: int = 9, clues: int = 0) -> tuple[str, str]:
    """(puzzle, solution): a random full grid with cells taken away in random order while the solution stays the only one,
    down to ``clues`` clues (0: as few as this order allows).
    """
    rng = random.Random(f"{seed}/{index}")
    (full,) = solutions(EMPTY * (side * side), 1, rng)
    grid = list(full)
    for place in rng.sample(range(side * side), side * side):
        if sum(cell != EMPTY for cell in grid) <= clues:
            break
        digit, grid[place] = grid[place], EMPTY
        if len(solutions("".join(grid), 2)) != 1:
            grid[place] = digit
    return "".join(grid), full


@lru_cache(maxsize=8)
def _peers(side: int) -> tuple[frozenset[int], ...]:
    rows, columns = BOXES[side]
    found = []
    for place in range(side * side):
        r, c = divmod(place, side)
        found.append(
            frozenset(
                q
                for q in range(side * side)
                if q != place
                and (
                    q // side == r
                    or q % side == c
                    or (q // side // rows == r // rows and q % side // columns == c // columns)
                )
            )
        )
    return tuple(found)
