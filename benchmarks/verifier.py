"""How often the answer verifier is right, and how fast: the labelled pairs of ``../shared/cases``.

``python benchmarks/verifier.py [--wrong] [--limit SECONDS]`` prints a confusion matrix for each source and pairs per
second. A pair that is ``unparsed``, ``timeout`` or ``error`` counts as not accepted.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter, defaultdict
from pathlib import Path

from tracemill.schemas.enums import Outcome
from tracemill.verifiers.base import Candidate
from tracemill.verifiers.pool import verify_all
from tracemill.verifiers.registry import build_verifier

CASES = Path(__file__).resolve().parents[2] / "shared" / "cases" / "answers.jsonl"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--wrong", action="store_true", help="list the pairs that are judged against their label")
    parser.add_argument("--limit", type=float, default=5.0, help="seconds of CPU for each pair")
    options = parser.parse_args()
    if not CASES.exists():
        sys.exit(f"no labelled cases at {CASES}")
    rows = [json.loads(line) for line in CASES.read_text(encoding="utf-8").splitlines()]
    verifier = build_verifier("answer", time_limit=options.limit)
    candidates = []
    for index, row in enumerate(rows):
        precision = row.get("params", {}).get("precision")
        spec = {"options": {"tolerance": 10.0**-precision}} if precision else {}
        candidates.append(Candidate(str(index), row["prediction"], row["gold"], spec))
    begun = time.perf_counter()
    verdicts = verify_all(verifier, candidates)
    wall = time.perf_counter() - begun
    cells: dict[str, Counter[str]] = defaultdict(Counter)
    outcomes: Counter[str] = Counter()
    for row, verdict in zip(rows, verdicts, strict=True):
        accepted = verdict.judgement.outcome is Outcome.CORRECT
        cell = ("T" if accepted == row["equal"] else "F") + ("P" if accepted else "N")
        for source in (row["source"].split("@")[0].split(" ")[0], "all"):
            cells[source][cell] += 1
        outcomes[verdict.judgement.outcome] += 1
        if options.wrong and cell[0] == "F":
            gold, said = row["gold"][:70], row["prediction"]
            said = said if len(said) < 90 else said[:40] + " ... " + said[-40:]
            print(f"{cell} {verdict.subject_id:>4} {gold!r} | {said!r} | {verdict.judgement.answer!r:.60}", end=" | ")
            print(f"{verdict.judgement.reason} | {row.get('why', '')}")
    print(f"{'source':<32}{'acc':>7}{'TP':>6}{'FN':>6}{'TN':>6}{'FP':>6}")
    for source, cell in cells.items():
        right, total = cell["TP"] + cell["TN"], sum(cell.values())
        print(f"{source:<32}{right / total:>7.3f}" + "".join(f"{cell[c]:>6}" for c in ("TP", "FN", "TN", "FP")))
    cpu = sum(v.cpu_ms or 0.0 for v in verdicts) / 1e3
    slow = sorted((v.cpu_ms or 0.0 for v in verdicts), reverse=True)
    print("outcomes", dict(outcomes))
    print(f"{len(rows) / wall:.0f} pairs/s wall, {len(rows) / cpu:.0f} pairs per CPU-second in the workers", end="; ")
    print(f"CPU ms a pair: median {slow[len(slow) // 2]:.2f}, p99 {slow[len(slow) // 100]:.0f}, most {slow[0]:.0f}")


if __name__ == "__main__":
    main()
