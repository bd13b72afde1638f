"""One attempt as somebody recorded it, before it has a problem, a policy or an id of ours; and the columns it is read from."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import Any, Final

from tracemill.schemas.enums import FinishReason
from tracemill.schemas.recipe import ImportRecipe
from tracemill.schemas.records import Drop
from tracemill.tasks.sources.columns import PROBLEM_NAMES, CellError, Columns, bind, cell_text, lookup, missing
from tracemill.tasks.sources.mapped import HEAD, message_text, plain
from tracemill.tasks.sources.read import Row

Message = dict[str, str]

#: The stage that a trace row is dropped in.
STAGE: Final = "import"

#: How a column is named: on the command line, and in a recipe.
FLAG: Final = "--columns (in a recipe: map)"

#: Keys of a recipe's ``map`` that are not columns: label columns (comma-separated), and kinds whose answer needs execution.
OPTIONS: Final = ("labels", "skip_kinds")

#: The largest count or index that the tables hold.
LARGEST: Final = 2**31 - 1

#: What people call the columns that every format may have.
TRACE_NAMES: Final[Mapping[str, tuple[str, ...]]] = {
    "problem_id": ("problem_id",),
    "prompt": PROBLEM_NAMES["prompt"],
    "gold": PROBLEM_NAMES["gold"],
    "choices": PROBLEM_NAMES["choices"],
    "reference_solution": ("reference_solution", "solution"),
    "licence": PROBLEM_NAMES["licence"],
    "domain": ("domain",),
    "split": ("split",),
    "response": ("response", "output", "completion", "generation", "responses", "samples"),
    "reasoning": ("reasoning_content",),
    "model": ("model", "model_name"),
    "sample_index": ("sample", "sample_index"),
    "repeats": ("repeats", "runs"),
    "kind": ("kind",),
    "prediction": ("pred", "prediction", "predicted_answer"),
    "finish_reason": ("finish_reason", "stop_reason"),
    "prompt_tokens": ("prompt_tokens",),
    "completion_tokens": ("completion_tokens", "num_generated_tokens"),
    "step": (),
    "error": ("error",),
}

#: Columns that say whether the response is right; the data's own opinion, never ours.
LABELS: Final = (
    "correct",
    "is_correct",
    "source_label",
    "symbolic_correct",
    "judge_correct",
    "judgement",
    "score",
    "reward",
)

_FINISH: Final = {
    "stop": FinishReason.STOP,
    "eos": FinishReason.STOP,
    "end_turn": FinishReason.STOP,
    "stop_sequence": FinishReason.STOP,
    "length": FinishReason.LENGTH,
    "max_tokens": FinishReason.LENGTH,
    "abort": FinishReason.ABORT,
    "error": FinishReason.ERROR,
}


@dataclass(frozen=True, slots=True)
class LabelledStep:
    """A step as it was recorded, what is said of it (``right``, ``neutral``, ``wrong``; None: nothing) and by what source."""

    text: str
    label: str | None
    source: str


@dataclass(frozen=True, slots=True)
class Recorded:
    """``path`` tells the attempts of one file apart, the same on every import: the row, and the place in the row's list.

    ``labels`` are (column, value) as the data has them; ``revision`` is a training step or the like of an on-policy dump.
    """

    row: Row
    path: str
    text: str
    prompt: str | None = None
    problem_ref: str | None = None
    gold: str | None = None
    spec: Mapping[str, Any] = field(default_factory=dict)
    choices: tuple[str, ...] | None = None
    reference_solution: str | None = None
    licence: str | None = None
    domain: str | None = None
    split: str | None = None
    messages: list[Message] | None = None
    model: str | None = None
    revision: str | None = None
    sample_index: int | None = None
    repeats: int = 1
    kind: str | None = None
    prediction: str | None = None
    finish_reason: str = FinishReason.UNKNOWN.value
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    error: str | None = None
    labels: tuple[tuple[str, Any], ...] = ()
    steps: tuple[LabelledStep, ...] = ()  # where the text came in steps: they and blank lines between them are the text


#: A trace format: from the rows of one file to attempts and drops.
Format = Callable[[Iterator[Row | Drop], ImportRecipe], Iterator[Recorded | Drop]]
#: From one row to its attempts; ``CellError`` for a row that cannot be read.
Convert = Callable[[Row, Columns], list[Recorded]]


def attempts(
    rows: Iterator[Row | Drop],
    recipe: ImportRecipe,
    names: Mapping[str, Sequence[str]],
    required: Sequence[str],
    convert: Convert,
) -> Iterator[Recorded | Drop]:
    """The attempts of ``rows``: columns bound by ``names`` and the recipe's map, each row converted or dropped."""
    head = list(islice(rows, HEAD))
    first = [row for row in head if isinstance(row, Row)]
    mapping = {ours: theirs for ours, theirs in recipe.map.items() if ours not in OPTIONS}
    columns = bind(first, mapping, names, required=required, flag=FLAG) if first else Columns({})
    if first:
        _check_options(first, recipe, columns)
    for row in chain(head, rows):
        if isinstance(row, Drop):
            yield Drop(row.subject_id, STAGE, row.reason, row.detail)
            continue
        try:
            yield from convert(row, columns)
        except CellError as error:
            yield Drop(row.name, STAGE, "bad_row", str(error))


def option(recipe: ImportRecipe, name: str) -> tuple[str, ...]:
    """The comma-separated words of one of ``OPTIONS``."""
    return tuple(word.strip() for word in recipe.map.get(name, "").split(",") if word.strip())


def _check_options(head: Sequence[Row], recipe: ImportRecipe, columns: Columns) -> None:
    for name in option(recipe, "labels"):
        if not any(lookup(row.values, name)[0] for row in head):
            raise missing(head[0], name, "labels", FLAG)
    if option(recipe, "skip_kinds") and "kind" not in columns:
        raise missing(head[0], "kind", "kind", FLAG)


def fields(row: Row, columns: Columns, labels: Sequence[str] = LABELS) -> dict[str, Any]:
    """Everything but ``path`` and ``text`` that the common columns say, as arguments of ``Recorded``."""
    names = columns.names
    gold = columns.get(row, "gold") if "gold" in names else None
    found: dict[str, Any] = {
        "row": row,
        "spec": plain(gold, names["gold"])
        if isinstance(gold, dict)
        else {},  # a puzzle's own inputs in the place of an answer
        "gold": None if isinstance(gold, dict) else columns.text(row, "gold"),
        "labels": tuple((name, row.values[name]) for name in labels if row.values.get(name) is not None),
    }
    if "prompt" in names:
        found["prompt"] = message_text(columns.get(row, "prompt"), names["prompt"])
    for ours in ("reference_solution", "licence", "domain", "split", "model", "kind", "prediction", "error"):
        if ours in names:
            found[ours] = columns.text(row, ours)
    if "problem_id" in names:
        found["problem_ref"] = columns.text(row, "problem_id")
    for ours in ("sample_index", "prompt_tokens", "completion_tokens"):
        if ours in names:
            found[ours] = _whole(columns.get(row, ours), names[ours])
    if "repeats" in names:
        found["repeats"] = _repeats(columns.get(row, "repeats"), names["repeats"])
    if "choices" in names:
        choices = columns.get(row, "choices")
        if isinstance(choices, list) and choices:
            found["choices"] = tuple(cell_text(choice, "choices") or "" for choice in choices)
    if "step" in names:
        step = columns.text(row, "step")
        found["revision"] = None if step is None else f"step-{step}"
    if found.get("error"):
        found["finish_reason"] = FinishReason.ERROR.value
    elif "finish_reason" in names:
        found["finish_reason"] = finish_reason(columns.text(row, "finish_reason"))
    return found


def single(row: Row, columns: Columns) -> list[Recorded]:
    """A row that is one attempt (separate reasoning put back as a think block), or one for each response of a list."""
    said = fields(row, columns)
    response = columns.get(row, "response")
    if isinstance(response, list) and response:
        return several(row, response, said)
    text, reasoning = columns.text(row, "response"), columns.text(row, "reasoning")
    if text is None and not reasoning and not said.get("error"):
        raise CellError(f"column {columns.names.get('response', 'response')!r} is empty")
    return [Recorded(path=str(row.number), text=thought(reasoning, text or "", said.get("finish_reason")), **said)]


def several(row: Row, texts: Sequence[Any], said: Mapping[str, Any]) -> list[Recorded]:
    """One attempt for each of ``texts``; a label that is a list of as many values gives each its own."""
    found = []
    for place, text in enumerate(texts):
        if not isinstance(text, str):
            raise CellError(f"response {place} is a {type(text).__name__}, not text")
        labels = ((name, at(value, place) if isinstance(value, list) else value) for name, value in said["labels"])
        own = {"sample_index": place, "labels": tuple((name, value) for name, value in labels if value is not None)}
        found.append(Recorded(path=f"{row.number}/{place}", text=text, **{**said, **own}))
    return found


def at(values: Any, place: int) -> Any:
    """The value at ``place`` of a list; None where there is no list or it is shorter."""
    return values[place] if isinstance(values, list) and place < len(values) else None


def thought(reasoning: str | None, content: str, finish: str | None = None) -> str:
    """The raw turn of a server that returned its reasoning apart; the think block of a thought that never ended is left open."""
    if not reasoning:
        return content
    if not content and finish != FinishReason.STOP.value:
        return f"<think>\n{reasoning}"
    return f"<think>\n{reasoning}\n</think>\n\n{content}"


def finish_reason(value: str | None) -> str:
    """Our name for why generation ended; ``unknown`` for what is not known to mean one of ours."""
    return _FINISH.get((value or "").lower(), FinishReason.UNKNOWN).value


def _whole(value: Any, column: str) -> int | None:
    """A count or index; None for what is not a number at all, ``CellError`` for what no count can be."""
    if isinstance(value, list | dict):
        raise CellError(f"column {column!r} holds a {type(value).__name__}, not a number")
    try:
        number = None if value is None else int(value)
    except (TypeError, ValueError, OverflowError):
        return None
    if number is not None and abs(number) > LARGEST:
        raise CellError(f"column {column!r} holds {number}, beyond any count")
    return number


def _repeats(value: Any, column: str) -> int:
    """How many recorded attempts a row stands for: a number, or a list with one entry for each."""
    count = len(value) if isinstance(value, list) else _whole(value, column)
    return max(count or 1, 1)
