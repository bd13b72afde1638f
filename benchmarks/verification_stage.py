"""What the verification stage costs: CPU for 1,000 verdicts, and the wall time saved by a second worker.

``python benchmarks/verification_stage.py [--verifier answer] [--rows N] [--length short|long]`` verifies recorded traces of
``../shared/datasets`` as a run does: candidates through the worker pool, verdicts into rows of ``verdicts``. ``short`` traces are as
recorded; ``long`` ones have 32 KB of other recorded reasoning before them, every second one inside a thinking block. The
traces are made in chunks outside the timed part. Beside each figure stands the driver's own CPU, as a share of the wall time: it has to
be small where a second worker is to help. The two worker counts take turns on the same chunks, so that a busy machine hits both.
"""

from __future__ import annotations

import argparse
import asyncio
import gzip
import json
import random
import resource
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tracemill.verifiers.base import Candidate, Verifier
from tracemill.verifiers.pool import VerifierPool
from tracemill.verifiers.registry import build_verifier
from tracemill.verifiers.verdicts import verdict_table

SHARED = Path(__file__).resolve().parents[2] / "shared" / "datasets"
RECORDED = ("gsm8k_model_outputs", "svamp_model_outputs", "qwen_math_8samples")
#: Length of a long trace in characters, and traces made at a time.
LONG = 32 << 10
CHUNK = 2000


def recorded_answers() -> list[Candidate]:
    """Every recorded text with the gold answer of its problem; programs are left out."""
    found = []
    for name in RECORDED:
        with gzip.open(SHARED / name / "outputs.jsonl.gz", "rt", encoding="utf-8") as file:
            for number, line in enumerate(file):
                row = json.loads(line)
                if "PoT" not in (row.get("model") or ""):
                    found.append(Candidate(f"{name}-{number}", row["output"], str(row["gold"])))
    random.Random(3).shuffle(found)
    return found


#: Recorded candidates by verifier.
SOURCES: dict[str, Callable[[], list[Candidate]]] = {"answer": recorded_answers}


def chunks(candidates: list[Candidate], rows: int, long: bool) -> Iterator[list[Candidate]]:
    """``rows`` candidates in chunks, the recorded ones again and again, each with an id of its own."""
    for start in range(0, rows, CHUNK):
        made = []
        for number in range(start, min(start + CHUNK, rows)):
            candidate = candidates[number % len(candidates)]
            text = padded(candidates, number) + candidate.response if long else candidate.response
            made.append(Candidate(f"{candidate.subject_id}-{number}", text, candidate.gold, candidate.spec))
        yield made


def padded(candidates: list[Candidate], number: int) -> str:
    """Reasoning of other traces, as long as a trace is short of ``LONG``; without boxes outside a thinking block."""
    inside = number % 2 == 0
    parts: list[str] = []
    size = len(candidates[number % len(candidates)].response)
    place = number * 7 + 1
    while size < LONG:
        text = candidates[place % len(candidates)].response
        parts.append(text if inside else text.replace("\\boxed", ""))
        size += len(text)
        place += 1
    reasoning = "\n\n".join(parts)
    return f"<think>\n{reasoning}\n</think>\n\n" if inside else f"{reasoning}\n\n"


@dataclass(slots=True)
class Cost:
    """Seconds of a number of verdicts; ``driver`` is the CPU of this process, ``workers`` of the others."""

    verdicts: int = 0
    wall: float = 0.0
    driver: float = 0.0
    workers: float = 0.0


async def measure(
    pool: VerifierPool, verifier: Verifier, batch: list[Candidate], cost: Cost, outcomes: Counter[str]
) -> None:
    """Verify one chunk and add what it cost."""
    wall, driver = time.perf_counter(), time.process_time()
    verdicts = await pool.verify(verifier, batch)
    table = verdict_table(verdicts)
    cost.wall += time.perf_counter() - wall
    cost.driver += time.process_time() - driver
    cost.workers += sum(v.cpu_ms or 0.0 for v in verdicts) / 1e3
    cost.verdicts += table.num_rows
    outcomes.update(v.judgement.outcome.value for v in verdicts)


def children() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


async def run(name: str, rows: int, long: bool) -> None:
    """Print one line for each worker count, and their ratio."""
    verifier = build_verifier(name, time_limit=5)
    candidates = SOURCES[name]()
    costs = {1: Cost(), 2: Cost()}
    outcomes: Counter[str] = Counter()
    before = children()
    async with VerifierPool(1) as one, VerifierPool(2) as two:
        # The worker that first meets algebra imports it: let each do so before the clock starts.
        warming = [
            *candidates[:450],
            *(Candidate(f"w{n}", r"\boxed{\int_0^1 x dx}", rf"\frac{{{n}}}{{2}}") for n in range(50)),
        ]
        random.Random(1).shuffle(warming)
        for pool in (one, two):
            await pool.verify(verifier, warming)
        for number, batch in enumerate(chunks(candidates, rows, long)):
            order = [(1, one), (2, two)]
            for workers, pool in order if number % 2 else reversed(order):
                await measure(pool, verifier, batch, costs[workers], outcomes)
    everything = children() - before
    total = sum(cost.verdicts for cost in costs.values())
    driver = sum(cost.driver for cost in costs.values())
    print(f"{name}, {rows:,} {'long' if long else 'short'} traces, each by one worker and by two")
    for workers, cost in costs.items():
        print(
            f"  {workers} worker{'s' if workers > 1 else ' '}: {cost.verdicts / cost.wall:,.0f} verdicts/s of wall;"
            f" in checks {1e3 * cost.workers / cost.verdicts:.3f} CPU-s for 1,000; driver busy {cost.driver / cost.wall:.0%}"
        )
    print(
        f"  CPU-seconds for 1,000 verdicts, everything (workers, their start, driver): {1e3 * (everything + driver) / total:.3f}"
    )
    print(f"  wall ratio, one worker to two: {costs[1].wall / costs[2].wall:.2f}")
    print("  outcomes: " + ", ".join(f"{outcome} {count / total:.1%}" for outcome, count in outcomes.most_common()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--verifier", choices=sorted(SOURCES), default="answer")
    parser.add_argument("--rows", type=int, default=20_000, help="traces of each length")
    parser.add_argument("--length", choices=("short", "long", "both"), default="both")
    options = parser.parse_args()
    if not SHARED.exists():
        print(f"skipped: no recorded outputs at {SHARED}")
        return
    for long in (False, True):
        if options.length in ("both", "long" if long else "short"):
            asyncio.run(run(options.verifier, options.rows, long))


if __name__ == "__main__":
    main()
