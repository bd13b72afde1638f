"""Proof search on the embedded Lean, with and without finishing tactics, beside one-shot finishers at equal tactic calls.

    python benchmarks/lean_search.py THEOREMS.jsonl.gz [--calls 400] [--workers 2] [--log FILE] [--half even] [--ways ...]

Each line of THEOREMS has ``name`` and ``statement`` (binders and type), or a ``lean`` snippet of whole declarations: then each
theorem and example in it is one, with what stands before it as its header. Best-first over the built-in portfolio; one-shot
finishers are ``omega``, ``grind``, ``simp_all`` and ``decide``, and beside them scripts of one after ``intros``, ``simp``,
``constructor <;>`` and the like, which is all that they can do with as many calls. Every proof goes through the ``lean`` verifier.

A tree counts where its proof has three tactics or more that are all needed (the proof is shortened first: each tactic
that can be left out is) and it has a dead end: a state that is stuck, refuted, or from which everything was tried without a goal
(``tasks/search/ends.py``); branches that were only abandoned are counted beside it. Limits: ten points above the one-shot
finishers, 25 such trees of all searches together, and every stream parsed back. The portfolio was tuned on lines of even number alone, so
both halves are printed. A theorem that is in ``--log`` already is not done again.
"""

from __future__ import annotations

import argparse
import gzip
import json
import multiprocessing
import os
import re
import sys
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tracemill.schemas.enums import Outcome
from tracemill.schemas.errors import TracemillError
from tracemill.schemas.records import Problem
from tracemill.tasks.domains.lean import Lean, Proof, mark
from tracemill.tasks.domains.lean_tactics import FINISHING
from tracemill.tasks.linearize.base import visited_path
from tracemill.tasks.linearize.fit import tell
from tracemill.tasks.linearize.registry import build_linearizer
from tracemill.tasks.search.best_first import BestFirst
from tracemill.tasks.search.budget import Budgets
from tracemill.tasks.search.drive import run_now
from tracemill.tasks.search.ends import dead_ends
from tracemill.tasks.search.growth import Growth, Search, grown, plant
from tracemill.tasks.search.mcts import Mcts
from tracemill.tasks.search.tree import Plot, Tree
from tracemill.tasks.search.values import Own
from tracemill.verifiers.base import Candidate
from tracemill.verifiers.lean.tactics import TacticEnvironment, TacticState, script
from tracemill.verifiers.lean.verifier import check, verifier

POINTS, TREES, LONG = 10.0, 25, 3
#: Thousands of heartbeats for one tactic, in every way of proving; seconds for a batch of tactics.
HEARTBEATS, SECONDS = 2_000, 10.0
ONE_SHOT, SCRIPTS, WITH, WITHOUT, STEPS, MCTS = (
    "one-shot finishers",
    "one-shot scripts",
    "with finishing",
    "without finishing",
    "elementary steps",
    "mcts without",
)
WAYS = (ONE_SHOT, SCRIPTS, WITH, WITHOUT, STEPS)
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
    """A named statement, what stands before it, and the line that it is from."""

    number: int
    line: int
    source: str
    statement: str
    header: str = ""


@dataclass(frozen=True)
class Trial:
    """One way of proving one theorem. ``needed`` of the proof's ``depth`` tactics stay when it is shortened."""

    number: int
    line: int
    source: str
    way: str
    proved: bool
    calls: int
    seconds: float
    tactics: tuple[str, ...] = ()
    needed: int = 0
    states: int = 0
    stuck: int = 0
    refuted: int = 0
    exhausted: int = 0
    abandoned: int = 0
    streams: int = 0
    faithful: int = 0
    refused: int = 0
    status: str = ""

    @property
    def depth(self) -> int:
        return len(self.tactics)

    @property
    def long(self) -> bool:
        return self.proved and self.needed >= LONG


def theorems(path: str, sources: list[str] | None = None) -> Iterator[Theorem]:
    """The theorems of the file, each under a number and a name of its own, whatever ``sources`` are asked for."""
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    number = 0
    for line, row in enumerate(rows):
        source = str(row.get("source", ""))
        wanted = not sources or source in sources
        if re.search(r"\baxiom\b", row["lean"]):
            continue
        if row.get("statement") is not None:
            number += 1
            if wanted:
                yield Theorem(number, line, source, f"theorem target_{number} {row['statement']}")
            continue
        text = row["lean"]
        for match in _DECLARATION.finditer(text):
            header = text[: match.start()]
            statement = _statement(text[match.end() :])
            if statement is None or "sorry" in header:
                continue
            number += 1
            bound = " ".join(" ".join(_VARIABLE.findall(header)).split())
            if wanted:
                yield Theorem(number, line, source, f"theorem target_{number} {bound} {statement}", header)


def _statement(rest: str) -> str | None:
    """What stands before ``:=`` outside brackets; None for a proof by equations."""
    depth = 0
    for at, letter in enumerate(rest):
        depth += letter in "([{⦃⟨"
        depth -= letter in ")]}⦄⟩"
        if depth == 0 and rest.startswith(":=", at):
            return " ".join(rest[:at].split())
        if depth == 0 and (rest.startswith("\n|", at) or rest.startswith("\n  |", at) or rest.startswith("\n\n", at)):
            return None
    return None


class Prover:
    """One Lean for tactics and one for verdicts, in this process."""

    def __init__(self) -> None:
        self.environment = TacticEnvironment(limit=SECONDS, heartbeats=HEARTBEATS)
        self.config = verifier().config
        self.linearizers = [build_linearizer(name) for name in STREAMS]
        self.theorem = Theorem(0, 0, "", "")
        self.refused = 0

    def verify(self, text: str) -> float:
        spec = {"statement": self.theorem.statement, "header": self.theorem.header}
        judged = check(Candidate("s", f"```lean\n{text}\n```", spec=spec), self.config)
        if judged.outcome is not Outcome.CORRECT:
            self.refused += 1
            print(f"    refused ({judged.outcome}): {judged.reason[:160]}\n{text}", file=sys.stderr, flush=True)
        return float(judged.outcome is Outcome.CORRECT)

    def trials(self, theorem: Theorem, ways: Iterable[str], calls: int, seconds: float) -> list[Trial]:
        """What each way makes of it; nothing where this Lean does not take the statement alone."""
        self.theorem = theorem
        try:
            self.environment.reset()
            start = self.environment.start(theorem.statement, theorem.header)
        except TracemillError:
            return []
        found = []
        for way in ways:
            begun, self.refused = time.perf_counter(), 0
            if way in (ONE_SHOT, SCRIPTS):
                told = self.one_shot(start, calls, BEFORE if way == SCRIPTS else BEFORE[:1])
            else:
                told = self.search(way, start, calls, seconds)
            told = {"seconds": time.perf_counter() - begun, **told}
            found.append(Trial(theorem.number, theorem.line, theorem.source, way, refused=self.refused, **told))
        return found

    def one_shot(self, start: TacticState, most: int, before: tuple[str, ...]) -> dict[str, Any]:
        """The first tactic that finishes, and how many were tried."""
        tactics = [f"{first}{finisher}" for first in before for finisher in FINISHING][:most]
        for tried, tactic in enumerate(tactics, 1):
            if self.environment.step(start, [tactic])[0].done:
                proved = self.verify(script(self.theorem.statement, [tactic])) == 1.0
                return {"proved": proved, "calls": tried, "tactics": (tactic,), "needed": 1}
        return {"proved": False, "calls": len(tactics)}

    def search(self, way: str, start: TacticState, calls: int, seconds: float) -> dict[str, Any]:
        begun = time.perf_counter()
        domain = Lean(self.environment, self.verify, finishing=way == WITH, simp=way != STEPS, budget=calls)
        spec = {"statement": self.theorem.statement, "header": self.theorem.header}
        tree = grow(domain, Problem(self.theorem.statement, "lean", "benchmark", spec=spec), way, seconds)
        ends = dead_ends(tree)
        told: dict[str, Any] = {
            "seconds": time.perf_counter() - begun,
            "proved": bool(tree.goals()),
            "calls": domain.calls,
            "states": len(tree.nodes),
            "stuck": len(ends.stuck),
            "refuted": len(ends.refuted),
            "exhausted": len(ends.exhausted),
            "abandoned": len(ends.abandoned),
            "status": tree.status.value,
        }
        if (best := tree.best_leaf) is not None and best.goal:
            told["tactics"] = best.state.tactics
            told["needed"] = len(self.shortened(start, list(best.state.tactics)))
            streams = tell(tree, domain, self.linearizers).streams
            told["streams"] = len(streams)
            told["faithful"] = sum(
                build_linearizer(stream.linearizer).parse(stream.text) == visited_path(tree, stream)
                for stream in streams
            )
        return told

    def shortened(self, start: TacticState, tactics: list[str]) -> list[str]:
        """The proof without each tactic, from the last to the first, that it stands without."""
        for at in reversed(range(len(tactics))):
            state: TacticState | None = start
            done = False
            shorter = tactics[:at] + tactics[at + 1 :]
            for place, tactic in enumerate(shorter):
                if state is None:
                    break
                (outcome,) = self.environment.step(state, [tactic])
                state, done = outcome.state, outcome.done and place == len(shorter) - 1
            if done:
                tactics = shorter
        return tactics


def grow(domain: Lean, problem: Problem, way: str, seconds: float) -> Tree[Proof]:
    search: Search = Mcts(iterations=10_000, stop_at_goal=True) if way == MCTS else BestFirst(by="both", length=0.5)
    parameters = {"finishing": domain.finishing, "simp": domain.simp, "calls": domain.budget}
    plot = Plot(problem.problem_id, "portfolio", search.name, parameters, 0)
    budgets = Budgets(seconds=seconds)
    tree = plant(domain, plot, domain.initial(problem), budgets)
    run_now(grown(search, Growth(domain, tree, budgets=budgets, value=Own(), merge="states")))
    mark(tree, domain)
    return tree


_PROVER: list[Prover] = []


def begin(nice: int) -> None:
    """Called once in each worker process."""
    os.nice(nice)
    _PROVER.append(Prover())


def work(theorem: Theorem, ways: tuple[str, ...], calls: int, seconds: float) -> list[Trial]:
    return _PROVER[0].trials(theorem, ways, calls, seconds)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("theorems")
    parser.add_argument("--calls", type=int, default=400, help="tactic calls per theorem")
    parser.add_argument("--seconds", type=float, default=60.0, help="seconds that a search may take for a theorem")
    parser.add_argument("--workers", type=int, default=1, help="processes, each with two Leans of about a gigabyte")
    parser.add_argument("--nice", type=int, default=0)
    parser.add_argument("--limit", type=int, help="at most so many theorems")
    parser.add_argument("--half", choices=("even", "odd"), help="only lines of even or odd number")
    parser.add_argument("--sources", nargs="+")
    parser.add_argument("--ways", nargs="+", default=WAYS, choices=(*WAYS, MCTS), metavar="WAY", help=", ".join(WAYS))
    parser.add_argument(
        "--log", type=Path, help="a JSON line for each theorem and way; what is there is not done again"
    )
    args = parser.parse_args()
    wanted = [t for t in theorems(args.theorems, args.sources) if args.half in (None, ("even", "odd")[t.line % 2])]
    wanted = wanted[: args.limit]
    trials = list(logged(args.log, args.ways, {t.number for t in wanted}))
    done = {trial.number for trial in trials}
    log = args.log.open("a", encoding="utf-8") if args.log is not None else None
    begun = time.perf_counter()
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(args.workers, mp_context=context, initializer=begin, initargs=(args.nice,)) as pool:
        jobs = [
            pool.submit(work, theorem, tuple(args.ways), args.calls, args.seconds)
            for theorem in wanted
            if theorem.number not in done
        ]
        for count, job in enumerate(as_completed(jobs), 1):
            some = job.result()
            trials += some
            for trial in some if log is not None else ():
                print(json.dumps(asdict(trial), ensure_ascii=False), file=log, flush=True)
            if count % 20 == 0:
                print(f"{count} of {len(jobs)}, {time.perf_counter() - begun:.0f} s", flush=True)
    print(f"{len(wanted)} statements, {args.calls} calls, {args.workers} workers, {time.perf_counter() - begun:.0f} s")
    return report(trials, args.ways)


def logged(log: Path | None, ways: Iterable[str], numbers: set[int]) -> Iterator[Trial]:
    """The trials of an earlier run that are asked for again."""
    if log is None or not log.exists():
        return
    for line in log.read_text(encoding="utf-8").splitlines():
        trial = Trial(**{**(row := json.loads(line)), "tactics": tuple(row["tactics"])})
        if trial.way in ways and trial.number in numbers:
            yield trial


def report(trials: list[Trial], ways: Iterable[str]) -> int:
    """Print the figures; 0 where the limits hold, or where a part was asked for that has nothing to be set beside."""
    halves = {"even": lambda t: t.line % 2 == 0, "odd": lambda t: t.line % 2 == 1}
    parts = {"all": lambda t: True, "even (tuned)": halves["even"], "odd (held out)": halves["odd"]}
    for source in sorted({trial.source for trial in trials}):
        parts[source] = lambda t, source=source: t.source == source
    figures = {}
    for part, chosen in parts.items():
        of_part = [trial for trial in trials if chosen(trial)]
        print(f"{part}: {len({trial.number for trial in of_part})} theorems")
        figures[part] = {way: figure([t for t in of_part if t.way == way]) for way in ways}
        for way, f in figures[part].items():
            print(
                f"  {way:18} proved {f['proved']:4} ({f['percent']:5.1f} %), {f['calls']} calls, {f['states']} states, "
                f"{f['calls_per_s']} calls/s, {f['states_per_s']} states/s; of {f['deep']} proofs with {LONG} tactics and "
                f"more {f['long']} need as many; with a dead end {f['long_dead']} (refuted {f['long_refuted']}, "
                f"stuck {f['long_stuck']}), abandoned branches {f['long_abandoned']}; {f['faithful']} of {f['streams']} "
                f"streams parse back; {f['refused']} refused"
            )
    trees = [trial for trial in trials if trial.long and trial.exhausted]
    print(
        f"trees with a proof of {LONG} needed tactics and more and a dead end: {len(trees)}, of "
        f"{len({trial.number for trial in trees})} theorems"
    )
    print(json.dumps(figures))
    whole = figures["all"]
    if not set(WAYS) <= set(ways):
        return 0
    searches = [whole[way] for way in ways if way not in (ONE_SHOT, SCRIPTS)]
    better = max(f["percent"] for f in searches) - whole[ONE_SHOT]["percent"] >= POINTS
    return 0 if better and len(trees) >= TREES and all(f["streams"] == f["faithful"] for f in searches) else 1


def figure(trials: list[Trial]) -> dict[str, Any]:
    seconds = sum(t.seconds for t in trials) or 1e-9
    long = [t for t in trials if t.long]
    totals = {
        name: sum(getattr(t, name) for t in trials)
        for name in ("proved", "calls", "states", "streams", "faithful", "refused", "stuck", "refuted", "exhausted")
    }
    return {
        **totals,
        "percent": round(100 * totals["proved"] / max(len(trials), 1), 1),
        "calls_per_s": round(totals["calls"] / seconds, 1),
        "states_per_s": round(totals["states"] / seconds, 1),
        "deep": sum(t.proved and t.depth >= LONG for t in trials),
        "long": len(long),
        "long_dead": sum(t.exhausted > 0 for t in long),
        "long_stuck": sum(t.stuck > 0 for t in long),
        "long_refuted": sum(t.refuted > 0 for t in long),
        "long_abandoned": sum(t.abandoned > 0 for t in long),
        "deep_dead": sum(t.proved and t.depth >= LONG and t.exhausted > 0 for t in trials),
        "shortened": sum(t.proved and t.needed < t.depth for t in trials),
    }


if __name__ == "__main__":
    sys.exit(main())
