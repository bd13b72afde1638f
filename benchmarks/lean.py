"""The embedded Lean: cold start, proofs a second, memory over 1,000 checks, two workers against one, tactic steps a second.

    python benchmarks/lean.py [--checks 1000] [--no-pool]

Proofs are of five kinds (omega, simp, decide, induction, grind), every statement a new one, elaborated, pinned and replayed. Rates are given by the
clock and per CPU-second of the Lean process: on a busy machine only the second means something. The limits are 30 s to the first verdict, 25 proofs/s a worker, two
workers at least 1.6 times one. Needs ``tracemill lean install``; at most two processes, of about a gigabyte each, run at once.
"""

from __future__ import annotations

import argparse
import os
import time
from itertools import islice

from tracemill.verifiers.base import Candidate
from tracemill.verifiers.lean import choose
from tracemill.verifiers.lean import verifier as lean
from tracemill.verifiers.lean.tactics import TacticEnvironment
from tracemill.verifiers.pool import verify_all

KINDS = (
    ("(a b c : Nat) (h : a + {n} ≤ b) (k : b < c) : a + {n} < c", "by omega"),
    ("(xs ys : List Nat) : (xs ++ ys ++ []).length + {n} = ys.length + xs.length + {n}", "by simp [Nat.add_comm]"),
    (": {n} * 7 % 5 < 5 ∧ {n} + 2 ≠ 1", "by decide"),
    ("(n : Nat) : n * {n} + 0 = n * {n}", "by\n  induction n with\n  | zero => simp\n  | succ n ih => rfl"),
    ("(f : Nat → Nat) (a b : Nat) (h : f a = b + {n}) (k : b = a) : f b = a + {n}", "by grind"),
)
TACTICS = ("constructor", "exact hp", "simp", "simp_all", "omega", "assumption", "rfl", "cases hp", "exact ⟨hp, hq, hp⟩", "contradiction")  # fmt: skip


def proofs(begin: int = 0):
    """Candidates without end, no statement twice."""
    number = begin
    while True:
        for text, proof in KINDS:
            statement = f"theorem t {text.replace('{n}', str(number))}"
            yield Candidate(f"p{number}", proof, spec={"statement": statement})
        number += 1


def one_worker(checks: int) -> None:
    built = lean.verifier({"backend": "embedded"})
    begun = time.perf_counter()
    lean.prepare(built.config)
    given = proofs()
    first = lean.check(next(given), built.config)
    (session,) = lean._SESSIONS.values()
    process = session.reader
    print(
        f"cold start to first verdict: {time.perf_counter() - begun:.1f} s ({process.cpu_seconds():.1f} CPU-s), {first.outcome}"
    )
    for candidate in islice(given, 50):
        lean.check(candidate, built.config)
    resident, wrong = process.resident(), 0
    begun, cpu = time.perf_counter(), process.cpu_seconds()
    for candidate in islice(given, checks):
        wrong += lean.check(candidate, built.config).outcome != "correct"
    wall, cpu = time.perf_counter() - begun, process.cpu_seconds() - cpu
    print(
        f"{checks} proofs: {checks / wall:.1f}/s by the clock, {checks / cpu:.1f} per CPU-second, {wrong} wrong",
        end="; ",
    )
    print(f"memory {resident / 1e6:.0f} -> {process.resident() / 1e6:.0f} MB, {process.starts} process")
    session.reader.close()
    lean._SESSIONS.clear()


def pool(checks: int) -> None:
    built = lean.verifier({"backend": "embedded"})
    rates = []
    for workers in (1, 2):
        given = list(islice(proofs(60 * workers), checks * workers))
        verdicts = verify_all(built, given, workers)
        right = sum(v.judgement.outcome == "correct" for v in verdicts)
        busy = sum(v.wall_ms or 0.0 for v in verdicts) / 1e3 / workers
        rates.append(len(given) / busy)
        print(f"{workers} worker(s): {rates[-1]:.1f} proofs/s without their start, {right} of {len(given)} right")
    print(f"two workers / one: {rates[1] / rates[0]:.2f} (load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores)")


def tactics() -> None:
    with TacticEnvironment(choose.backend("embedded")) as environment:
        start = environment.start("theorem t (p q : Prop) (hp : p) (hq : q) : p ∧ q ∧ p")
        environment.step(start, TACTICS)
        begun, cpu, steps = time.perf_counter(), environment.process.cpu_seconds(), 0
        for _ in range(50):
            steps += len(environment.step(start, TACTICS))
        wall, cpu = time.perf_counter() - begun, environment.process.cpu_seconds() - cpu
        print(f"{steps} tactic steps: {steps / wall:.0f}/s by the clock, {steps / cpu:.0f} per CPU-second")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checks", type=int, default=1000)
    parser.add_argument("--no-pool", action="store_true", help="leave out one worker against two")
    options = parser.parse_args()
    one_worker(options.checks)
    tactics()
    if not options.no_pool:
        pool(min(options.checks, 300))


if __name__ == "__main__":
    main()
