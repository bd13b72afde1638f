"""Arithmetic read in other processes: what does not hold in many texts, in order, on all cores.

What must stay true: the places are those of ``arithmetic.false_places`` text by text; a reader holds one batch at a time; it ends
with its input, so it outlives nobody, and Ctrl-C is for the process that reads its answers.
"""

from __future__ import annotations

import json
import os
import pickle
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import cycle
from typing import Final, TypeVar

from tracemill.schemas.errors import TracemillError
from tracemill.tasks.steps.arithmetic import false_places

Item = TypeVar("Item")

_BOOT: Final = "from tracemill.tasks.steps.reading import main; main()"


def places_of(text: str) -> list[int]:
    """``false_places`` of a text, without a look at one that states nothing."""
    return false_places(text) if "=" in text else []


def read_in_order(
    items: Iterable[Item], texts: Callable[[Item], Sequence[str]], readers: int
) -> Iterator[tuple[Item, list[list[int]]]]:
    """(item, places of each of its texts) for every item, in order, by so many ``readers``; by this process where it is 1."""
    if readers == 1:
        for item in items:
            yield item, [places_of(text) for text in texts(item)]
        return
    processes = [_reader() for _ in range(readers)]
    try:
        given: deque[tuple[Item, subprocess.Popen[bytes]]] = deque()
        for item, process in zip(items, cycle(processes)):
            if len(given) == readers:
                yield _answered(*given.popleft())
            _give(process, texts(item))
            given.append((item, process))
        while given:
            yield _answered(*given.popleft())
    finally:
        for process in processes:
            process.kill()
            process.communicate()


def _reader() -> subprocess.Popen[bytes]:
    path = os.pathsep.join(part or os.getcwd() for part in sys.path)
    return subprocess.Popen(
        [sys.executable, "-P", "-c", _BOOT],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": path},
    )


def _give(process: subprocess.Popen[bytes], texts: Sequence[str]) -> None:
    assert process.stdin is not None
    try:
        pickle.dump(list(texts), process.stdin, pickle.HIGHEST_PROTOCOL)
        process.stdin.flush()
    except BrokenPipeError:
        raise _lost(process) from None


def _answered(item: Item, process: subprocess.Popen[bytes]) -> tuple[Item, list[list[int]]]:
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        raise _lost(process)
    found: list[list[int]] = json.loads(line)
    return item, found


def _lost(process: subprocess.Popen[bytes]) -> TracemillError:
    return TracemillError(
        f"a process that reads arithmetic ended by itself (status {process.wait()})",
        mend="give the command again; where memory is short, with fewer programs beside it",
    )


def main() -> None:
    """Answer each pickled list of texts on standard input with a line of JSON, until it ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    while True:
        try:
            texts = pickle.load(sys.stdin.buffer)
        except EOFError:
            return
        sys.stdout.write(json.dumps([places_of(text) for text in texts]) + "\n")
        sys.stdout.flush()
