"""Stream of Search in bulk: what is solved, what replays, how fast, and in how much memory.

    python benchmarks/streams.py [--streams 12000] [--bulk 500000] [--replay 12000] [--tokens 2000] [--aligned 240]

The table stands beside that of algorithms §2.19, which came from the reference generator: 12,000 streams in 25 seconds on
two cores, so 240 streams a CPU second. Compilation is not counted; it is cached on disk.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tracemill.schemas.tables import schema_of
from tracemill.tasks.domains.countdown_instances import split_targets
from tracemill.tasks.linearize import bulk, compiled
from tracemill.tasks.linearize.metrics import alignment, state_of, strategy_name
from tracemill.tasks.linearize.stream_of_search import parse
from tracemill.tasks.tokenizer import load_tokenizer
from tracemill.verifiers.stream_of_search import replay

REFERENCE = 12_000 / 50.0  # streams per CPU second
SOLVED = 0.569
TABLE = {
    ("dfs", "sum", 0): (0.814, 71.5), ("dfs", "mult", 0): (0.600, 37.8),
    ("bfs", "sum", 1): (0.081, None), ("bfs", "sum", 2): (0.200, None), ("bfs", "sum", 3): (0.444, None),
    ("bfs", "sum", 4): (0.485, None), ("bfs", "sum", 5): (0.603, 81.7),
    ("bfs", "mult", 1): (0.214, None), ("bfs", "mult", 2): (0.437, None), ("bfs", "mult", 3): (0.556, None),
    ("bfs", "mult", 4): (0.599, None), ("bfs", "mult", 5): (0.674, None),
}  # fmt: skip


def write_bulk(count: int, folder: str, seed: int) -> None:
    """``count`` streams and their trees as Parquet, and the peak of memory of this process."""
    targets = split_targets(4).train
    began, cpu = time.monotonic(), time.process_time()
    with (
        pq.ParquetWriter(f"{folder}/streams.parquet", schema_of("streams"), compression="zstd") as streams,
        pq.ParquetWriter(f"{folder}/trees.parquet", schema_of("trees"), compression="zstd") as trees,
        pq.ParquetWriter(f"{folder}/problems.parquet", schema_of("problems"), compression="zstd") as problems,
    ):
        done = 0
        for chunk in bulk.streams(seed, count, targets):
            streams.write_table(chunk.streams)
            trees.write_table(chunk.trees)
            problems.write_table(pa.Table.from_pylist([p.row() for p in chunk.problems], schema=schema_of("problems")))
            done += chunk.streams.num_rows
            if sys.stderr.isatty():
                print(f"\r{done:,} of {count:,}", end="", file=sys.stderr)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    size = sum(os.path.getsize(f"{folder}/{name}.parquet") for name in ("streams", "trees", "problems")) / 1e6
    cpu = time.process_time() - cpu
    print(
        f"{count:,} streams as Parquet (streams, trees, problems): peak {peak:,.0f} MB (bound 2,048), {size:,.0f} MB on disk, "
        f"{cpu:.0f} s CPU, {time.monotonic() - began:.0f} s, {count / cpu:,.0f} streams per CPU second"
    )


def kernel_rate(count: int, seed: int) -> float:
    """Streams per CPU second of instances, searches, texts and segments alone, without rows and ids."""
    targets = np.array(split_targets(4).train, np.int64)
    out = np.empty(count * 12_000 + compiled.LONGEST, np.uint8)
    segments = np.empty((count * 200 + compiled.MOST_SEGMENTS, 4), np.int64)
    arrays = [np.empty(count, np.int64), segments, np.empty(count, np.int64)]
    began = time.process_time()
    made = compiled.tell(
        np.uint64(seed), 0, count, targets, out, *arrays, np.empty((count, 5), np.int64), np.empty((count, 8), np.int64)
    )
    return float(made / (time.process_time() - began))


def print_context(rows: list[dict[str, Any]], context: int = 4096) -> None:
    """The share of streams that a context of so many tokens cannot hold, and of all streams those solved within it."""
    encoder = load_tokenizer("local")
    fits = [len(encoder.encode(row["text"])) <= context for row in rows]
    solved = [row["verified"] for row in rows]
    within = sum(a and b for a, b in zip(fits, solved, strict=True)) / len(rows)
    print(
        f"{len(rows):,} streams in {context} tokens of {encoder.name}: {100 * (1 - sum(fits) / len(rows)):.1f} % do not fit (§2.19: "
        f"21.6 or more, GPT-2), {100 * within:.1f} % are solved within it (47)"
    )


def print_alignment(trees: list[dict[str, Any]], rows: list[dict[str, Any]]) -> None:
    """By strategy, the mean share of states that a search has in common with itself and with the nearest other strategies."""
    found: dict[str, list[dict[str, float]]] = defaultdict(list)
    for tree, row in zip(trees, rows, strict=True):
        parameters = json.loads(tree["parameters"])
        own = strategy_name(parameters["heuristic"], parameters.get("width", 0))
        found[own].append(alignment(row["text"], state_of(row["text"]), tree["seed"]))
    print(f"alignment over {len(rows):,} streams")
    for own, each in sorted(found.items()):
        means = {name: sum(one[name] for one in each) / len(each) for name in each[0]}
        others = sorted((name for name in means if name != own), key=lambda name: -means[name])[:3]
        near = ", ".join(f"{name} {means[name]:.2f}" for name in others)
        print(f"  {own:<12}{means[own]:>6.2f} with itself; {near}")


def main() -> None:
    arguments = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    arguments.add_argument("--streams", type=int, default=12_000)
    arguments.add_argument("--bulk", type=int, default=500_000, help="streams to write as Parquet; 0 for none")
    arguments.add_argument("--replay", type=int, default=12_000, help="streams to replay line by line")
    arguments.add_argument("--tokens", type=int, default=2000, help="streams to count the tokens of; 0 for none")
    arguments.add_argument("--aligned", type=int, default=240, help="streams to compare with each strategy; 0 for none")
    arguments.add_argument("--seed", type=int, default=1)
    arguments.add_argument("--write", help=argparse.SUPPRESS)
    given = arguments.parse_args()
    if given.write:
        write_bulk(given.bulk, given.write, given.seed)
        return
    targets = split_targets(4).train
    list(bulk.streams(given.seed, 2, targets))  # compiled, or read from the cache
    began = time.process_time()
    chunks = list(bulk.streams(given.seed, given.streams, targets))
    cpu = time.process_time() - began
    counts: dict[tuple[str, str, int], list[tuple[bool, int]]] = defaultdict(list)
    errors = wrong = checked = characters = 0
    for chunk in chunks:
        trees, rows = chunk.trees.to_pylist(), chunk.streams.select(["text", "verified"]).to_pylist()
        for tree, row, explored in zip(trees, rows, chunk.explored, strict=True):
            width = int(tree["parameters"].partition('"width":')[2].rstrip("}") or 0)
            heuristic = "mult" if '"mult"' in tree["parameters"] else "sum"
            counts[tree["strategy"], heuristic, width].append((row["verified"], explored))
            characters += len(row["text"])
            if checked < given.replay:
                checked += 1
                found = replay(row["text"])
                errors += len(found.mistakes)
                wrong += found.solved != row["verified"]
                parse(row["text"])
    every = [solved for values in counts.values() for solved, _ in values]
    print(f"{len(every):,} streams of seed {given.seed}, {characters / len(every):,.0f} characters each")
    print(f"{'strategy':<14}{'streams':>8}{'solved':>8}{'§2.19':>8}{'explored':>10}{'§2.19':>8}")
    for key, (solved, explored) in TABLE.items():
        values = counts[key]
        mean = sum(s for s, _ in values) / len(values)
        looked = sum(e for _, e in values) / len(values)
        name = f"{key[0]} {key[1]}" + (f" {key[2]}" if key[2] else "")
        print(f"{name:<14}{len(values):>8,}{mean:>8.3f}{solved:>8.3f}{looked:>10.1f}{explored or '':>8}")
    share = sum(every) / len(every)
    print(
        f"solved {100 * share:.1f} % (§2.19: {100 * SOLVED:.1f} +- 1.5): {'ok' if abs(share - SOLVED) < 0.015 else 'OUT'}"
    )
    print(f"{checked:,} streams replayed line by line: {errors} errors, {wrong} ends that differ from the search's")
    alone = kernel_rate(min(given.streams, 12_000), given.seed)
    rate = given.streams / cpu
    print(
        f"streams per CPU second: {rate:,.0f} with their rows and ids, {rate / REFERENCE:.0f} x the reference's {REFERENCE:.0f}"
    )
    print(f"                        {alone:,.0f} as text and segments alone, {alone / REFERENCE:.0f} x")
    first_trees, first = chunks[0].trees.to_pylist(), chunks[0].streams.select(["text", "verified"]).to_pylist()
    if given.tokens:
        print_context(first[: given.tokens])
    if given.aligned:
        print_alignment(first_trees[: given.aligned], first[: given.aligned])
    if given.bulk:
        with tempfile.TemporaryDirectory() as folder:
            command = [
                sys.executable,
                __file__,
                "--write",
                folder,
                "--bulk",
                str(given.bulk),
                "--seed",
                str(given.seed),
            ]
            subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
