"""``tracemill verify``: candidates from a JSON-lines file, verdicts to Parquet; no run needed.

What must stay true: one row of ``verdicts`` for each line, in the file's order and number, blank lines apart. A line that
cannot be read is an ``error`` row that names its line number (its subject is its id, or ``line N`` where it has none); an id
that comes twice ends the command. Memory is bounded by ``CHUNK`` lines or ``CHUNK_CHARS`` characters, whatever the file's size; the result
appears under its name only when it is complete.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import blake2b
from pathlib import Path
from typing import IO, Any, Final

import pyarrow.parquet as pq

from tracemill.schemas.enums import Outcome
from tracemill.schemas.errors import DataError, UsageError
from tracemill.schemas.ids import digest
from tracemill.schemas.recipe import VerifierSpec
from tracemill.schemas.tables import schema_of
from tracemill.tasks.engines.registry import engine_home
from tracemill.tasks.opinions.asking import Subject
from tracemill.tasks.opinions.registry import build_opinion
from tracemill.tasks.search.drive import gather_all
from tracemill.verifiers.base import Candidate, Judgement, Verdict, Verifier
from tracemill.verifiers.pool import VerifierPool
from tracemill.verifiers.recheck import SHARE, verify_checked
from tracemill.verifiers.registry import ASKING, build_verifier
from tracemill.verifiers.verdicts import verdict_row, verdict_table

CHUNK: Final = 4096
CHUNK_CHARS: Final = 32 << 20

Sink = Callable[[list[Verdict]], None]
Progress = Callable[[int], None]
Verify = Callable[[list[Candidate]], Awaitable[list[Verdict]]]


@dataclass(frozen=True, slots=True)
class _Unreadable:
    line: int
    subject_id: str
    why: str
    text: str


def verify_file(
    path: str,
    verifier: str,
    out: str | None = None,
    *,
    options: Mapping[str, Any] | None = None,
    time_limit: float | None = None,
    workers: int | None = None,
    progress: Progress | None = None,
    sink: Sink | None = None,
    recheck: float = SHARE,
) -> dict[str, int]:
    """Verify the candidates of ``path`` (``-``: standard input); returns how many rows each outcome has.

    Rows of ``verdicts`` go to the Parquet file ``out``; without it to ``sink``, chunk by chunk and in order, and without
    that to standard output, one JSON object a line. ``progress(n)`` is told of each n that are done. ``time_limit`` is in
    seconds of CPU per candidate; the share ``recheck`` is verified twice, and is ``error`` where the two differ. Raises
    UsageError for an unknown verifier and an id that comes twice, DataError for a file that cannot be read or written.
    """
    opened = (
        _by_model(verifier, options, progress)
        if verifier in ASKING
        else _by_pool(build_verifier(verifier, options, time_limit), workers, recheck, progress)
    )
    counts: Counter[str] = Counter()

    async def run(write: Sink) -> None:
        async with opened as (built, verify):
            with _opened(path) as file:
                for chunk in _chunks(_read(file, path)):
                    verdicts = await _verify(built, verify, chunk)
                    counts.update(verdict.judgement.outcome.value for verdict in verdicts)
                    write(verdicts)

    if out is None:
        asyncio.run(run(sink or _print))
    else:
        with _parquet(out) as write:
            asyncio.run(run(write))
    return dict(counts.most_common())


def _print(verdicts: list[Verdict]) -> None:
    now = datetime.now(UTC)
    for verdict in verdicts:
        row = verdict_row(verdict, now)
        row["evidence"] = json.loads(row["evidence"])
        sys.stdout.write(json.dumps(row | {"verified_at": now.isoformat()}) + "\n")
    sys.stdout.flush()


@contextmanager
def _opened(path: str) -> Iterator[IO[bytes]]:
    if path == "-":
        yield sys.stdin.buffer
        return
    try:
        file = open(path, "rb")  # noqa: SIM115
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror}", where=path) from error
    with file:
        yield file


@contextmanager
def _parquet(out: str) -> Iterator[Sink]:
    target = Path(out)
    partial = target.with_name(f".{target.name}.{os.getpid()}.partial")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with pq.ParquetWriter(partial, schema_of("verdicts"), compression="zstd") as writer:
            yield lambda verdicts: writer.write_table(verdict_table(verdicts))
        partial.replace(target)
    except OSError as error:
        raise DataError(f"cannot be written: {error.strerror or error}", where=out) from error
    finally:
        partial.unlink(missing_ok=True)


def _read(file: IO[bytes], path: str) -> Iterator[Candidate | _Unreadable]:
    where = "standard input" if path == "-" else path
    seen: set[bytes] = set()
    for line_number, line in enumerate(file, 1):
        if not line.strip():
            continue
        item = _candidate(line, line_number)
        subject = item.subject_id
        key = blake2b(subject.encode("utf-8", "surrogatepass"), digest_size=16).digest()
        if key in seen:
            raise UsageError(
                f"the id {subject[:80]!r} comes twice",
                where=f"{where}:{line_number}",
                mend="give each line an id of its own",
            )
        seen.add(key)
        yield item


def _candidate(line: bytes, number: int) -> Candidate | _Unreadable:
    subject_id = f"line {number}"

    def bad(why: str) -> _Unreadable:
        return _Unreadable(number, subject_id, why, line[:200].decode("utf-8", "replace"))

    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        return bad(f"not JSON: {str(error)[:200]}")
    if not isinstance(row, dict):
        return bad("not a JSON object")
    subject = row.get("id")
    if isinstance(subject, bool) or not isinstance(subject, str | int):
        return bad("no id (a string or an integer)")
    subject_id = str(subject)
    response = row.get("response")
    if not isinstance(response, str):
        return bad("no response (a string)")
    gold = row.get("gold")
    if isinstance(gold, int | float) and not isinstance(gold, bool):
        gold = str(gold)
    if gold is not None and not isinstance(gold, str):
        return bad("gold is not a string or a number")
    choices = row.get("choices")
    if choices is not None and not (isinstance(choices, list) and all(isinstance(c, str) for c in choices)):
        return bad("choices is not a list of strings")
    options, spec = row.get("options"), row.get("spec", {})
    if options is not None and not isinstance(options, dict):
        return bad("options is not an object")
    if not isinstance(spec, dict):
        return bad("spec is not an object")
    question = row.get("question") or ""
    if not isinstance(question, str):
        return bad("question is not a string")
    finish_reason = row.get("finish_reason") or "stop"
    if not isinstance(finish_reason, str):
        return bad("finish_reason is not a string")
    known = {"id", "response", "gold", "choices", "options", "spec", "question", "finish_reason"}
    spec = {**{key: value for key, value in row.items() if key not in known}, **spec}
    if options is not None:
        spec["options"] = {**spec.get("options", {}), **options}
    return Candidate(str(subject), response, gold, spec, question, tuple(choices) if choices else None, finish_reason)


def _chunks(items: Iterator[Candidate | _Unreadable]) -> Iterator[list[Candidate | _Unreadable]]:
    chunk: list[Candidate | _Unreadable] = []
    size = 0
    for item in items:
        chunk.append(item)
        size += len(item.response) if isinstance(item, Candidate) else 0
        if len(chunk) >= CHUNK or size >= CHUNK_CHARS:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk


@asynccontextmanager
async def _by_pool(
    verifier: Verifier, workers: int | None, recheck: float, progress: Progress | None
) -> AsyncIterator[tuple[Verifier, Verify]]:
    async with VerifierPool(workers) as pool:
        yield verifier, lambda candidates: verify_checked(pool, verifier, candidates, recheck, progress)


@asynccontextmanager
async def _by_model(
    name: str, options: Mapping[str, Any] | None, progress: Progress | None
) -> AsyncIterator[tuple[Verifier, Verify]]:
    """A judge or reward model, whose engine is an option: ``--option 'engine={kind: openai, ...}'``."""
    opinion = build_opinion(VerifierSpec(kind=name, options=dict(options or {})), engine_home())
    if isinstance(opinion, Verifier):
        raise UsageError(f"the verifier {name!r} asks no model", where="--verifier")

    async def verify(candidates: list[Candidate]) -> list[Verdict]:
        found = await gather_all([opinion.opine(Subject(candidate)) for candidate in candidates])
        if progress is not None:
            progress(len(found))
        return [one.verdict for one in found]

    async with opinion.engine:
        yield opinion.verifier, verify


async def _verify(verifier: Verifier, verify: Verify, chunk: list[Candidate | _Unreadable]) -> list[Verdict]:
    found = iter(await verify([item for item in chunk if isinstance(item, Candidate)]))
    return [next(found) if isinstance(item, Candidate) else _error(verifier, item) for item in chunk]


def _error(verifier: Verifier, item: _Unreadable) -> Verdict:
    judgement = Judgement(
        Outcome.ERROR, f"line {item.line}: {item.why}", evidence={"line": item.line, "text": item.text}
    )
    return verifier.verdict(item.subject_id, digest("i", item.text)[2:], judgement)
