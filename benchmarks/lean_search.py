"""Proof search on the embedded Lean, with and without finishing tactics, beside one-shot finishers at equal tactic calls.

    python benchmarks/lean_search.py THEOREMS.jsonl.gz [--calls 200] [--limit N] [--sources nng4-ported theorem_proving_in_lean4]

Each line of THEOREMS has ``name`` and ``statement`` (binders and type), or a ``lean`` snippet of whole declarations: then each
theorem and example in it is one, with what stands before it as its header. Best-first by cumulative log-probability over the
built-in portfolio; one-shot finishers are ``omega``, ``grind``, ``simp_all`` and ``decide``, and beside them scripts of one after
``intros``, ``simp``, ``constructor <;>`` and the like, which is all that they can do with as many calls. Every proof goes through the ``lean`` verifier. Limits: ten points above the one-shot finishers, and 25 trees whose proof has
three tactics or more and a dead end; streams are told of all of them and parsed back.
"""

from __future__ import annotations

import argparse
import gzip
import json
import re
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass

from tracemill.schemas.enums import NodeStatus, Outcome
from tracemill.schemas.errors import TracemillError
from tracemill.schemas.records import Problem
from tracemill.tasks.domains.lean import Lean, Proof
from tracemill.tasks.domains.lean_tactics import FINISHING
from tracemill.tasks.linearize.base import visited_path
from tracemill.tasks.linearize.fit import tell
from tracemill.tasks.linearize.registry import build_linearizer
from tracemill.tasks.search.best_first import BestFirst
from tracemill.tasks.search.budget import Budgets
from tracemill.tasks.search.drive import run_now
from tracemill.tasks.search.growth import Growth, grown, plant
from tracemill.tasks.search.tree import Plot, Tree
from tracemill.verifiers.base import Candidate
from tracemill.verifiers.lean.tactics import TacticEnvironment, TacticState, script
from tracemill.verifiers.lean.verifier import check, verifier

POINTS, TREES = 10.0, 25
#: Thousands of heartbeats for one tactic, in every way of proving.
HEARTBEATS = 2_000
ONE_SHOT, SCRIPTS = "one-shot finishers", "one-shot scripts"
WAYS = (ONE_SHOT, SCRIPTS, "with finishing", "without finishing")
STREAMS = ("stream_of_search", "journey", "astro", "condensed")
BEFORE = (
    "",
    "intros; ",
    "simp; ",
    "intros; simp; ",
    "constructor <;> ",
    "intros; constructor <;> ",
    "intros; subst_vars; ",
)

_DECLARATION = re.compile(r"^(?:theorem|lemma)\s+[^\s:({\[]+|^example\b", re.MULTILINE)
_VARIABLE = re.compile(r"^variable\s+(.*)$", re.MULTILINE)


@dataclass(frozen=True)
class Theorem:
    """A named statement, and what stands before it."""

    statement: str
    header: str = ""


@dataclass
class Tally:
    """What one way of proving came to."""

    proved: int = 0
    calls: int = 0
    states: int = 0
    seconds: float = 0.0
    long: int = 0
    streams: int = 0
    faithful: int = 0
    refused: int = 0


def theorems(path: str, sources: list[str] | None) -> Iterator[Theorem]:
    """The theorems of the file, each under a name of its own."""
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    number = 0
    for row in rows:
        if (sources and row["source"] not in sources) or re.search(r"\baxiom\b", row["lean"]):
            continue
        if row.get("statement") is not None:
            number += 1
            yield Theorem(f"theorem target_{number} {row['statement']}")
            continue
        text = row["lean"]
        for match in _DECLARATION.finditer(text):
            header = text[: match.start()]
            statement = _statement(text[match.end() :])
            if statement is None or "sorry" in header:
                continue
            number += 1
            bound = " ".join(" ".join(_VARIABLE.findall(header)).split())
            yield Theorem(f"theorem target_{number} {bound} {statement}", header)


def _statement(rest: str) -> str | None:
    """What stands before ``:=`` outside brackets; None for a proof by equations."""
    depth = 0
    for at, mark in enumerate(rest):
        depth += mark in "([{⦃⟨"
        depth -= mark in ")]}⦄⟩"
        if depth == 0 and rest.startswith(":=", at):
            return " ".join(rest[:at].split())
        if depth == 0 and (rest.startswith("\n|", at) or rest.startswith("\n  |", at) or rest.startswith("\n\n", at)):
            return None
    return None


class Verify:
    """The reward of a finished proof, by the ``lean`` verifier in this process."""

    def __init__(self) -> None:
        self.config = verifier().config
        self.refused = 0
        self.theorem = Theorem("")

    def __call__(self, text: str) -> float:
        spec = {"statement": self.theorem.statement, "header": self.theorem.header}
        judged = check(Candidate("s", f"```lean\n{text}\n```", spec=spec), self.config)
        if judged.outcome is not Outcome.CORRECT:
            self.refused += 1
            print(f"    refused ({judged.outcome}): {judged.reason[:160]}\n{text}", flush=True)
        return float(judged.outcome is Outcome.CORRECT)


def one_shot(
    environment: TacticEnvironment, start: TacticState, most: int, before: tuple[str, ...]
) -> tuple[str | None, int]:
    """The first tactic that finishes, and how many were tried."""
    tactics = [f"{first}{finisher}" for first in before for finisher in FINISHING][:most]
    for tried, tactic in enumerate(tactics, 1):
        if environment.step(start, [tactic])[0].done:
            return tactic, tried
    return None, len(tactics)


def search(domain: Lean, problem: Problem) -> Tree[Proof]:
    state = domain.initial(problem)
    plot = Plot(problem.problem_id, "portfolio", "best_first", {"by": "logprob", "finishing": domain.finishing}, 0)
    growth = Growth(domain, plant(domain, plot, state, Budgets()), merge="states")
    return run_now(grown(BestFirst(by="logprob"), growth))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("theorems")
    parser.add_argument("--calls", type=int, default=200, help="tactic calls per theorem")
    parser.add_argument("--seconds", type=float, default=20.0, help="seconds that a batch of tactics may take")
    parser.add_argument("--limit", type=int, help="at most so many theorems")
    parser.add_argument("--sources", nargs="+")
    parser.add_argument("--ways", nargs="+", default=WAYS, choices=WAYS, metavar="WAY", help=f"of: {', '.join(WAYS)}")
    parser.add_argument("--each", action="store_true", help="a line for each theorem: what proved it")
    args = parser.parse_args()
    verify = Verify()
    tallies = {name: Tally() for name in WAYS if name in args.ways}
    linearizers = [build_linearizer(name) for name in STREAMS]
    asked = taken = 0
    with TacticEnvironment(limit=args.seconds, heartbeats=HEARTBEATS) as environment:
        for theorem in theorems(args.theorems, args.sources):
            if args.limit is not None and taken >= args.limit:
                break
            asked += 1
            spec = {"statement": theorem.statement, "header": theorem.header}
            problem = Problem(theorem.statement, "lean", "benchmark", spec=spec)
            try:
                environment.reset()
                start = environment.start(theorem.statement, theorem.header)
            except TracemillError:
                continue
            taken += 1
            verify.theorem = theorem
            before = [tally.proved for tally in tallies.values()]
            for name, tally in tallies.items():
                begun = time.perf_counter()
                if name in (ONE_SHOT, SCRIPTS):
                    tactic, calls = one_shot(environment, start, args.calls, BEFORE[: None if name == SCRIPTS else 1])
                    tally.proved += tactic is not None and verify(script(theorem.statement, [tactic])) == 1.0
                    tally.calls += calls
                else:
                    domain = Lean(environment, verify, finishing=name == "with finishing", budget=args.calls)
                    tree = search(domain, problem)
                    tally.states += len(tree.nodes)
                    tally.proved += bool(tree.goals())
                    tally.calls += domain.calls
                    tell_of(tree, domain, tally, linearizers)
                tally.seconds += time.perf_counter() - begun
            if args.each:
                won = [tally.proved - old for tally, old in zip(tallies.values(), before, strict=True)]
                print(*won, theorem.statement[:300], flush=True)
            if taken % 20 == 0:
                report(tallies, asked, taken)
    report(tallies, asked, taken)
    if len(tallies) < len(WAYS):
        return 0  # a part has nothing to be set beside
    best = max(tallies["with finishing"].proved, tallies["without finishing"].proved)
    long = max(tally.long for tally in tallies.values())
    faithful = all(tally.streams == tally.faithful for tally in tallies.values())
    return 0 if 100 * (best - tallies[ONE_SHOT].proved) / max(taken, 1) >= POINTS and long >= TREES and faithful else 1


def tell_of(tree: Tree[Proof], domain: Lean, tally: Tally, linearizers: list) -> None:
    best = tree.best_leaf
    if best is None or not best.goal:
        return
    dead = any(node.status is NodeStatus.DEAD and not node.edges for node in tree.nodes.values())
    tally.long += best.depth >= 3 and dead
    told = tell(tree, domain, linearizers)
    for stream in told.streams:
        tally.streams += 1
        tally.faithful += build_linearizer(stream.linearizer).parse(stream.text) == visited_path(tree, stream)


def report(tallies: dict[str, Tally], asked: int, taken: int) -> None:
    print(f"{taken} theorems (of {asked} statements; Lean does not take the others alone)", flush=True)
    for name, t in tallies.items():
        print(
            f"  {name:18} proved {t.proved:4} ({100 * t.proved / max(taken, 1):5.1f} %), {t.calls} calls, {t.states} states, "
            f"{t.seconds:.0f} s ({t.calls / max(t.seconds, 1e-9):.0f} calls/s, {t.states / max(t.seconds, 1e-9):.1f} states/s); "
            f"{t.long} proofs of 3 tactics and more with a dead end; {t.faithful} of {t.streams} streams parse back",
            flush=True,
        )


if __name__ == "__main__":
    sys.exit(main())
