"""Chosen and rejected: whole traces (V-STaR, arXiv 2402.06457), what follows a shared prefix (step-DPO; SuperCorrect), and
siblings of a tree (rStar-Math's process preferences, arXiv 2501.04519).

What must stay true: both sides are of one problem; the chosen one was verified right and the rejected one wrong, or has the
larger q; where there is a prefix, both sides begin with it, character by character.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from tracemill.schemas import ids
from tracemill.tasks.mining.drawn import Drawn, Pair

OUTCOME: Final = "outcome"
STEP: Final = "step"
SIBLING: Final = "sibling"

#: Best and worst siblings that are set against each other.
SIDES: Final = 2

Row = dict[str, Any]


def preferences(drawn: Drawn) -> list[Row]:
    """The outcome and step preferences of the pairs of one problem."""
    rows = []
    for pair in drawn.pairs:
        rows.append(_row(drawn, pair, OUTCOME, None))
        prefix = step_prefix(pair)
        if prefix:
            rows.append(_row(drawn, pair, STEP, prefix))
    return rows


def step_prefix(pair: Pair) -> str | None:
    """The text that both share up to the wrong one's first error; None where they part elsewhere, or none is verified."""
    error = pair.error
    if error is None or not error.verified or error.step == 0:
        return None
    wrong, right = pair.wrong.steps, pair.right.steps
    if error.step >= len(right.spans):
        return None
    end = wrong.spans[error.step][0]
    prefix = wrong.text[:end]
    parts_here = right.text.startswith(prefix) and right.spans[error.step][0] == end
    return prefix if parts_here and wrong.texts[error.step].split() != right.texts[error.step].split() else None


def _row(drawn: Drawn, pair: Pair, kind: str, prefix: str | None) -> Row:
    chosen, rejected = pair.right.trace_id, pair.wrong.trace_id
    return {
        "preference_id": ids.digest("pref", kind, chosen, rejected),
        "kind": kind,
        "problem_id": drawn.problem_id,
        "chosen_id": chosen,
        "rejected_id": rejected,
        "prefix": prefix,
        "weight": pair.weight,
        "on_policy": pair.on_policy,
        "split": drawn.split,
    }


def siblings(problem: str, split: str, prefix: str, children: Sequence[Mapping[str, Any]]) -> list[Row]:
    """The ``SIDES`` best against the ``SIDES`` worst children of one node.

    A child has ``node_id``, ``q``, ``right`` and ``wrong`` (whether a right, a wrong end was reached through it). The chosen ones
    reached a right end, the rejected ones a wrong end and no right one; weight is the difference in q.
    """
    ranked = sorted(children, key=lambda child: (-child["q"], child["node_id"]))
    good = [child for child in ranked if child["right"]][:SIDES]
    bad = [child for child in reversed(ranked) if child["wrong"] and not child["right"]][:SIDES]
    return [
        {
            "preference_id": ids.digest("pref", SIBLING, one["node_id"], other["node_id"]),
            "kind": SIBLING,
            "problem_id": problem,
            "chosen_id": one["node_id"],
            "rejected_id": other["node_id"],
            "prefix": prefix,
            "weight": one["q"] - other["q"],
            "on_policy": True,
            "split": split,
        }
        for one in good
        for other in bad
        if one["q"] > other["q"]
    ]
