"""Recorded attempts to tables: each finds or makes its problem and its policy, and gets ids that a second import repeats.

Every attempt becomes a trace or an ``import`` drop; what the data says about it becomes a label; nothing else is lost.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import pyarrow as pa

from tracemill.schemas import ids
from tracemill.schemas.enums import Outcome, TraceKind
from tracemill.schemas.recipe import ImportRecipe
from tracemill.schemas.records import Drop, Policy, Problem
from tracemill.schemas.tables import schema_of
from tracemill.tasks.imports.recorded import STAGE, Recorded, option
from tracemill.tasks.segment import segment, split_reasoning
from tracemill.tasks.sources import Loaded
from tracemill.tasks.sources.clusters import cluster
from tracemill.tasks.sources.columns import lookup, split_of
from tracemill.tasks.sources.registry import NEEDS_GOLD, same_gold
from tracemill.verifiers.extract import extract

#: Reward of a rollout from which on the trainer's scorer is taken to have called it right.
REWARDED: Final = 0.5

#: Traces that are held as Python objects before they become Arrow memory.
BATCH: Final = 1024

#: The segmenter of steps that came with the data, and what stands between them.
RECORDED: Final = "recorded"
STEP_SEPARATOR: Final = "\n\n"

_RIGHT: Final = frozenset({"correct", "right", "true", "yes", "pass", "passed", "1", "judgement: yes"})
_WRONG: Final = frozenset({"incorrect", "wrong", "false", "no", "fail", "failed", "0", "-1", "judgement: no"})


@dataclass(frozen=True, slots=True)
class Label:
    """What the data itself says about a trace: ``source`` is its column, ``outcome`` correct, incorrect or unparsed."""

    trace_id: str
    source: str
    outcome: str
    detail: str


class Collector:
    """Gathers the attempts of all files. ``known`` holds the problems that the recipe names, if it names any."""

    def __init__(self, recipe: ImportRecipe, known: Loaded | None) -> None:
        self._recipe = recipe
        self._verifier = recipe.verifier or "answer"
        self._apart = frozenset(option(recipe, "skip_kinds"))
        self._named = option(recipe, "labels")
        self._ids: Mapping[str, str | None] = known.ids if known else {}
        self._has_sources = known is not None
        self.problems: dict[str, Problem] = {p.problem_id: p for p in known.problems} if known else {}
        self._by_prompt = {ids.normalise_prompt(p.prompt): p.problem_id for p in self.problems.values()}
        self._new: set[str] = set()
        self.policies: dict[str, Policy] = {}
        self._policy_ids: dict[tuple[str, str | None], str] = {}
        self.drops: list[Drop] = list(known.drops) if known else []
        self.labels: list[Label] = []
        self.step_labels: list[dict[str, Any]] = []
        self.kinds: Counter[str] = Counter()
        self._columns: dict[str, list[Any]] = {name: [] for name in schema_of("traces").names}
        self._batches: list[pa.RecordBatch] = []
        self._counts: Counter[tuple[str, str, str | None]] = Counter()
        self._conflicts: set[str] = set()
        self._waiting: list[tuple[str, str]] = []

    def add(self, attempt: Recorded, format_: str, file: str) -> None:
        """Count one attempt in."""
        problem_id, reason, detail = self._problem(attempt)
        if problem_id is None:
            self.drops.append(Drop(f"{attempt.row.name}#{attempt.path}", STAGE, reason, detail))
            return
        policy_id = self._policy(attempt)
        strategy = {"import": format_, "file": file, **({"kind": attempt.kind} if attempt.kind else {})}
        attempt_id = ids.attempt_id(problem_id, policy_id, "", "", strategy, 0, attempt.path)
        trace_id = ids.trace_id(attempt_id, attempt.text)
        spans, segmenter = _recorded_steps(attempt) if attempt.steps else segment(attempt.text)
        count = (problem_id, policy_id, attempt.kind)
        index = self._counts[count] if attempt.sample_index is None else attempt.sample_index
        self._counts[count] += 1
        values = {
            "trace_id": trace_id,
            "attempt_id": attempt_id,
            "problem_id": problem_id,
            "kind": TraceKind.IMPORTED.value,
            "sample_index": index,
            "path": attempt.path,
            "text": attempt.text,
            "messages": attempt.messages,
            "reasoning": split_reasoning(attempt.text)[0],
            "answer": None if attempt.kind in self._apart else self._answer(attempt, problem_id),
            "steps": [{"start": start, "end": end} for start, end in spans],
            "segmenter": segmenter,
            "finish_reason": attempt.finish_reason,
            "prompt_tokens": attempt.prompt_tokens,
            "completion_tokens": attempt.completion_tokens,
            "policy_id": policy_id,
            "strategy": ids.canonical_json(strategy),
            "round": 0,
            "repeats": attempt.repeats,
            "error": attempt.error or None,
            "text_hash": ids.text_hash(attempt.text),
        }
        for name, column in self._columns.items():
            column.append(values.get(name))
        if len(self._columns["trace_id"]) == BATCH:
            self._flush()
        self.kinds[attempt.kind or TraceKind.IMPORTED.value] += 1
        self._label(trace_id, attempt)
        self.step_labels += [
            {"trace_id": trace_id, "segmenter": segmenter, "step": place, "label": step.label, "source": step.source}
            for place, step in enumerate(attempt.steps)
            if step.label is not None
        ]
        if attempt.kind in self._apart:
            self.drops.append(Drop(trace_id, "verify", "needs_execution", f"kind {attempt.kind}"))
        elif self._without_gold(problem_id):
            self._waiting.append((trace_id, problem_id))

    def traces(self) -> pa.Table:
        """All traces as the table; called once, when no row can bring a missing gold any more."""
        self._flush()
        detail = "neither a row nor a problem source has a gold answer"
        without = (trace_id for trace_id, problem_id in self._waiting if self._without_gold(problem_id))
        self.drops += [Drop(trace_id, "verify", "no_gold", detail) for trace_id in without]
        return pa.Table.from_batches(self._batches, schema=schema_of("traces"))

    def finished_problems(self) -> list[Problem]:
        """Every problem with its cluster."""
        problems = list(self.problems.values())
        clusters = cluster(problems)
        return [replace(problem, cluster_id=clusters[problem.problem_id]) for problem in problems]

    def _flush(self) -> None:
        schema = schema_of("traces")
        arrays = [pa.array(self._columns[field.name], field.type) for field in schema]
        self._batches.append(pa.RecordBatch.from_arrays(arrays, schema=schema))
        for column in self._columns.values():
            column.clear()

    def _problem(self, attempt: Recorded) -> tuple[str | None, str, str]:
        """The attempt's problem: by the source's own id, by its prompt, or made from the row; else why there is none."""
        if attempt.problem_ref is not None and self._has_sources:
            found = self._ids.get(attempt.problem_ref)
            if found in self.problems:
                self._compare(found, attempt)
                return found, "", ""
            if attempt.problem_ref in self._ids:
                return None, "ambiguous_problem", f"several problems have the id {attempt.problem_ref!r}"
        prompt = attempt.prompt or ""
        if not prompt.strip():
            if attempt.problem_ref is not None:
                return None, "unknown_problem", f"no problem with id {attempt.problem_ref!r} in the recipe's problems"
            return None, "empty_prompt", "the prompt is empty"
        found = self._by_prompt.get(ids.normalise_prompt(prompt))
        if found is not None and found not in self._new:
            self._compare(found, attempt)
            return found, "", ""
        problem = self._made(attempt, prompt)
        held = self.problems.setdefault(problem.problem_id, problem)
        if held is problem:
            self._new.add(problem.problem_id)
        elif not (held.gold or "").strip() and (attempt.gold or "").strip():
            self.problems[problem.problem_id] = replace(held, gold=attempt.gold)
        else:
            self._compare(problem.problem_id, attempt)
        return problem.problem_id, "", ""

    def _made(self, attempt: Recorded, prompt: str) -> Problem:
        spec = dict(attempt.spec)
        if attempt.choices:
            spec.setdefault("choices", list(attempt.choices))
        return Problem(
            prompt=prompt,
            verifier=self._verifier,
            source=f"import/{self._recipe.format}",
            spec=spec,
            gold=attempt.gold,
            domain=attempt.domain or "other",
            source_row=attempt.problem_ref or attempt.row.name,
            licence=attempt.licence,
            choices=attempt.choices,
            reference_solution=attempt.reference_solution,
            split=split_of(attempt.split),
        )

    def _compare(self, problem_id: str, attempt: Recorded) -> None:
        """Say once where a row's gold is not its problem's; the problem's stays."""
        gold, held = (attempt.gold or "").strip(), (self.problems[problem_id].gold or "").strip()
        if gold and held and problem_id not in self._conflicts and not same_gold(gold, held):
            self._conflicts.add(problem_id)
            detail = f"{attempt.row.name}: gold {gold!r}, but {held!r} was there before"
            self.drops.append(Drop(problem_id, "load", "gold_conflict", detail))

    def _answer(self, attempt: Recorded, problem_id: str) -> str | None:
        return extract(attempt.text, attempt.finish_reason, choices=self.problems[problem_id].choices).answer

    def _without_gold(self, problem_id: str) -> bool:
        problem = self.problems[problem_id]
        return problem.verifier in NEEDS_GOLD and not (problem.gold or "").strip()

    def _policy(self, attempt: Recorded) -> str:
        key = (attempt.model or self._recipe.model or "unknown", attempt.revision)
        if key not in self._policy_ids:
            policy = Policy(model=key[0], engine="import", revision=key[1])
            self._policy_ids[key] = policy.policy_id
            self.policies[policy.policy_id] = policy
        return self._policy_ids[key]

    def _label(self, trace_id: str, attempt: Recorded) -> None:
        labels = attempt.labels
        if self._named:
            labels = tuple((name, lookup(attempt.row.values, name)[1]) for name in self._named)
        for source, value in labels:
            if value is not None:
                said = f"{source} is {value!r}"
                detail = said if attempt.prediction is None else f"{said}, prediction {attempt.prediction!r}"
                self.labels.append(Label(trace_id, source, _outcome(value), detail[:1000]))


def _recorded_steps(attempt: Recorded) -> tuple[list[tuple[int, int]], str]:
    """The spans of an attempt's own steps, the blank lines behind each with it; and their segmenter."""
    spans, position = [], 0
    for step in attempt.steps:
        end = min(position + len(step.text) + len(STEP_SEPARATOR), len(attempt.text))
        spans.append((position, end))
        position = end
    return spans, RECORDED


def _outcome(value: Any) -> str:
    """A label's value as an outcome: truth values, rewards, and words that mean one; ``unparsed`` for anything else."""
    if isinstance(value, bool | int | float):
        return (Outcome.CORRECT if value >= REWARDED else Outcome.INCORRECT).value
    word = str(value).strip().lower()
    if word in _RIGHT:
        return Outcome.CORRECT.value
    return (Outcome.INCORRECT if word in _WRONG else Outcome.UNPARSED).value
