"""What one trace costs beyond the model: CPU time of whole runs at two sizes, and the slope between them.

The engine is simulated and the answers are plain integers, so what is measured is everything else: prompts, ids, ledger,
commits, verification, views. CPU time is user + system time of the run and all its children, workers included.

    python benchmarks/marginal_cost.py [--sizes 2000 10000] [--samples 8] [--text-bytes 600] [--orchestrator prefect]
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

LIMIT_MS_PER_TRACE = 1.0
LIMIT_START_UP_S = 15.0


def problems(path: Path, count: int) -> None:
    """``count`` different additions with their answers, as JSON lines."""
    rng = random.Random(0)
    with path.open("w") as out:
        for index in range(count):
            a, b = rng.randrange(10**6), rng.randrange(10**6)
            out.write(json.dumps({"prompt": f"Problem {index}: what is {a} + {b}?", "gold": str(a + b)}) + "\n")


def cpu_seconds(folder: Path, count: int, args: argparse.Namespace) -> tuple[float, float, int]:
    """CPU seconds, wall seconds and bytes of text of one run over ``count`` problems."""
    source = folder / f"problems-{count}.jsonl"
    problems(source, count)
    recipe = folder / f"recipe-{count}.yaml"
    recipe.write_text(
        json.dumps(
            {
                "name": f"marginal-{count}",
                "problems": [{"kind": "file", "path": str(source), "verifier": "answer"}],
                "engine": {"kind": "simulated", "simulation": {"text_bytes": args.text_bytes}},
                "sampling": {"max_tokens": 100_000},
                "strategy": {"n": args.samples},
                "orchestrator": args.orchestrator,
            }
        )
    )
    out = folder / f"run-{count}"
    environment = {**os.environ, "TRACEMILL_HOME": str(folder / "home")}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.perf_counter()
    command = [str(Path(sys.executable).with_name("tracemill")), "run", str(recipe), "--out", str(out)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    wall = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        sys.exit(done.stderr)
    size = sum(file.stat().st_size for file in (out / "traces").glob("*.parquet"))
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, wall, size


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs=2, default=[2000, 10000])
    parser.add_argument("--samples", type=int, default=8)
    parser.add_argument("--text-bytes", type=int, default=600)
    parser.add_argument("--orchestrator", choices=["prefect", "none"], default="prefect")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        cpu_seconds(folder, 10, args)  # warms caches that a first run fills
        small, large = args.sizes
        cpu_small, wall_small, _ = cpu_seconds(folder, small, args)
        cpu_large, wall_large, _ = cpu_seconds(folder, large, args)
    traces = (large - small) * args.samples
    slope = (cpu_large - cpu_small) / traces
    start_up = cpu_small - slope * small * args.samples
    megabytes = traces * args.text_bytes / 1e6
    print(f"{small} problems x {args.samples}: {cpu_small:.1f} s CPU, {wall_small:.1f} s wall")
    print(f"{large} problems x {args.samples}: {cpu_large:.1f} s CPU, {wall_large:.1f} s wall")
    print(f"slope: {slope * 1e3:.3f} ms CPU a trace ({slope * 1e3 / LIMIT_MS_PER_TRACE:.2f} of the limit)")
    print(f"fixed start-up: {start_up:.1f} s CPU ({start_up / LIMIT_START_UP_S:.2f} of the limit)")
    print(f"text of {args.text_bytes} bytes: {megabytes / (cpu_large - cpu_small):.1f} MB a CPU second")


if __name__ == "__main__":
    main()
