"""What the worker pool costs: CPU per verdict beyond the check, beside concurrent.futures; and what a second worker brings.

``python benchmarks/pool.py [--traces N] [--short-only]``. CPU is that of this process and its workers together; the ratio of wall times is
the best of three, and means little on a busy machine, so the load is printed,
and the driver's share of the CPU, which bounds what more workers can bring. The verification stage runs the answer
verifier over recorded model outputs (``../shared/datasets``, else sums of our own), as they are and with 32 KB of thinking before.
"""

from __future__ import annotations

import argparse
import asyncio
import gzip
import json
import os
import resource
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from itertools import chain, islice
from multiprocessing import get_context
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))

from tracemill.schemas.enums import Outcome
from tracemill.verifiers.base import Candidate, Judgement, Verifier
from tracemill.verifiers.pool import VerifierPool
from tracemill.verifiers.registry import build_verifier
from tracemill.verifiers.verdicts import verdict_table

RECORDED = Path(__file__).resolve().parents[2] / "shared" / "datasets" / "gsm8k_model_outputs" / "outputs.jsonl.gz"
LONG = 32 << 10
CHUNK = 4096


def nothing(candidate: Candidate, config: Mapping[str, Any]) -> Judgement:
    """The cheapest check there is."""
    return Judgement(Outcome.CORRECT, "nothing", answer="1", evidence={"extraction": "none", "decided_by": "nothing"})


def spin(candidate: Candidate, config: Mapping[str, Any]) -> Judgement:
    """Two milliseconds of CPU."""
    end = time.process_time() + 0.002
    while time.process_time() < end:
        pass
    return Judgement(Outcome.CORRECT, "spun")


def bare(candidate: Candidate) -> Judgement:
    return nothing(candidate, {})


def cpu() -> float:
    """CPU seconds of this process and of the children that have ended."""
    own, ended = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return own.ru_utime + own.ru_stime + ended.ru_utime + ended.ru_stime


def own_cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def through_pool(verifier: Verifier, chunks: Iterator[Sequence[Candidate]], workers: int) -> tuple[float, float, int]:
    """(CPU seconds, wall seconds after the workers have started, verdicts), rows of ``verdicts`` included."""

    async def run() -> tuple[float, int]:
        async with VerifierPool(workers) as pool:
            first = next(chunks)
            await pool.verify(verifier, [*first[: 64 * workers], first[0]])  # start, and import what the check needs
            begun, count = time.perf_counter(), 0
            for chunk in chain([first], chunks):
                count += verdict_table(await pool.verify(verifier, chunk)).num_rows
            return time.perf_counter() - begun, count

    before = cpu()
    wall, count = asyncio.run(run())
    return cpu() - before, wall, count


def through_futures(candidates: Sequence[Candidate], workers: int) -> tuple[float, float]:
    before, begun = cpu(), time.perf_counter()
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as executor:
        import pool as module

        assert len(list(executor.map(module.bare, candidates, chunksize=64))) == len(candidates)
        wall = time.perf_counter() - begun
    return cpu() - before, wall


def chunked(candidates: Iterator[Candidate]) -> Iterator[list[Candidate]]:
    while chunk := list(islice(candidates, CHUNK)):
        yield chunk


def recorded() -> list[tuple[str, str, str]]:
    """(problem, response, gold) of recorded model outputs; sums of our own where there are none."""
    rows: list[tuple[str, str, str]] = []
    if RECORDED.exists():
        with gzip.open(RECORDED, "rt", encoding="utf-8") as file:
            for line in file:
                row = json.loads(line)
                rows.append((row["problem_id"], row["output"], str(row["gold"])))
    if not rows:
        rows = [(f"{n} + {n}?", f"Twice {n} is {2 * n}.\n#### {2 * n + n % 3 // 2}", str(2 * n)) for n in range(10_000)]
    return rows


def traces(rows: Sequence[tuple[str, str, str]], count: int, length: int) -> Iterator[Candidate]:
    """``count`` candidates; longer ones have thinking of their own before the answer, as long as it takes."""
    for n in range(count):
        question, said, gold = rows[n % len(rows)]
        if length:
            words = f"Let me see, step {n}: if I take {said[:200]} then I should check it again.\n\n"
            thought = (words * (length // len(words) + 1))[: max(0, length - len(said))]
            said = f"<think>{thought}</think>\n{said}"
        yield Candidate(f"t{n}", said, gold, prompt=question)


def overhead(count: int) -> None:
    import pool as module

    verifier = Verifier("nothing", "1", module.nothing)
    print(
        f"\ncheck that does nothing, {count:,} candidates, one worker (CPU us a verdict, start of the worker left out)"
    )
    print(f"{'response':<10}{'in process':>12}{'pool':>10}{'futures':>10}{'pool / futures':>16}")
    for name, size in (("100 B", 100), ("32 KB", LONG)):
        text = "x" * (size - 8)
        candidates = [Candidate(f"s{n}", f"{text}{n:08d}", "1") for n in range(count if size < 1000 else count // 4)]
        before = cpu()
        for candidate in candidates:
            nothing(candidate, {})
        alone = (cpu() - before) / len(candidates)
        start, _, _ = through_pool(verifier, iter([candidates[:64]]), 1)
        whole, _, _ = through_pool(verifier, iter([candidates]), 1)
        pooled = (whole - start) / len(candidates)
        start, _ = through_futures(candidates[:64], 1)
        peer = (through_futures(candidates, 1)[0] - start) / len(candidates)
        print(f"{name:<10}{alone * 1e6:>12.1f}{pooled * 1e6:>10.1f}{peer * 1e6:>10.1f}{pooled / peer:>16.2f}")
    print(
        "the pool hashes each input, limits and times each check, and gives verdicts as rows; futures do none of that"
    )


def scaling(count: int, label: str, verifier: Verifier, make: Callable[[], Iterator[Sequence[Candidate]]]) -> None:
    one, two, used, driver = [], [], [], []
    for _ in range(3 if count <= 2_000 else 1):
        before = own_cpu()
        spent, wall, done = through_pool(verifier, make(), 1)
        driver.append((own_cpu() - before) / spent)
        one.append(wall)
        used.append(spent / done)
        two.append(through_pool(verifier, make(), 2)[1])
    load = os.getloadavg()[0]
    print(
        f"{label:<44}{min(used) * 1e3:>9.3f} CPU-s per 1,000 {count / min(one):>9.0f} /s one worker "
        f"{min(one) / min(two):>6.2f}x with two  (load {load:.1f}; {min(driver):.0%} of the CPU is the driver's)"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--traces", type=int, default=10_000, help="candidates of the verification stage")
    parser.add_argument("--short-only", action="store_true", help="leave the long traces out")
    options = parser.parse_args()
    import pool as module

    overhead(20_000)
    print("\nverification stage (rows of verdicts included; the driver only feeds)")
    spinner = replace(Verifier("spin", "1", module.spin), time_limit=60.0)
    busy = [Candidate(f"s{n}", "x", "1") for n in range(1500)]
    scaling(1500, "2 ms of CPU a check", spinner, lambda: iter([busy]))
    rows, answer = recorded(), build_verifier("answer")
    for name, length in (("short", 0), ("32 KB", LONG)):
        if length and options.short_only:
            continue
        whole = sum(len(rows[n % len(rows)][1]) for n in range(min(len(rows), 1000))) / min(len(rows), 1000)
        label = f"answer, {options.traces:,} traces, {name} ({max(whole, length) / 1024:.1f} KB)"
        scaling(options.traces, label, answer, lambda length=length: chunked(traces(rows, options.traces, length)))


if __name__ == "__main__":
    main()
