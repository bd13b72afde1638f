"""Which of several solutions is right: a group with both classes, in an order drawn by chance (GenSelect, arXiv 2504.16891).

What must stay true: each group has a right and a wrong solution; the one that is picked was verified right; its place says
nothing, because the order is drawn.
"""

from __future__ import annotations

from typing import Any, Final

from tracemill.schemas import ids
from tracemill.tasks.mining.drawn import Attempt, Drawn

SELECTION: Final = "selection"
LARGEST: Final = 16
#: A longer solution is shown by its end, in characters.
SHOWN: Final = 4000

Row = dict[str, Any]


def selections(drawn: Drawn, seed: int, most: int) -> list[Row]:
    """Up to ``most`` different groups of one problem."""
    wrong = list({pair.wrong.trace_id: pair.wrong for pair in drawn.pairs}.values())
    if not wrong or not drawn.rights:
        return []
    rows: dict[str, Row] = {}
    for number in range(most):
        rng = drawn.rng(seed, "selection", str(number))
        bad = rng.sample(wrong, rng.randint(1, min(len(wrong), LARGEST // 2)))
        good = rng.sample(list(drawn.rights), rng.randint(1, min(len(drawn.rights), LARGEST - len(bad))))
        group = [*bad, *good]
        rng.shuffle(group)
        row = _row(drawn, group, good[0])
        rows.setdefault(row["turn_id"], row)
    return list(rows.values())


def _row(drawn: Drawn, group: list[Attempt], picked: Attempt) -> Row:
    shown = "\n\n".join(f"## Solution {n}\n\n{_shown(one.text)}" for n, one in enumerate(group, 1))
    asked = f"{drawn.prompt}\n\nThese solutions were proposed:\n\n{shown}\n\nWhich one is right?"
    traces = [one.trace_id for one in group]
    place = traces.index(picked.trace_id) + 1
    return {
        "turn_id": ids.digest("turn", SELECTION, traces, picked.trace_id),
        "kind": SELECTION,
        "problem_id": drawn.problem_id,
        "subject_ids": traces,
        "messages": [
            {"role": "user", "content": asked},
            {"role": "assistant", "content": f"Right: solution {place}"},
        ],
        "weight": 1.0,
        "on_policy": all(one.near(picked) for one in group),
        "split": drawn.split,
    }


def _shown(text: str) -> str:
    text = text.rpartition("</think>")[2].strip() or text.strip()
    return text if len(text) <= SHOWN else "... " + text[-SHOWN:]
