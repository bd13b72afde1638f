"""Worker processes that verify."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Self

from tracemill.verifiers.base import Candidate, Verdict, Verifier


class VerifierPool:
    def __init__(self, workers: int | None = None) -> None:
        self.workers = workers

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        return None

    async def verify(self, verifier: Verifier, candidates: Sequence[Candidate]) -> list[Verdict]:
        raise NotImplementedError


def verify_all(
    verifier: Verifier,
    candidates: Sequence[Candidate],
    workers: int | None = None,
    progress: Callable[[int], None] | None = None,
) -> list[Verdict]:
    raise NotImplementedError
