"""Programs in the steps of a solution, run as it grows: the first block that fails, or does not print what it is said to.

A solution with several blocks of Python is run block by block, each together with those before it. What must stay true: a
block that needs what the sandbox does not have (a package, input, more time or memory) says nothing, and nothing after
it does; what a block prints is compared only with an output block that follows it at once.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from tracemill.schemas.enums import Outcome
from tracemill.verifiers.base import Candidate, Judgement, Verifier
from tracemill.verifiers.code import output
from tracemill.verifiers.code.inside.fence import Limits
from tracemill.verifiers.code.judging import Spent
from tracemill.verifiers.code.layers import described, require
from tracemill.verifiers.code.options import WALL, options_of
from tracemill.verifiers.code.server import Server, ServerLost, server_for
from tracemill.verifiers.code.verifier import prepare

NAME: Final = "code_steps"
VERSION: Final = "1"
#: Blocks of one solution that are run.
MOST: Final = 16
#: Relative difference of printed numbers that is none.
TOLERANCE: Final = 1e-6

_BLOCK: Final = re.compile(
    r"^```(?:python|py|python3)[ \t]*\n(.*?)^```[ \t]*$", re.MULTILINE | re.DOTALL | re.IGNORECASE
)
_OUTPUT: Final = re.compile(r"\s{0,16}^```output[ \t]*\n(.*?)^```[ \t]*$", re.MULTILINE | re.DOTALL)
_RAISED: Final = re.compile(r"Traceback|\w*Error\b")
#: Failures that are not the program's own.
_NEEDS: Final = (
    "ModuleNotFoundError",
    "ImportError",
    "EOFError",
    "MemoryError",
    "PermissionError",
    "OSError",
    "BlockingIOError",
)
_SHOWN: Final = 200


@dataclass(frozen=True, slots=True)
class Block:
    """A program in a text, where it stands, and what the text says that it prints (None: nothing) and where."""

    text: str
    place: int
    said: str | None = None
    said_place: int = 0


def blocks(text: str) -> list[Block]:
    """The fenced blocks of Python of a solution, in order."""
    found = []
    for match in _BLOCK.finditer(text):
        said = _OUTPUT.match(text, match.end())
        program = textwrap.dedent(match[1])
        found.append(Block(program, match.start(), said and said[1], said.start(1) if said else 0))
    return found


def check(candidate: Candidate, config: Mapping[str, Any]) -> Judgement:
    """``incorrect`` with the ``place`` (a character of the response) of what fails first; ``correct`` where all blocks run
    and print what they are said to; ``unparsed`` where nobody can say."""
    options = options_of(config)
    found = blocks(candidate.response)[:MOST]
    if not found:
        return Judgement(Outcome.UNPARSED, "no program in the steps")
    server = server_for("programs", options.packages)
    require(server.layers, options.without)
    spent = Spent()
    try:
        judgement = _judged(server, found, options.limits(), spent)
    except ServerLost as error:
        judgement = Judgement(Outcome.ERROR, f"the fork server: {error}")
    return Judgement(
        judgement.outcome,
        judgement.reason,
        evidence=judgement.evidence,
        cpu_ms=spent.cpu * 1e3,
        isolation=described(server.layers, options.without),
    )


def _judged(server: Server, found: Sequence[Block], limits: Limits, spent: Spent) -> Judgement:
    before = ""
    for number in range(len(found)):
        block = found[number]
        program = "\n".join(one.text for one in found[: number + 1])
        with server.child("script", limits, stdin=b"") as child:
            with suppress(OSError):
                child.line.send({"programs": [program]})
            ended = child.end(kill=False)
            spent.add(ended)
            printed = child.read(child.output, limits.file_size).decode("utf-8", "replace")
            raised = child.read(child.errors, 1 << 16).decode("utf-8", "replace").strip().rpartition("\n")[2]
        if ended.over is not None or ended.status < 0 or raised.startswith(_NEEDS):
            return Judgement(
                Outcome.UNPARSED, f"block {number + 1} needs more than it gets", evidence={"block": number}
            )
        if ended.status != 0:
            return _wrong(number, block.place, f"it fails: {raised[:_SHOWN]}")
        if not printed.startswith(before):
            return Judgement(
                Outcome.UNPARSED, f"block {number + 1} does not print the same twice", evidence={"block": number}
            )
        if block.said is not None and not _RAISED.search(block.said):
            difference = output.first_difference(printed[len(before) :], block.said, TOLERANCE)
            if difference is not None:
                return _wrong(number, block.said_place, f"it does not print this: {difference}")
        before = printed
    return Judgement(Outcome.CORRECT, f"all {len(found)} blocks run")


def _wrong(number: int, place: int, reason: str) -> Judgement:
    return Judgement(Outcome.INCORRECT, f"block {number + 1}: {reason}", evidence={"block": number, "place": place})


def execution(options: Mapping[str, Any] | None = None) -> Verifier:
    """The check as a verifier, with the options of the ``code`` verifier."""
    parsed = options_of(options or {})
    limit = parsed.time_limit * WALL * MOST
    return Verifier(NAME, VERSION, check, parsed.as_config(), time_limit=limit, isolation="sandbox", prepare=prepare)
