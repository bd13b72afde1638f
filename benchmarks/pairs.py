"""Mining pairs from large runs: time, memory and how both grow.

The attempts are recorded ones (``--outputs``: JSON lines with ``problem_id``, ``output`` and ``correct``, by default the GSM8K
outputs beside the repository), perturbed: lines dropped and repeated, numbers changed; several joined where the wanted
length is longer. Attempts per problem are skewed (log-normal, 99th percentile 200, one problem with a fiftieth of all).
Prints seconds of wall and CPU, peak memory and microseconds an attempt, beside the limits (10 minutes and 4 GB for a
million), the exponent of growth between the sizes, and the same problems by comparing all pairs.

    python benchmarks/pairs.py [--sizes 250000 500000 1000000] [--long 100000] [--keep FOLDER]
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
import math
import os
import random
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa

from tracemill.schemas.ids import text_hash
from tracemill.schemas.recipe import Recipe
from tracemill.schemas.records import Policy, Problem
from tracemill.schemas.tables import schema_of
from tracemill.tasks.segment import segment
from tracemill.tasks.store import Funnel, RunStore

OUTPUTS = Path(__file__).resolve().parents[2] / "shared" / "datasets" / "gsm8k_model_outputs" / "outputs.jsonl.gz"
LIMIT_S, LIMIT_GB, LIMIT_SIZE = 600.0, 4.0, 1_000_000
SHARD_CHARACTERS = 64 << 20
POLICY = Policy("recorded", "import")
NUMBER = re.compile(r"\d+")

MINE = """
import asyncio, json, os, resource, sys, time
from tracemill.schemas.recipe import MiningSpec
from tracemill.tasks.mining.build import mine
from tracemill.tasks.store import RunStore
run = RunStore.open(sys.argv[1])
began = time.perf_counter()
commits = asyncio.run(mine(run, MiningSpec(make=[]), 0.0, None))
own, readers = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
print(json.dumps({
    "wall": time.perf_counter() - began,
    "cpu": sum(used.ru_utime + used.ru_stime for used in (own, readers)),
    "gb": (own.ru_maxrss + os.cpu_count() * readers.ru_maxrss) / 2**20,  # as if all peaked at once
    "pairs": sum(commit.rows("pairs") for commit in commits),
}))
"""

NAIVE = """
import sys, time
import numpy as np
from rapidfuzz.distance import Indel
from rapidfuzz.process import cdist
from tracemill.tasks.mining.similarity import Alphabet
from tracemill.tasks.queries import connect
from tracemill.tasks.store import RunStore
with connect([RunStore.open(sys.argv[1])]) as connection:
    connection.execute("SET enable_progress_bar = false")
    rows = connection.execute(
        "SELECT list(text) FILTER (outcome = 'correct'), list(text) FILTER (outcome <> 'correct') FROM traces "
        "JOIN final_verdict ON subject_id = trace_id WHERE problem_id IN "
        "(SELECT problem_id FROM problems ORDER BY problem_id LIMIT 400) GROUP BY problem_id"
    ).fetchall()
began, attempts, pairs = time.perf_counter(), 0, 0
for right, wrong in rows:
    alphabet = Alphabet()
    one, other = alphabet.write(right or []), alphabet.write(wrong or [])
    attempts, pairs = attempts + len(one) + len(other), pairs + len(one) * len(other)
    if one and other:
        cdist(other, one, scorer=Indel.normalized_similarity, dtype=np.float32, workers=-1)
print(attempts, pairs, time.perf_counter() - began)
"""


def recorded(path: Path) -> list[tuple[list[str], list[str]]]:
    """(right outputs, wrong outputs) of each problem that has both."""
    found: dict[str, tuple[list[str], list[str]]] = {}
    with gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else path.open(encoding="utf-8") as lines:
        for line in lines:
            row = json.loads(line)
            found.setdefault(row["problem_id"], ([], []))[not row["correct"]].append(row["output"])
    return [group for group in found.values() if group[0] and group[1]]


def perturbed(text: str, rng: random.Random) -> str:
    """``text`` with a few lines dropped or repeated and a few numbers changed."""
    lines = text.split("\n")
    for _ in range(1 + len(lines) // 12):
        place = rng.randrange(len(lines))
        if rng.random() < 0.5 and len(lines) > 2:
            lines.pop(place)
        else:
            lines.insert(place, rng.choice(lines))
    return NUMBER.sub(lambda match: match[0] if rng.random() > 0.08 else str(rng.randrange(1000)), "\n".join(lines))


def sizes(total: int, rng: random.Random) -> Iterator[int]:
    """Attempts per problem: one problem with a fiftieth, the others log-normal with a 99th percentile of 200."""
    yield total // 50
    left = total - total // 50
    while left > 0:
        size = min(left, max(2, round(math.exp(rng.gauss(math.log(20), math.log(10) / 2.326)))))
        yield size
        left -= size


def make(folder: str, total: int, median: int, groups: list[tuple[list[str], list[str]]]) -> tuple[int, int]:
    """A run of ``total`` attempts of about ``median`` characters; returns problems and bytes of text."""
    rng, made, count = random.Random(total), 0, 0
    tables: dict[str, list[dict[str, Any]]] = {"problems": [], "traces": [], "verdicts": []}
    now, characters, shard = datetime.now(UTC), 0, 0
    recipe = Recipe.model_validate({"name": "pairs", "problems": [{"kind": "file", "path": "x"}]})
    with RunStore.start(folder, recipe) as run:
        for size in sizes(total, rng):
            count += 1
            problem = Problem(f"problem {count}", "answer", "recorded", gold="0")
            tables["problems"].append(problem.row())
            rights, wrongs = groups[count % len(groups)]
            for index in range(size):
                right = rng.random() < 0.55
                wanted = median * math.exp(rng.gauss(0, 0.6))
                text = perturbed(rng.choice(rights if right else wrongs), rng)
                while len(text) < wanted:
                    text += "\n\n" + perturbed(rng.choice(rights if right else wrongs), rng)
                trace = "t_" + hashlib.sha256(f"{count}/{index}".encode()).hexdigest()[:32]
                tables["traces"].append(_trace(trace, problem.problem_id, index, text))
                tables["verdicts"].append(_verdict(trace, right, now))
                characters += len(text)
                if characters >= SHARD_CHARACTERS:
                    _flush(run, shard, tables)
                    made, characters, shard = made + characters, 0, shard + 1
        _flush(run, shard, tables)
    return count, made + characters


def _trace(trace: str, problem: str, index: int, text: str) -> dict[str, Any]:
    spans, segmenter = segment(text)
    return {
        "trace_id": trace,
        "attempt_id": "a" + trace[1:],
        "problem_id": problem,
        "kind": "imported",
        "sample_index": index,
        "path": str(index),
        "text": text,
        "steps": [{"start": start, "end": end} for start, end in spans],
        "segmenter": segmenter,
        "finish_reason": "stop",
        "policy_id": POLICY.policy_id,
        "strategy": "{}",
        "round": 0,
        "repeats": 1,
        "text_hash": text_hash(text),
    }


def _verdict(trace: str, right: bool, now: datetime) -> dict[str, Any]:
    return {
        "subject_id": trace,
        "verifier": "answer",
        "version": "1",
        "config_hash": "c",
        "inputs_hash": "i",
        "outcome": "correct" if right else "incorrect",
        "level": "rule",
        "backend": "python",
        "isolation": "process",
        "reason": "different",
        "evidence": "{}",
        "verified_at": now,
    }


def _flush(run: RunStore, shard: int, tables: dict[str, list[dict[str, Any]]]) -> None:
    rows = {name: pa.Table.from_pylist(table, schema=schema_of(name)) for name, table in tables.items()}
    run.commit("import", f"s{shard:05d}", rows, Funnel("import", len(tables["traces"]), len(tables["traces"])))
    for table in tables.values():
        table.clear()


def measure(folder: str) -> dict[str, float]:
    said = subprocess.run([sys.executable, "-c", MINE, folder], check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, float] = json.loads(said.stdout)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="*", default=[20_000, 40_000, 80_000])
    parser.add_argument("--long", type=int, default=0, help="attempts at a median of 32 KB")
    parser.add_argument("--full", action="store_true", help="sizes 250000 500000 1000000, and 100000 long ones")
    parser.add_argument("--outputs", type=Path, default=OUTPUTS)
    parser.add_argument("--keep", type=Path, help="keep the runs in this folder")
    options = parser.parse_args()
    if not options.outputs.exists():
        sys.exit(f"no recorded outputs at {options.outputs}: name a file with --outputs")
    if options.full:
        options.sizes, options.long = [250_000, 500_000, 1_000_000], 100_000
    groups = recorded(options.outputs)
    print(
        f"{'attempts':>10}{'median':>8}{'GB':>7}{'problems':>10}{'pairs':>9}{'wall s':>8}{'CPU s':>8}{'peak GB':>9}{'us each':>9}"
    )
    points = []
    with tempfile.TemporaryDirectory(dir=options.keep) as folder:
        for total, median in [
            *((size, 1100) for size in options.sizes),
            *([(options.long, 32 << 10)] if options.long else []),
        ]:
            place = os.path.join(folder, f"run-{total}-{median}")
            problems, characters = make(place, total, median, groups)
            found = measure(place)
            print(
                f"{total:>10,}{median:>8,}{characters / 2**30:>7.2f}{problems:>10,}{int(found['pairs']):>9,}{found['wall']:>8.1f}"
                f"{found['cpu']:>8.1f}{found['gb']:>9.2f}{found['wall'] / total * 1e6:>9.0f}",
                flush=True,
            )
            if median < 2000:
                points.append((total, found))
            if not options.keep and total != options.sizes[0]:
                subprocess.run(["rm", "-rf", place], check=True)
        if not points:
            return
        total, found = points[-1]
        scale = LIMIT_SIZE / total
        print(
            f"limit for a million: {LIMIT_S:.0f} s, {LIMIT_GB:.0f} GB; the largest size takes {found['wall'] * scale / LIMIT_S:.2f} of the time, scaled,",
            end=" ",
        )
        print(f"and {found['gb'] / LIMIT_GB:.2f} of the memory")
        if len(points) > 1:
            (small, first), (large, last) = points[0], points[-1]
            print(f"growth: time ~ attempts^{math.log(last['wall'] / first['wall']) / math.log(large / small):.2f}")
        naive(os.path.join(folder, f"run-{options.sizes[0]}-1100"), points[0])


def naive(place: str, point: tuple[int, dict[str, float]]) -> None:
    """All pairs of the first 400 problems by rapidfuzz alone, beside ours for as many attempts."""
    began = time.perf_counter()
    said = subprocess.run(
        [sys.executable, "-c", NAIVE, place], check=True, capture_output=True, text=True
    ).stdout.split()
    attempts, pairs, seconds = int(said[0]), int(said[1]), float(said[2])
    ours = point[1]["wall"] / point[0] * attempts
    print(
        f"all {pairs:,} pairs of {attempts:,} attempts by rapidfuzz alone: {seconds:.1f} s ({time.perf_counter() - began:.0f} s with "
        f"reading); ours for as many attempts {ours:.2f} s: {seconds / ours:.1f} times as fast"
    )


if __name__ == "__main__":
    main()
