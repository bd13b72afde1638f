"""The canaries of every verifier that works here, for ``tracemill doctor`` and for tests."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

from tracemill.schemas.errors import TracemillError
from tracemill.verifiers.canaries.base import Report, prove
from tracemill.verifiers.canaries.registry import find_suite, known
from tracemill.verifiers.code.verifier import walls
from tracemill.verifiers.lean import choose
from tracemill.verifiers.pool import VerifierPool
from tracemill.verifiers.registry import build_verifier


def prove_all(names: list[str] | None = None) -> Iterator[tuple[str, Report | None, str]]:
    """(verifier, report, why there is none) of each of ``names``, as each is done; all that have canaries by default.

    A verifier that cannot be had here (a toolchain or a sandbox layer is missing) has no report.
    """

    async def one(name: str) -> Report | None:
        verifier = build_verifier(name)
        suite = find_suite(verifier)
        if suite is None:
            return None
        async with VerifierPool(1) as pool:
            return await prove(pool, verifier, suite)

    for name in known() if names is None else names:
        try:
            if name == "lean" and (absent := choose.absent()):
                raise TracemillError(absent)  # a look at what is here does not install anything
            if name == "code":
                walls()
            report = asyncio.run(one(name))
        except TracemillError as error:
            yield name, None, error.what
        else:
            yield name, report, "" if report else "it has no canaries"
