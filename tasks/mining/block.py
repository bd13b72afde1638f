"""A block of whole problems by columns, and its attempts one by one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import pyarrow as pa

from tracemill.schemas import ids
from tracemill.schemas.recipe import MiningSpec
from tracemill.tasks.mining.drawn import Attempt, Pair
from tracemill.tasks.mining.errors import SIBLINGS, Located, locate
from tracemill.tasks.mining.feedback import feedback
from tracemill.tasks.mining.sampling import gumbel
from tracemill.tasks.steps.base import FirstError, Steps

#: Verifiers of programs and proofs: their numbers are no results, and two right ones need not share any.
PROGRAMS: Final = frozenset({"code", "lean"})

Row = dict[str, Any]


class Block:
    """A block by columns."""

    def __init__(self, block: pa.Table, spec: MiningSpec) -> None:
        self._block = block
        self.ids: list[str] = block["trace_id"].to_pylist()
        self.problems: list[str] = block["problem_id"].to_pylist()
        self.policies: list[str] = block["policy_id"].to_pylist()
        self.verifiers: list[str] = block["verifier"].to_pylist()
        self.reasons: list[str | None] = block["reason"].to_pylist()
        self.evidence: list[str | None] = block["evidence"].to_pylist()
        self.good = block["good"].to_numpy()
        self.value = block["value"].to_numpy()
        self.round = block["round"].to_numpy().astype(np.int64)
        self.problem = _codes(self.problems)
        self.group = _codes(list(zip(self.problems, self.policies, strict=True))) if spec.same_policy else self.problem
        self.bits = np.array([int(trace.rpartition("_")[2][:16], 16) for trace in self.ids], np.uint64)
        self._attempts: dict[int, Attempt] = {}
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
        self, row: int, rights: Sequence[int], prompt: str, errors: Mapping[str, Sequence[FirstError]]
    ) -> Located:
        """What can be told of a wrong attempt's first error."""
        worded = self.verifiers[row] not in PROGRAMS
        siblings = [self.attempt(right).text for right in rights[:SIBLINGS]] if worded else []
        steps = self.attempt(row).steps
        return locate(steps, siblings, prompt, self.evidence[row] or "{}", errors.get(self.ids[row], ()))

    def attempt(self, row: int) -> Attempt:
        if row not in self._attempts:
            text, spans, segmenter = (self._block[name][row].as_py() for name in ("text", "steps", "segmenter"))
            steps = Steps.of(self.ids[row], text, spans, segmenter)
            template = self._block["template_id"][row].as_py()
            self._attempts[row] = Attempt(steps, self.policies[row], int(self.round[row]), template)
        return self._attempts[row]

    def pair(self, wrong: int, right: int, first: Located, gold: str | None, weight: float) -> Pair:
        told = feedback(self.reasons[wrong] or "", self.evidence[wrong] or "{}", gold)
        return Pair(self.attempt(wrong), self.attempt(right), weight, told, first.error, first.ground)


def _codes(values: Sequence[Any]) -> Any:
    """A number for each distinct value, the same in every block: numbers are compared only within one block, but the
    index mixes them with its keys, and a pair must not depend on what other problems a block holds."""
    known = {value: int(ids.text_hash(str(value))[:15], 16) for value in set(values)}
    return np.array([known[value] for value in values], np.int64)
