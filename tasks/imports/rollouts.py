"""Rollouts that RL trainers dump: verl (``input``, ``output``, ``gts``, ``score``, ``step``) and prime-rl (messages in
``prompt`` and ``completion``, ``answer``, ``reward``, ``is_truncated``). A training step is a revision of the policy.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from tracemill.schemas.enums import FinishReason
from tracemill.schemas.recipe import ImportRecipe
from tracemill.schemas.records import Drop
from tracemill.tasks.imports.conversation import recorded, turns_of
from tracemill.tasks.imports.recorded import TRACE_NAMES, Recorded, attempts, fields, single
from tracemill.tasks.sources.columns import Columns
from tracemill.tasks.sources.mapped import message_text
from tracemill.tasks.sources.read import Row

NAMES = {
    **TRACE_NAMES,
    "problem_id": ("problem_id", "example_id"),
    "prompt": ("prompt", "input"),
    "response": ("completion", "output", "response"),
    "gold": ("gts", "ground_truth", "reward_model.ground_truth", "answer"),
    "step": ("step", "global_step"),
    "truncated": ("is_truncated",),
}

#: A decoded chat prompt, with or without its special tokens: what the user said last stands between these.
_CHAT: Final = re.compile(
    r"(?:^|\n)(?:<\|im_start\|>)?user\n(?P<user>(?:(?!\n(?:<\|im_start\|>)?user\n).)*?)(?:<\|im_end\|>)?\n"
    r"(?:<\|im_start\|>)?assistant\n(?P<prefill>\s*<think>\s*)?\Z",
    re.DOTALL,
)


def rollouts(rows: Iterator[Row | Drop], recipe: ImportRecipe) -> Iterator[Recorded | Drop]:
    """Attempts from verl and prime-rl rollout files."""
    return attempts(rows, recipe, NAMES, ["prompt", "response"], _convert)


def _convert(row: Row, columns: Columns) -> list[Recorded]:
    said = fields(row, columns)
    if columns.get(row, "truncated") is True:
        said["finish_reason"] = FinishReason.LENGTH.value
    completion = columns.get(row, "response")
    prompt = columns.get(row, "prompt")
    if isinstance(completion, list):
        asked = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else turns_of(prompt, "prompt")
        turns = [*asked, *turns_of(completion, columns.names["response"])]
        return [
            recorded(row, turns, {**said, "prompt": None if len(completion) > 1 else message_text(asked, "prompt")})
        ]
    [attempt] = single(row, columns)
    text, asked_text = attempt.text, attempt.prompt
    chat = _CHAT.search(prompt) if isinstance(prompt, str) else None
    if chat is not None:
        asked_text = chat.group("user")
        if chat.group("prefill") and not text.lstrip().startswith("<think>"):
            text = f"<think>\n{text}"
    return [Recorded(path=attempt.path, text=text, **{**said, "prompt": asked_text})]
