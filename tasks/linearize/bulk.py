"""Stream of Search by the hundred thousand: chunks of rows of ``streams`` and ``trees``, made by compiled code.

What must stay true: memory is bounded by one chunk, whatever the count. ``nodes`` and ``edges`` are left out, because nothing
is lost by it: ``mixture.mixed_of`` and ``searched`` grow the same tree again from its row of ``trees`` (a test does).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import numpy as np
import pyarrow as pa

from tracemill.schemas.enums import SegmentKind, TreeStatus
from tracemill.schemas.ids import canonical_json
from tracemill.schemas.records import Problem
from tracemill.schemas.tables import SPAN, schema_of
from tracemill.tasks.domains.countdown import State
from tracemill.tasks.domains.countdown_instances import problem
from tracemill.tasks.linearize.base import stream_id
from tracemill.tasks.linearize.compiled import LONGEST, MOST_SEGMENTS, tell
from tracemill.tasks.linearize.compiled import instances as draw
from tracemill.tasks.linearize.mixture import SYMBOLIC
from tracemill.tasks.linearize.stream_of_search import NAME
from tracemill.tasks.search.budget import Budgets
from tracemill.tasks.search.tree import Plot

#: Streams in one chunk, and the bytes of text that they may have on the average.
CHUNK: Final = 4096
AVERAGE: Final = 16_384
SEGMENTS: Final = 256

#: The kinds of segments that the compiled code numbers.
KINDS: Final = (
    SegmentKind.SETUP, SegmentKind.EXPLORE_OK, SegmentKind.EXPLORE_BAD, SegmentKind.BACKTRACK, SegmentKind.VERIFY,
    SegmentKind.FINAL,
)  # fmt: skip
_HEURISTICS: Final = ("sum", "mult")


@dataclass(frozen=True, slots=True)
class Chunk:
    """Some streams in order: their problems, rows of ``trees`` and ``streams``, and how much each search looked at."""

    problems: list[Problem]
    trees: pa.Table
    streams: pa.Table
    explored: list[int]


def streams(
    seed: int, count: int, targets: Sequence[int], *, first: int = 0, chunk: int = CHUNK, split: str = "train"
) -> Iterator[Chunk]:
    """Streams ``first`` to ``first + count`` of ``seed``, with the mixture of algorithms §2.19, over four numbers."""
    allowed = np.array(targets, np.int64)
    out = np.empty(max(chunk * AVERAGE, 2 * LONGEST), np.uint8)
    segments = np.empty((max(chunk * SEGMENTS, 2 * MOST_SEGMENTS), 4), np.int64)
    ends, segment_ends = np.empty(chunk, np.int64), np.empty(chunk, np.int64)
    numbers, facts = np.empty((chunk, 5), np.int64), np.empty((chunk, 8), np.int64)
    done = 0
    while done < count:
        told = int(
            tell(
                np.uint64(seed), first + done, min(chunk, count - done), allowed, out, ends, segments, segment_ends,
                numbers, facts,
            )
        )  # fmt: skip
        yield _chunk(first + done, split, out, ends[:told], segments, segment_ends[:told], numbers[:told], facts[:told])
        done += told


def instances(seed: int, count: int, targets: Sequence[int], *, chunk: int = CHUNK) -> Iterator[State]:
    """The first ``count`` instances of ``seed`` of four numbers: what ``domains.countdown_instances.drawn`` draws."""
    allowed = np.array(targets, np.int64)
    for first in range(0, count, chunk):
        rows = np.empty((min(chunk, count - first), 5), np.int64)
        draw(np.uint64(seed), first, allowed, rows)
        yield from (State(row[0], tuple(row[1:])) for row in rows.tolist())


def _chunk(
    first: int, split: str, out: Any, ends: Any, segments: Any, segment_ends: Any, numbers: Any, facts: Any
) -> Chunk:
    problems = [
        problem(State(row[0], tuple(row[1:])), first + index, split) for index, row in enumerate(numbers.tolist())
    ]
    rows = facts.tolist()
    plots = [_plot(p.problem_id, row[0], row[1], row[6]) for p, row in zip(problems, rows, strict=True)]
    tree_ids = [plot.tree_id for plot in plots]
    budgets = canonical_json(Budgets().document())
    solved = facts[:, 2].astype(bool)
    trees = {
        "tree_id": tree_ids,
        "problem_id": [plot.problem_id for plot in plots],
        "policy_id": [SYMBOLIC] * len(rows),
        "strategy": [plot.strategy for plot in plots],
        "parameters": [canonical_json(plot.parameters) for plot in plots],
        "seed": facts[:, 6].copy(),
        "status": [(TreeStatus.SOLVED if s else TreeStatus.EXHAUSTED).value for s in solved],
        "budgets": [budgets] * len(rows),
        "tokens": np.zeros(len(rows), np.int64),
        "best_leaf": [node_id(row[7]) if row[7] else None for row in rows],
    }
    text = pa.Array.from_buffers(
        pa.string(), len(rows), [None, pa.py_buffer(_offsets(ends, np.int32)), pa.py_buffer(out[: ends[-1]].copy())]
    )
    starts = np.concatenate([[0], segment_ends[:-1]])
    used = segments[: segment_ends[-1]]
    lengths = np.diff(ends, prepend=0)
    return Chunk(
        problems,
        pa.table(trees, schema=schema_of("trees")),
        pa.table(
            {
                "stream_id": [
                    stream_id(tree, NAME, said) for tree, said in zip(tree_ids, text.to_pylist(), strict=True)
                ],
                "tree_id": tree_ids,
                "trace_ids": pa.nulls(len(rows), pa.list_(pa.string())),
                "linearizer": [NAME] * len(rows),
                "text": text,
                "segments": _segments(used, segment_ends),
                "loss_spans": _after(used[starts, 1], lengths),
                "backtracks": facts[:, 4].astype(np.int32),
                "dead_ends": facts[:, 5].astype(np.int32),
                "verified": solved,
                "parameters": pa.nulls(len(rows), pa.string()),
            },
            schema=schema_of("streams"),
        ),
        [row[3] for row in rows],
    )


def _plot(problem_id: str, mult: int, width: int, seed: int) -> Plot:
    parameters: dict[str, Any] = {"heuristic": _HEURISTICS[mult]}
    if width:
        parameters["width"] = width
    return Plot(problem_id, SYMBOLIC, "bfs" if width else "dfs", parameters, seed)


def _segments(rows: Any, ends: Any) -> pa.Array:
    codes, place = np.unique(rows[:, 3], return_inverse=True)
    nodes = pa.DictionaryArray.from_arrays(pa.array(place.astype(np.int32)), [node_id(c) for c in codes.tolist()])
    kinds = pa.DictionaryArray.from_arrays(pa.array(rows[:, 2].astype(np.int8)), [kind.value for kind in KINDS])
    fields = schema_of("streams").field("segments").type.value_type
    values = pa.StructArray.from_arrays(
        [
            pa.array(rows[:, 0].copy()),
            pa.array(rows[:, 1].copy()),
            kinds.cast(pa.string()),
            nodes.cast(pa.string()),
        ],
        fields=list(fields),
    )
    return pa.ListArray.from_arrays(pa.array(_offsets(ends, np.int32)), values, type=pa.list_(fields))


def _after(starts: Any, ends: Any) -> pa.Array:
    """Loss on everything behind the first state; on nothing where nothing is."""
    some = starts < ends
    values = pa.StructArray.from_arrays([pa.array(starts[some]), pa.array(ends[some])], fields=list(SPAN))
    return pa.ListArray.from_arrays(pa.array(_offsets(np.cumsum(some), np.int32)), values, type=pa.list_(SPAN))


def _offsets(ends: Any, kind: Any) -> Any:
    return np.concatenate([[0], ends]).astype(kind)


@lru_cache(maxsize=1 << 15)
def node_id(code: int) -> str:
    """The id of the node that the compiled code calls ``code``: five bits a level, 1 for the first child."""
    digits = [(code >> shift) & 31 for shift in (10, 5, 0)]
    return ",".join(["0", *(str(digit - 1) for digit in digits if digit)])
