"""Conversations that repair: an attempt, what was found wrong with it, a better one (RISE, arXiv 2407.18219).

What must stay true: a conversation ends with its first success; its weight is exp((r - 1) / tau) of the last turn's value r, so
it lies in (0, 1]; what is said between the turns is the verifier's finding, without the gold answer.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from tracemill.schemas import ids
from tracemill.tasks.mining.drawn import Drawn, Pair

REPAIR: Final = "repair"
CHAIN: Final = "chain"
TAU: Final = 0.5
AGAIN: Final = "Find the mistake and solve the problem again."

Row = dict[str, Any]
Messages = Sequence[dict[str, str]]


@dataclass(frozen=True, slots=True)
class Turn:
    """One attempt of a conversation, its value in [0, 1] (1 is correct), and the feedback on it."""

    trace_id: str
    text: str
    value: float
    feedback: str


def repairs(drawn: Drawn, asked: Messages, most: int) -> list[Row]:
    """One repair for each of the first ``most`` pairs, after the prompt ``asked``."""
    rows = []
    for pair in drawn.pairs[:most]:
        turns = [
            Turn(pair.wrong.trace_id, pair.wrong.text, 0.0, pair.feedback),
            Turn(pair.right.trace_id, pair.right.text, 1.0, ""),
        ]
        rows += conversations(drawn, asked, turns, pair.on_policy)[-1:]
    return rows


def chain(drawn: Drawn, asked: Messages, most: int) -> list[Row]:
    """The turns of one conversation through the wrong attempts of the pairs, the one nearest to its correction last, to that
    correction: at most ``most`` attempts, and none where there are not two wrong ones.
    """
    nearest: dict[str, Pair] = {}
    for pair in drawn.pairs:
        nearest.setdefault(pair.wrong.trace_id, pair)
    pairs = list(nearest.values())[: most - 1][::-1]
    if len(pairs) < 2:
        return []
    right = pairs[-1].right
    turns = [Turn(pair.wrong.trace_id, pair.wrong.text, 0.0, pair.feedback) for pair in pairs]
    on_policy = all(pair.wrong.near(right) for pair in pairs)
    return conversations(drawn, asked, [*turns, Turn(right.trace_id, right.text, 1.0, "")], on_policy, CHAIN)


def conversations(
    drawn: Drawn, asked: Messages, turns: Sequence[Turn], on_policy: bool, kind: str = REPAIR
) -> list[Row]:
    """A row for every turn after the first, up to the first success: the turns so far, the last one to be learned."""
    rows, messages = [], [dict(message) for message in asked]
    for place, turn in enumerate(turns):
        messages.append({"role": "assistant", "content": turn.text})
        if place:
            shown = [earlier.trace_id for earlier in turns[: place + 1]]
            rows.append(
                {
                    "turn_id": ids.digest("turn", kind, shown),
                    "kind": kind,
                    "problem_id": drawn.problem_id,
                    "subject_ids": shown,
                    "messages": list(messages),
                    "weight": weight(turn.value),
                    "on_policy": on_policy,
                    "split": drawn.split,
                }
            )
        if turn.value >= 1:
            break
        messages.append({"role": "user", "content": f"{turn.feedback}\n\n{AGAIN}"})
    return rows


def weight(value: float, tau: float = TAU) -> float:
    """exp((r - 1) / tau), in (0, 1]."""
    return math.exp((min(max(value, 0.0), 1.0) - 1.0) / tau)
