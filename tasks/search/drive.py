"""Running a search: at once where its domain answers at once, on the event loop where it asks an engine.

A search is a generator that yields calls, a batch at a time, and is sent their answers in the same order; so one text of
each algorithm serves both. A batch is awaited as a whole: the engine sees siblings, and parallel leaves, together, and the
order of answers never depends on which came first.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Generator, Sequence
from typing import Any, TypeAlias, TypeVar

R = TypeVar("R")

#: A function and its arguments.
Call: TypeAlias = tuple[Callable[..., Any], tuple[Any, ...]]
#: Code that yields batches of calls and is sent their answers.
Work: TypeAlias = Generator[Sequence[Call], list[Any], R]


def run_now(work: Work[R]) -> R:
    """Run ``work`` without an event loop. Raises TypeError where a domain answers with an awaitable."""
    answers: list[Any] | None = None
    try:
        while True:
            calls = work.send(answers)  # type: ignore[arg-type]
            answers = [function(*arguments) for function, arguments in calls]
            if answers and inspect.isawaitable(answers[0]):
                for answer in answers:
                    if inspect.iscoroutine(answer):
                        answer.close()
                raise TypeError("this domain asks an engine: use `await run(work)`")
    except StopIteration as stop:
        result: R = stop.value
        return result


async def run(work: Work[R]) -> R:
    """Run ``work`` on the event loop; the first failure of a batch cancels the rest of it and is raised."""
    answers: list[Any] | None = None
    try:
        while True:
            calls = work.send(answers)  # type: ignore[arg-type]
            answers = [function(*arguments) for function, arguments in calls]
            if answers and any(inspect.isawaitable(answer) for answer in answers):
                answers = await _all(answers)
    except StopIteration as stop:
        result: R = stop.value
        return result


async def _all(answers: list[Any]) -> list[Any]:
    waiting = {i: asyncio.ensure_future(a) for i, a in enumerate(answers) if inspect.isawaitable(a)}
    try:
        done = await asyncio.gather(*waiting.values())
    except BaseException:
        for task in waiting.values():
            task.cancel()
        await asyncio.gather(*waiting.values(), return_exceptions=True)
        raise
    for index, answer in zip(waiting, done, strict=True):
        answers[index] = answer
    return answers
