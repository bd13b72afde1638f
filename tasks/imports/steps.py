"""Solutions with a label for each step, in the shapes of PRM800K, Math-Shepherd and ProcessBench.

What must stay true: a text is its recorded steps in order, so that each label keeps its step; nothing is labelled after the
first wrong step; a row in another shape is a drop that says what is odd about it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from tracemill.schemas.recipe import ImportRecipe
from tracemill.schemas.records import Drop
from tracemill.tasks.imports.collect import STEP_SEPARATOR
from tracemill.tasks.imports.recorded import STAGE, LabelledStep, Recorded
from tracemill.tasks.sources.columns import CellError
from tracemill.tasks.sources.read import Row
from tracemill.tasks.steps.base import Source
from tracemill.tasks.steps.labels import NEUTRAL, RIGHT, WRONG

_RATINGS: Final = {1: RIGHT, 0: NEUTRAL, -1: WRONG}
_TOKEN: Final = "ки"  # stands after each step of Math-Shepherd's ``input``, where ``label`` has + or -


def prm800k(rows: Iterator[Row | Drop], recipe: ImportRecipe) -> Iterator[Recorded | Drop]:
    """The chosen (or the annotator's own) steps with their ratings, up to the first that is wrong (arXiv 2305.20050)."""
    return _each(rows, _prm800k)


def math_shepherd(rows: Iterator[Row | Drop], recipe: ImportRecipe) -> Iterator[Recorded | Drop]:
    """``input`` with a token after each step, ``label`` with its sign there (arXiv 2312.08935)."""
    return _each(rows, _math_shepherd)


def process_bench(rows: Iterator[Row | Drop], recipe: ImportRecipe) -> Iterator[Recorded | Drop]:
    """``steps`` and ``label``, the index of the first wrong one or -1 (arXiv 2412.06559)."""
    return _each(rows, _process_bench)


def _each(rows: Iterator[Row | Drop], read: Callable[[Row], Recorded]) -> Iterator[Recorded | Drop]:
    for row in rows:
        if isinstance(row, Drop):
            yield Drop(row.subject_id, STAGE, row.reason, row.detail)
            continue
        try:
            yield read(row)
        except CellError as error:
            yield Drop(row.name, STAGE, "bad_row", str(error))


def _prm800k(row: Row) -> Recorded:
    question, label = _object(row.values, "question"), _object(row.values, "label")
    steps: list[tuple[str, str]] = []
    for number, step in enumerate(_list(label, "steps")):
        completions = step.get("completions") or []
        chosen, human = step.get("chosen_completion"), step.get("human_completion")
        if isinstance(chosen, int) and 0 <= chosen < len(completions):
            said, rating = completions[chosen].get("text"), completions[chosen].get("rating")
        elif isinstance(human, dict):
            said, rating = human.get("text"), 1  # written to go on with
        elif completions:  # the last step of a solution that was left at its error
            said, rating = completions[0].get("text"), completions[0].get("rating")
        else:
            break
        if not isinstance(said, str) or rating not in _RATINGS:
            raise CellError(f"step {number} has no text and rating")
        steps.append((said, _RATINGS[rating]))
        if rating == -1:
            break
    gold = question.get("ground_truth_answer")
    return _recorded(row, question.get("problem"), steps, Source.HUMAN, None if gold is None else str(gold))


def _math_shepherd(row: Row) -> Recorded:
    asked, labelled = row.values.get("input"), row.values.get("label")
    if not isinstance(asked, str) or not isinstance(labelled, str) or _TOKEN not in asked:
        raise CellError(f"'input' and 'label' are not texts with {_TOKEN!r} after each step")
    parts = asked.split(_TOKEN)
    begin = parts[0].find("Step 1:")
    if begin < 0:
        raise CellError("'input' has no 'Step 1:'")
    problem, parts[0] = parts[0][:begin], parts[0][begin:]
    position = begin
    steps = []
    for number, part in enumerate(parts[:-1]):
        position += len(part)
        sign = labelled[position : position + 1]
        if sign not in ("+", "-"):
            raise CellError(f"'label' has {sign!r} behind step {number}")
        steps.append((part.strip(), RIGHT if sign == "+" else WRONG))
        position += 1
    if parts[-1].strip():
        raise CellError("'input' goes on behind its last step")
    return _recorded(row, problem, steps, Source.MC, None)


def _process_bench(row: Row) -> Recorded:
    said, first = row.values.get("steps"), row.values.get("label")
    if not isinstance(said, list) or not all(isinstance(step, str) for step in said):
        raise CellError("'steps' is not a list of texts")
    if not isinstance(first, int) or not -1 <= first < len(said):
        raise CellError(f"'label' {first!r} is no step, and not -1")
    kept = said if first < 0 else said[: first + 1]
    marks = [WRONG if place == first else RIGHT for place in range(len(kept))]
    return _recorded(
        row, row.values.get("problem"), list(zip(kept, marks, strict=True)), Source.HUMAN, None, said[len(kept) :]
    )


def _recorded(
    row: Row,
    problem: Any,
    steps: Sequence[tuple[str, str]],
    source: Source,
    gold: str | None,
    rest: Sequence[str] = (),
) -> Recorded:
    if not isinstance(problem, str) or not steps:
        raise CellError("no problem, or no step")
    labelled = [LabelledStep(text, label, source.value) for text, label in steps]
    labelled += [LabelledStep(text, None, source.value) for text in rest]
    text = STEP_SEPARATOR.join(step.text for step in labelled)
    correct = row.values.get("final_answer_correct")
    labels = (("final_answer_correct", correct),) if isinstance(correct, bool) else ()
    model = row.values.get("generator")
    return Recorded(
        row,
        str(row.number),
        text,
        prompt=problem.strip(),
        gold=gold,
        model=model if isinstance(model, str) else None,
        labels=labels,
        steps=tuple(labelled),
    )


def _object(values: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = values.get(name)
    if not isinstance(found, dict):
        raise CellError(f"{name!r} is not an object")
    return found


def _list(values: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    found = values.get(name)
    if not isinstance(found, list) or not all(isinstance(item, dict) for item in found):
        raise CellError(f"{name!r} is not a list of objects")
    return found
