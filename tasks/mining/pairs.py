"""Correction pairs: a wrong attempt and a right one at the same problem that is close to it (§2.23).

What must stay true: kind ``ic`` joins an incorrect with a correct attempt of one problem, by default of one policy and at
most one round apart; kind ``cc`` is a correct attempt that is to stay as it is, and at least the wanted share of each
problem's pairs is of that kind; no attempt is used more often, and no problem has more pairs, than the recipe allows; equal
pools give equal pairs, whatever the order and whatever other problems there are.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Final

import numpy as np
import pyarrow as pa

from tracemill.schemas import ids
from tracemill.schemas.recipe import MiningSpec
from tracemill.tasks.mining.block import Block
from tracemill.tasks.mining.candidates import candidates, rank_within, sketches
from tracemill.tasks.mining.drawn import Drawn, Pair
from tracemill.tasks.mining.errors import Located
from tracemill.tasks.mining.sampling import affordable, draw, gumbel, log_weights
from tracemill.tasks.mining.similarity import Alphabet, similarities
from tracemill.tasks.steps.base import FirstError

IC: Final = "ic"
CC: Final = "cc"

#: So many wrong attempts are considered for each pair that a problem may have.
CONSIDERED: Final = 2

#: Right attempts of a problem that more is made of than pairs.
KEPT: Final = 16

Row = dict[str, Any]


@dataclass(slots=True)
class Mined:
    """The pairs of one block, and how many attempts came in, are in a pair, and why the others are not.

    ``labels`` are rows of ``step_labels`` of the wrong attempts in a pair; ``drawn`` is what more is made of.
    """

    rows: list[Row] = field(default_factory=list)
    labels: list[Row] = field(default_factory=list)
    drawn: list[Drawn] = field(default_factory=list)
    attempts: int = 0
    used: int = 0
    unused: Counter[str] = field(default_factory=Counter)


def pair_id(wrong: str, right: str, kind: str) -> str:
    """One pair of two attempts, whichever build found it."""
    return ids.digest("pair", wrong, right, kind)


def mine_block(
    table: pa.Table,
    spec: MiningSpec,
    split_of: Mapping[str, str],
    problems: Mapping[str, tuple[str, str | None]],
    errors: Mapping[str, Sequence[FirstError]],
) -> Mined:
    """The pairs of a block of whole problems (``attempts.Pool.blocks``).

    ``problems`` gives prompt and gold; ``errors`` the first errors that are known, by trace.
    """
    block = Block(table, spec)
    considered, one, other, alike, weight = _weighed(block, table["text"].to_pylist(), spec)
    key = weight + gumbel(block.bits[one], block.bits[other], spec.seed)
    order = np.lexsort((other, one, -key, block.problem[one]))
    found = Mined(attempts=table.num_rows)
    bounds = [*np.flatnonzero(rank_within(block.problem[one][order]) == 0).tolist(), len(order)]
    taken: set[int] = set()
    for start, stop in pairwise(bounds):
        places = order[start:stop]
        ranked = list(zip(one[places].tolist(), other[places].tolist(), strict=True))
        problem = block.problems[ranked[0][0]]
        rights = block.rights(ranked[0][0])
        prompt, gold = problems.get(problem, ("", None))
        wanted = draw(ranked, spec.pairs_per_problem, spec.uses_per_trace)
        pairs, controls = affordable(len(wanted), len(rights), spec.controls)
        firsts: dict[int, Located] = {}
        drawn = []
        for place in wanted[:pairs]:
            (w, r), at = ranked[place], places[place]
            if w not in firsts:
                firsts[w] = block.first_error(w, rights, prompt, errors)
                found.labels += firsts[w].rows
            drawn.append(block.pair(w, r, firsts[w], gold, float(np.exp(weight[at]))))
            found.rows.append(_row(drawn[-1], float(alike[at]), split_of[problem]))
            taken |= {w, r}
        kept = block.as_controls(rights, controls, spec.seed)
        found.rows += [_control(block.ids[row], split_of[problem]) for row in kept]
        taken |= set(kept)
        others = [block.attempt(row) for row in block.as_controls(rights, KEPT, spec.seed)]
        found.drawn.append(Drawn(problem, prompt, gold, split_of[problem], drawn, others))
    found.used = len(taken)
    seen, compared = set(considered.tolist()), set(one.tolist()) | set(other.tolist())
    for at in range(table.num_rows):
        if at not in taken:
            late = not block.good[at] and at not in seen
            found.unused["over_cap" if late else "not_drawn" if at in compared else "no_candidate"] += 1
    return found


def _weighed(block: Block, texts: list[str], spec: MiningSpec) -> tuple[Any, Any, Any, Any, Any]:
    """(wrong attempts considered, wrong and right of each candidate pair, their similarity and log-weight)."""
    wrong = block.rows(good=False)
    considered = wrong[rank_within(block.problem[wrong]) < spec.pairs_per_problem * CONSIDERED]
    alphabet = Alphabet()
    written = alphabet.write(texts)
    sketch = sketches(written, alphabet)
    one, other, _ = candidates(sketch, block.group, block.bits, block.rows(good=True), considered, spec.candidates)
    near = np.abs(block.round[one] - block.round[other]) <= spec.round_gap
    one, other = one[near], other[near]
    alike = similarities([written[i] for i in one.tolist()], [written[i] for i in other.tolist()])
    gain = block.value[other] - block.value[one]
    return considered, one, other, alike, log_weights(one, gain, alike, spec.alpha, spec.beta)


def _row(pair: Pair, alike: float, split: str) -> Row:
    return {
        "pair_id": pair_id(pair.wrong.trace_id, pair.right.trace_id, IC),
        "wrong_id": pair.wrong.trace_id,
        "right_id": pair.right.trace_id,
        "kind": IC,
        "feedback": pair.feedback,
        "similarity": alike,
        "first_error_step": None if pair.error is None else pair.error.step,
        "first_error_source": None if pair.error is None else pair.error.source.value,
        "on_policy": pair.on_policy,
        "weight": pair.weight,
        "split": split,
    }


def _control(trace: str, split: str) -> Row:
    return {
        "pair_id": pair_id(trace, trace, CC),
        "wrong_id": trace,
        "right_id": trace,
        "kind": CC,
        "similarity": 1.0,
        "on_policy": True,
        "weight": 1.0,
        "split": split,
    }
