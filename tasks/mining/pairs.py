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
from tracemill.tasks.mining.candidates import candidates, rank_within, sketches
from tracemill.tasks.mining.errors import SIBLINGS, locate, steps_of
from tracemill.tasks.mining.feedback import feedback
from tracemill.tasks.mining.sampling import affordable, draw, gumbel, log_weights
from tracemill.tasks.mining.similarity import Alphabet, similarities
from tracemill.tasks.steps.base import FirstError

IC: Final = "ic"
CC: Final = "cc"

#: So many wrong attempts are considered for each pair that a problem may have.
CONSIDERED: Final = 2

Row = dict[str, Any]


@dataclass(slots=True)
class Mined:
    """The pairs of one block, and how many attempts came in, are in a pair, and why the others are not.

    ``labels`` are rows of ``step_labels`` of the wrong attempts in a pair.
    """

    rows: list[Row] = field(default_factory=list)
    labels: list[Row] = field(default_factory=list)
    attempts: int = 0
    used: int = 0
    unused: Counter[str] = field(default_factory=Counter)


def pair_id(wrong: str, right: str, kind: str) -> str:
    """One pair of two attempts, whichever build found it."""
    return ids.digest("pair", wrong, right, kind)


def mine_block(
    block: pa.Table,
    spec: MiningSpec,
    split_of: Mapping[str, str],
    problems: Mapping[str, tuple[str, str | None]],
    errors: Mapping[str, FirstError],
) -> Mined:
    """The pairs of a block of whole problems (``attempts.Pool.blocks``).

    ``problems`` gives prompt and gold; ``errors`` the false equations that are known.
    """
    pool = _Pool(block, spec)
    wrong = pool.rows(good=False)
    considered = wrong[rank_within(pool.problem[wrong]) < spec.pairs_per_problem * CONSIDERED]
    alphabet = Alphabet()
    written = [alphabet.write(text) for text in block["text"].to_pylist()]
    sketch = sketches(written, alphabet)
    one, other, _ = candidates(sketch, pool.group, pool.bits, pool.rows(good=True), considered, spec.candidates)
    near = np.abs(pool.round[one] - pool.round[other]) <= spec.round_gap
    one, other = one[near], other[near]
    alike = similarities([written[i] for i in one.tolist()], [written[i] for i in other.tolist()])
    gain = pool.value[other] - pool.value[one]
    weight = log_weights(one, gain, alike, spec.alpha, spec.beta)
    key = weight + gumbel(pool.bits[one], pool.bits[other], spec.seed)
    order = np.lexsort((other, one, -key, pool.problem[one]))
    found = Mined(attempts=block.num_rows)
    bounds = [*np.flatnonzero(rank_within(pool.problem[one][order]) == 0).tolist(), len(order)]
    taken: set[int] = set()
    for start, stop in pairwise(bounds):
        places = order[start:stop]
        ranked = list(zip(one[places].tolist(), other[places].tolist(), strict=True))
        drawn = draw(ranked, spec.pairs_per_problem, spec.uses_per_trace)
        rights = pool.rights(ranked[0][0])
        pairs, controls = affordable(len(drawn), len(rights), spec.controls)
        prompt, gold = problems.get(pool.problems[ranked[0][0]], ("", None))
        firsts: dict[int, FirstError | None] = {}
        for place in drawn[:pairs]:
            (w, r), at = ranked[place], places[place]
            if w not in firsts:
                firsts[w], labels = pool.first_error(w, rights, prompt, errors)
                found.labels += labels
            drawn_by = {"similarity": float(alike[at]), "weight": float(np.exp(weight[at]))}
            found.rows.append(pool.pair(w, r, firsts[w], gold) | drawn_by | {"split": split_of[pool.problems[w]]})
            taken |= {w, r}
        for row in pool.as_controls(rights, controls, spec.seed):
            found.rows.append(pool.control(row, split_of))
            taken.add(row)
    found.used = len(taken)
    seen, compared = set(considered.tolist()), set(one.tolist()) | set(other.tolist())
    for row in range(block.num_rows):
        if row not in taken:
            late = not pool.good[row] and row not in seen
            found.unused["over_cap" if late else "not_drawn" if row in compared else "no_candidate"] += 1
    return found


class _Pool:
    """A block by columns."""

    def __init__(self, block: pa.Table, spec: MiningSpec) -> None:
        self._block = block
        self.ids: list[str] = block["trace_id"].to_pylist()
        self.problems: list[str] = block["problem_id"].to_pylist()
        self.policies: list[str] = block["policy_id"].to_pylist()
        self.reasons: list[str | None] = block["reason"].to_pylist()
        self.evidence: list[str | None] = block["evidence"].to_pylist()
        self.good = block["good"].to_numpy()
        self.value = block["value"].to_numpy()
        self.round = block["round"].to_numpy().astype(np.int64)
        self.problem = _codes(self.problems)
        self.group = _codes(list(zip(self.problems, self.policies, strict=True))) if spec.same_policy else self.problem
        self.bits = np.array([int(trace.rpartition("_")[2][:16], 16) for trace in self.ids], np.uint64)
        self._rights: dict[int, list[int]] = {}
        for row in self.rows(good=True).tolist():
            self._rights.setdefault(int(self.problem[row]), []).append(row)

    def rows(self, good: bool) -> Any:
        return np.flatnonzero(self.good == good)

    def rights(self, row: int) -> list[int]:
        """The right attempts at the problem of ``row``."""
        return self._rights[int(self.problem[row])]

    def as_controls(self, rights: Sequence[int], count: int, seed: int) -> list[int]:
        """``count`` of ``rights``, drawn by their ids."""
        places = np.array(rights, np.int64)
        noise = gumbel(self.bits[places], self.bits[places], seed)
        drawn: list[int] = places[np.lexsort((places, -noise))[:count]].tolist()
        return drawn

    def first_error(
        self, row: int, rights: Sequence[int], prompt: str, errors: Mapping[str, FirstError]
    ) -> tuple[FirstError | None, list[Row]]:
        """The first error of a wrong attempt, and its new rows of ``step_labels``."""
        steps = steps_of(
            self.ids[row], self._text(row), self._block["steps"][row].as_py(), self._block["segmenter"][row].as_py()
        )
        siblings = [self._text(right) for right in rights[:SIBLINGS]]
        return locate(steps, siblings, prompt, self.evidence[row] or "{}", errors.get(self.ids[row]))

    def pair(self, wrong: int, right: int, error: FirstError | None, gold: str | None) -> Row:
        one, other = self.ids[wrong], self.ids[right]
        near = abs(int(self.round[wrong]) - int(self.round[right])) <= 1
        return {
            "pair_id": pair_id(one, other, IC),
            "wrong_id": one,
            "right_id": other,
            "kind": IC,
            "feedback": feedback(self.reasons[wrong] or "", self.evidence[wrong] or "{}", gold),
            "first_error_step": None if error is None else error.step,
            "first_error_source": None if error is None else error.source.value,
            "on_policy": near and self.policies[wrong] == self.policies[right],
        }

    def _text(self, row: int) -> str:
        text: str = self._block["text"][row].as_py()
        return text

    def control(self, row: int, split_of: Mapping[str, str]) -> Row:
        trace = self.ids[row]
        return {
            "pair_id": pair_id(trace, trace, CC),
            "wrong_id": trace,
            "right_id": trace,
            "kind": CC,
            "similarity": 1.0,
            "on_policy": True,
            "weight": 1.0,
            "split": split_of[self.problems[row]],
        }


def _codes(values: Sequence[Any]) -> Any:
    """A number for each distinct value, the same in every block: numbers are compared only within one block, but the
    index mixes them with its keys, and a pair must not depend on what other problems a block holds."""
    known = {value: int(ids.text_hash(str(value))[:15], 16) for value in set(values)}
    return np.array([known[value] for value in values], np.int64)
