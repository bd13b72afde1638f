"""Where a wrong trace first goes wrong: each locator against known first errors, beside two baselines.

Four measures, over the sets beside the repository (``--datasets``):

* planted: right recorded solutions, corrupted at a known step (a result or an input changed, and carried on), with the other
  right solutions of the same problem as siblings; and as many untouched right ones.
* programs: right recorded solutions that compute, with a name misspelt or a printed number changed.
* real labels: BIG-Bench-Mistake (first mistakes by hand) and PRMBench (edited PRM800K solutions; the sibling is the original).
* rollouts: the binary search of OmegaPRM over the simulated policy, beside its closed form (algorithms §2.10), and the cost.

``exact`` is the share of wrong traces whose first wrong step was named, ``precision`` that among those where a step was
named, ``at/after`` the share of the named steps that lie at or after it, ``alarms`` the share of right traces where one was. F1 is ProcessBench's: the harmonic mean of ``exact`` and 1 - ``alarms``.

    python benchmarks/first_error.py [--planted 2000] [--programs 300] [--rollouts 2000] [--datasets FOLDER]
"""

from __future__ import annotations

import argparse
import asyncio
import gzip
import json
import math
import random
import re
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tracemill.schemas.recipe import EngineSpec
from tracemill.schemas.records import Problem
from tracemill.tasks.engines.base import Request, Sampling
from tracemill.tasks.engines.simulated import SimulatedEngine
from tracemill.tasks.engines.simulated_text import steps_right
from tracemill.tasks.segment import segment
from tracemill.tasks.steps.arithmetic import first_false_equation
from tracemill.tasks.steps.base import FirstError, Steps, consensus
from tracemill.tasks.steps.divergence import divergence
from tracemill.tasks.steps.execution import first_failing_step
from tracemill.tasks.steps.monte_carlo import Count, first_wrong_step
from tracemill.tasks.steps.rollouts import Rollouts
from tracemill.verifiers.base import Candidate
from tracemill.verifiers.code.steps import blocks, check, execution

DATASETS = Path(__file__).resolve().parents[2] / "shared" / "datasets"
RESULT = re.compile(r"=[ \t$]*(\d+)(?![\d.,/])")
KINDS = ("cot", "code-interleaved", "tool-integrated")


@dataclass(frozen=True)
class Case:
    """A trace, its first wrong step (None: right), and the right siblings of its problem."""

    steps: Steps
    error: int | None
    siblings: Sequence[str] = ()
    prompt: str = ""


Locate = Callable[[Case], int | None]


def step_of(error: FirstError | None) -> int | None:
    return None if error is None else error.step


def found(case: Case, least: int) -> list[FirstError]:
    both = [first_false_equation(case.steps), divergence(case.steps, case.siblings, case.prompt, least)]
    return [error for error in both if error is not None]


def locators(least: int) -> dict[str, Locate]:
    return {
        "arithmetic": lambda case: step_of(first_false_equation(case.steps)),
        "divergence": lambda case: step_of(divergence(case.steps, case.siblings, case.prompt, least)),
        "consensus": lambda case: step_of(consensus(found(case, least))),
        "earliest of both": lambda case: min((error.step for error in found(case, least)), default=None),
        "always the first step": lambda case: 0,
        "always the last step": lambda case: len(case.steps.spans) - 1,
    }


def rows(path: Path) -> Iterator[dict[str, Any]]:
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        yield from map(json.loads, lines)


def planted(folder: Path, count: int) -> tuple[list[Case], list[Case]]:
    """(corrupted, untouched) cases of recorded GSM8K solutions."""
    prompts = {row["id"]: row["question"] for row in rows(folder / "gsm8k" / "test.jsonl.gz")}
    right: dict[str, list[str]] = defaultdict(list)
    for row in rows(folder / "gsm8k_model_outputs" / "outputs.jsonl.gz"):
        if row["correct"] and row["kind"] in KINDS:
            right[row["problem_id"]].append(row["output"])
    rng = random.Random(0)
    listed = [(problem, place) for problem, texts in right.items() for place in range(len(texts))]
    rng.shuffle(listed)
    wrong: list[Case] = []
    clean: list[Case] = []
    for problem, place in listed:
        text, siblings = right[problem][place], [t for i, t in enumerate(right[problem]) if i != place]
        spans, segmenter = segment(text)
        changed = corrupted(text, spans, rng)
        if changed is None or len(spans) < 3:
            continue
        wrong.append(
            Case(
                Steps("", changed[0], tuple(segment(changed[0])[0]), segmenter), changed[1], siblings, prompts[problem]
            )
        )
        clean.append(Case(Steps("", text, tuple(spans), segmenter), None, siblings, prompts[problem]))
        if len(wrong) == count:
            break
    return wrong, clean


def corrupted(text: str, spans: Sequence[tuple[int, int]], rng: random.Random) -> tuple[str, int] | None:
    """``text`` with one number that a step comes to changed there and wherever it is used later; and the step."""
    places = [(index, match) for index, (start, end) in enumerate(spans) for match in RESULT.finditer(text, start, end)]
    if not places:
        return None
    index, match = rng.choice(places)
    old = match[1]
    new = str(abs(int(old) + rng.choice([-3, -2, -1, 1, 2, 3, 10])))
    if new == old:
        return None
    later = re.sub(rf"(?<![\d.]){old}(?![\d.])", new, text[match.start(1) :])
    changed = text[: match.start(1)] + later
    return (changed, index) if len(segment(changed)[0]) == len(spans) else None


def programs(folder: Path, count: int) -> tuple[list[Case], list[Case], list[Case]]:
    """(planted, untouched, recorded wrong) solutions with programs. A name is misspelt, or what is printed is changed."""
    wrong: list[Case] = []
    clean: list[Case] = []
    real: list[Case] = []
    for row in rows(folder / "gsm8k_model_outputs" / "outputs.jsonl.gz"):
        text = row["output"]
        found = blocks(text)
        if not found:
            continue
        if not row["correct"]:
            real.append(Case(steps_of(text), None))
            continue
        block = found[0]
        place = text.rfind("print(", block.place, text.find("\n```", block.place))
        if len(wrong) == count or block.said is None or place < 0 or not re.search(r"\d", block.said):
            continue
        if len(wrong) % 2:
            place = block.said_place
            changed = text[:place] + re.sub(r"\d", lambda m: str((int(m[0]) + 1) % 10), text[place:], count=1)
        else:
            changed = text[:place] + "print(no_" + text[place + len("print(") :]
        wrong.append(Case(steps_of(changed), steps_of(changed).at(place)))
        clean.append(Case(steps_of(text), None))
    return wrong, clean, real


def steps_of(text: str) -> Steps:
    spans, segmenter = segment(text)
    return Steps("", text, tuple(spans), segmenter)


def by_execution(case: Case) -> int | None:
    verifier = execution()
    return step_of(first_failing_step(case.steps, check(Candidate("", case.steps.text, None), verifier.config)))


def joined(parts: Sequence[str]) -> Steps:
    """Given steps as one text."""
    spans, position, text = [], 0, ""
    for part in parts:
        text += part + "\n\n"
        spans.append((position, len(text)))
        position = len(text)
    return Steps("", text, tuple(spans), "given")


def big_bench(folder: Path) -> tuple[list[Case], list[Case]]:
    cases = [
        Case(joined(row["steps"]), row["mistake_index"], (), row["input"])
        for row in rows(folder / "bigbench_mistake" / "traces.jsonl.gz")
        if row["steps"]
    ]
    return [c for c in cases if c.error is not None], [c for c in cases if c.error is None]


def prm_bench(folder: Path) -> tuple[list[Case], list[Case]]:
    wrong, clean, seen = [], [], set()
    for row in rows(folder / "prmbench" / "steps.jsonl.gz"):
        original = "\n\n".join(row["original_process"])
        steps = sorted(row["error_steps"])
        if steps and 1 <= steps[0] <= len(row["modified_process"]):
            wrong.append(Case(joined(row["modified_process"]), steps[0] - 1, [original], row["question"]))
        if original not in seen:
            seen.add(original)
            clean.append(Case(joined(row["original_process"]), None, (), row["question"]))
    return wrong, clean


def measure(
    name: str, wrong: Sequence[Case], clean: Sequence[Case], least: int, more: Mapping[str, Locate] | None = None
) -> None:
    print(f"\n{name}: {len(wrong):,} wrong and {len(clean):,} right traces")
    print(
        f"{'locator':<24}{'exact':>8}{'named':>8}{'precision':>11}{'at/after':>10}{'early':>8}{'late':>8}{'alarms':>8}{'F1':>8}"
    )
    for locator, locate in {**(more or {}), **locators(least)}.items():
        said = [(locate(case), case.error or 0) for case in wrong]
        named = [(step, error) for step, error in said if step is not None]
        exact = sum(step == error for step, error in named)
        alarms = sum(locate(case) is not None for case in clean)
        quiet = 1 - alarms / len(clean) if clean else 0.0
        accuracy = exact / len(wrong)
        f1 = 2 * accuracy * quiet / (accuracy + quiet) if accuracy + quiet else 0.0
        early = sum(step < error for step, error in named) / len(wrong)
        late = sum(step > error for step, error in named) / len(wrong)
        print(
            f"{locator:<24}{accuracy:>8.3f}{len(named) / len(wrong):>8.3f}{exact / max(len(named), 1):>11.3f}"
            f"{sum(step >= error for step, error in named) / max(len(named), 1):>10.3f}{early:>8.3f}{late:>8.3f}{1 - quiet:>8.3f}{f1:>8.3f}"
        )


def path_of(error: int, steps: int) -> list[int]:
    """The prefixes without an error that the search must find a right continuation of, to end at ``error``."""
    low, high, sound = 1, steps, []
    while low <= high:
        middle = (low + high) // 2
        if middle <= error:
            sound.append(middle)
            low = middle + 1
        else:
            high = middle - 1
    return sound


def closed_form(p: float, k: int, steps: int) -> float:
    """The chance to find an error at a uniform step, where every prefix before it ends right with ``p`` (§2.10)."""
    return sum((1 - (1 - p) ** k) ** len(path_of(error, steps)) for error in range(steps)) / steps


async def bernoulli(p: float, k: int, steps: int, count: int) -> float:
    """The same, measured with the search itself over coins."""
    rng, exact = random.Random(0), 0
    for n in range(count):
        error = n % steps

        async def estimate(done: int, error: int = error) -> Count:
            return Count(sum(rng.random() < p for _ in range(k)) if done <= error else 0, k)

        said = await first_wrong_step(estimate, steps)
        exact += step_of(said.error) == error
    return exact / count


async def simulated(success: float, k: int, count: int) -> tuple[float, float, float, float]:
    """(exact share, its expectation from the engine's own values, mean and largest number of estimates) over wrong texts."""
    settings = {"success": success, "steps": 16, "step_error": 0.08, "self_correction": 0.0, "text_bytes": 0}
    engine = SimulatedEngine(EngineSpec(kind="simulated", simulation=settings))
    sampling = Sampling(max_tokens=4096)
    exact, expected, estimates, most, number, done = 0, 0.0, 0, 0, 0, 0
    async with engine:
        while done < count:
            number += 1
            problem = Problem(f"problem {number}", "answer", "simulated", gold="7")
            request = Request("a", "completion", sampling, seed=number, prompt=problem.prompt, problem=problem)
            text = (await engine.complete(request)).text
            marks = steps_right(text)
            if all(marks):
                continue
            done += 1
            parts = text.split("\n\n")[:16]
            prefixes = ["\n\n".join(parts[:m]) + "\n\n" for m in range(17)]

            async def verify(response: str) -> bool:
                return response.rstrip().endswith("\\boxed{7}.")

            rollouts = Rollouts(engine, problem, request, verify, k, seed=number)
            said = await first_wrong_step(lambda m, r=rollouts, p=prefixes: r.estimate(p[m]), 16)
            error = marks.index(False)
            exact += step_of(said.error) == error
            chances = [1 - (1 - engine.value(problem, prefixes[m])) ** k for m in path_of(error, 16)]
            expected += math.prod(chances)
            estimates, most = estimates + len(said.counts), max(most, len(said.counts))
    return exact / count, expected / count, estimates / count, most


async def rollouts(count: int) -> None:
    print("\nbinary search over coins, 16 steps (algorithms §2.10): measured, closed form")
    print(f"{'p':>6}" + "".join(f"{f'k={k}':>16}" for k in (4, 8, 16, 32)))
    for p in (0.1, 0.3, 0.6):
        cells = [(await bernoulli(p, k, 16, 16 * count), closed_form(p, k, 16)) for k in (4, 8, 16, 32)]
        print(f"{p:>6}" + "".join(f"{a:>9.3f}{b:>7.3f}" for a, b in cells))
    print("\nthe same over the simulated policy, whose prefixes have values of their own: measured, expected from them")
    print(
        f"{'success':>8}{'k':>4}{'exact':>8}{'expected':>10}{'estimates':>11}{'most':>6}   bound {int(math.log2(16)) + 1}"
    )
    off = 0.0
    for success in (0.1, 0.3, 0.6):
        for k in (4, 8, 16):
            exact, expected, mean, most = await simulated(success, k, count)
            off = max(off, abs(exact - expected))
            print(f"{success:>8}{k:>4}{exact:>8.3f}{expected:>10.3f}{mean:>11.2f}{most:>6.0f}")
    print(f"largest difference {100 * off:.1f} points, limit 2: ratio {50 * off:.2f}")
    print("\nestimates of a search over T steps: mean over where the error is, most, floor(log2 T) + 1, and one by one")
    for steps in (8, 16, 32, 64):
        costs = []
        for error in range(steps):

            async def estimate(done: int, error: int = error) -> Count:
                return Count(int(done <= error), 1)

            costs.append(len((await first_wrong_step(estimate, steps)).counts))
        print(
            f"T={steps:<4}{sum(costs) / steps:>6.2f}{max(costs):>4}{int(math.log2(steps)) + 1:>4}{(steps + 1) / 2:>7.1f}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--planted", type=int, default=2000)
    parser.add_argument("--programs", type=int, default=300, help="recorded programs that get a planted error")
    parser.add_argument(
        "--rollouts", type=int, default=6000, help="simulated texts a cell: 6,000 keep it within 2 points"
    )
    parser.add_argument("--datasets", type=Path, default=DATASETS)
    options = parser.parse_args()
    if not (options.datasets / "gsm8k_model_outputs").exists():
        sys.exit(f"no recorded solutions below {options.datasets}: name the folder with --datasets")
    measure("planted in recorded GSM8K solutions", *planted(options.datasets, options.planted), least=3)
    planted_programs, clean, real = programs(options.datasets, options.programs)
    measure("planted in recorded programs", planted_programs, clean, 3, {"execution": by_execution})
    named = sum(by_execution(case) is not None for case in real)
    print(f"(of {len(real)} recorded wrong solutions with programs, execution names a step in {named})")
    big = big_bench(options.datasets)
    measure("BIG-Bench-Mistake", *big, least=1)
    tasks = Counter(case.error is None for cases in big for case in cases)
    print(f"(one trace a problem, so no siblings; {tasks[True]} right)")
    measure("PRMBench", *prm_bench(options.datasets), least=1)
    asyncio.run(rollouts(options.rollouts))


if __name__ == "__main__":
    main()
