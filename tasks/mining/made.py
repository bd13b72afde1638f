"""What one block is made into beside its pairs: splices, preferences, turns, selections and critiques, as rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

import pyarrow as pa

from tracemill.schemas.enums import Outcome
from tracemill.schemas.recipe import MiningSpec
from tracemill.tasks.mining import critiques, selections, turns
from tracemill.tasks.mining.drawn import Drawn
from tracemill.tasks.mining.preferences import preferences
from tracemill.tasks.mining.splice import Splice
from tracemill.tasks.mining.splices import splices
from tracemill.tasks.store import Funnel
from tracemill.verifiers.base import Verdict

SPLICES: Final = "mine:splices"

Row = dict[str, Any]
#: Verdicts of texts that are no traces (columns of ``labelling.COLUMNS``).
Verify = Callable[[pa.Table], Awaitable[list[Verdict]]]
#: The messages before an attempt, by template and problem.
Asked = Callable[[str | None, str], Sequence[dict[str, str]]]


def rows_of(drawn: Sequence[Drawn], spec: MiningSpec, asked: Asked) -> dict[str, list[Row]]:
    """Table -> rows of all that needs no verifier."""
    made: dict[str, list[Row]] = {"preferences": [], "turns": [], "critiques": []}
    for one in drawn:
        if "preferences" in spec.make:
            made["preferences"] += preferences(one)
        if "turns" in spec.make and one.pairs:
            before = asked(one.pairs[0].wrong.template_id, one.problem_id)
            made["turns"] += turns.repairs(one, before, spec.turns_per_problem)
        if "chains" in spec.make and one.pairs:
            before = asked(one.pairs[0].wrong.template_id, one.problem_id)
            made["turns"] += turns.chain(one, before, spec.chain_turns)
        if "selections" in spec.make:
            made["turns"] += selections.selections(one, spec.seed, spec.selections_per_problem)
        if "critiques" in spec.make:
            made["critiques"] += critiques.kept(critiques.critiques(one))
    return made


async def spliced(drawn: Sequence[Drawn], spec: MiningSpec, verify: Verify) -> tuple[list[Row], list[Verdict], Funnel]:
    """(rows of ``streams``, the verdicts on their texts, the funnel of the splices).

    A splice whose text is not verified correct stays as a row that is not ``verified``, and has no control.
    """
    refused: Counter[str] = Counter()
    made = [(one.problem_id, splices(one, spec, refused)) for one in drawn]
    texts = {splice.stream_id: (problem, splice) for problem, group in made for splice in group}
    verdicts = await verify(_table(texts)) if texts else []
    good = {verdict.subject_id for verdict in verdicts if verdict.correct}
    good -= {v.subject_id for v in verdicts if not v.correct and v.judgement.outcome is not Outcome.ERROR}
    rows, count = [], 0
    for _, group in made:
        own = [splice for splice in group if splice.parameters["detours"]]
        fit = [splice for splice in own if splice.stream_id in good]
        clean = [s for s in group if not s.parameters["detours"] and s.stream_id in good][: len(fit)]
        spare = fit[len(clean) :]  # without a control
        refused["no_control"] += len(spare)
        refused["not_correct"] += len(own) - len(fit)
        count += len(fit) - len(spare)
        verified = {splice.stream_id for splice in (*fit[: len(clean)], *clean)}
        rows += [splice.row(splice.stream_id in verified) for splice in (*own, *clean)]
    lost = {reason: n for reason, n in sorted(refused.items()) if n}
    kept = {row["stream_id"] for row in rows}
    return rows, [v for v in verdicts if v.subject_id in kept], Funnel(SPLICES, count + sum(lost.values()), count, lost)


def _table(texts: dict[str, tuple[str, Splice]]) -> pa.Table:
    return pa.table(
        {
            "trace_id": pa.array(list(texts), pa.string()),
            "problem_id": pa.array([problem for problem, _ in texts.values()], pa.string()),
            "text": pa.array([splice.text for _, splice in texts.values()], pa.string()),
            "finish_reason": pa.array(["stop"] * len(texts), pa.string()),
            "error": pa.nulls(len(texts), pa.string()),
        }
    )
