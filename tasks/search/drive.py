"""Running a search: at once where its domain answers at once, on the event loop where it asks an engine.

A search is a generator that yields calls, a batch at a time, and is sent their answers in the same order; so one text of
each algorithm serves both. A batch is awaited as a whole: the engine sees siblings, and parallel leaves, together, and the
order of answers never depends on which came first.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Generator, Sequence
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


async def gather_all(work: Sequence[Awaitable[Any]]) -> list[Any]:
    """Results in order; the first failure cancels the rest, waits for them, and is raised."""
    tasks = [asyncio.ensure_future(item) for item in work]
    try:
        return await asyncio.gather(*tasks)
    except BaseException:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        raise


async def _all(answers: list[Any]) -> list[Any]:
    waiting = [i for i, answer in enumerate(answers) if inspect.isawaitable(answer)]
    for index, answer in zip(waiting, await gather_all([answers[i] for i in waiting]), strict=True):
        answers[index] = answer
    return answers
