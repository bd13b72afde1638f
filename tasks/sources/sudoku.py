"""Generated sudokus, each with exactly one solution, which is the gold answer.

``options``: ``side`` (4, 6 or 9, which is the default) and ``clues``, the fewest that are left (0: as few as it takes).
"""

from __future__ import annotations

from collections.abc import Iterator

from tracemill.schemas.enums import Split
from tracemill.schemas.errors import UsageError
from tracemill.schemas.recipe import SourceSpec
from tracemill.schemas.records import Problem
from tracemill.tasks.domains.sudoku import BOXES, generated
from tracemill.tasks.sources.countdown import DEFAULT_SIZE, chosen


def sudoku(spec: SourceSpec) -> Iterator[Problem]:
    """``spec.size`` puzzles of ``spec.seed``."""
    options = chosen(spec, {"side": 9, "clues": 0})
    side = options["side"]
    if side not in BOXES:
        raise UsageError(f"no sudoku of side {side!r}", where="problems.options.side", mend="use 4, 6 or 9")
    rows, columns = BOXES[side]
    for index in range(spec.size or DEFAULT_SIZE):
        puzzle, full = generated(spec.seed, index, side, int(options["clues"]))
        grid = "\n".join(puzzle[i : i + side] for i in range(0, side * side, side))
        yield Problem(
            prompt=f"Fill the empty cells (dots) of this {side} x {side} sudoku so that every row, every column and every "
            f"box of {rows} x {columns} cells holds each digit from 1 to {side} once.\n\n{grid}\n\nGive all rows, "
            "one after the other without spaces, as \\boxed{...}.",
            verifier="answer",
            source="sudoku",
            spec={"grid": puzzle},
            gold=full,
            domain="puzzle/sudoku",
            source_row=f"sudoku:{index}",
            licence="Apache-2.0",
            split=spec.split or Split.TRAIN.value,
        )
