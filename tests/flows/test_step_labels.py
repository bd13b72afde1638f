"""Step labels that are asked for by a recipe: rollouts and judges as stages of a run."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import time
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import pytest

from tracemill.flows.pipeline import import_traces, synthesize
from tracemill.schemas.errors import EngineError, UsageError
from tracemill.schemas.recipe import EngineSpec, ImportRecipe, Recipe
from tracemill.schemas.records import Problem
from tracemill.tasks.engines.simulated import SimulatedEngine
from tracemill.tasks.engines.simulated_text import steps_right
from tracemill.tasks.loading import committed_problems
from tracemill.tasks.steps.monte_carlo import ALWAYS, NEVER
from tracemill.tasks.store import RunStore, compare_runs

PROBLEMS, SAMPLES, STEPS, K = 20, 6, 8, 8
SIMULATION = {"success": 0.5, "steps": STEPS, "step_error": 0.1, "self_correction": 0.0, "text_bytes": 0}


def recipe(folder: Path, mining: dict[str, Any], **changes: Any) -> Recipe:
    source = folder / "problems.jsonl"
    rows = [{"prompt": f"What is {n} + {n}?", "gold": str(2 * n)} for n in range(PROBLEMS)]
    source.write_text("\n".join(map(json.dumps, rows)))
    document = {
        "name": "labels",
        "problems": [{"kind": "file", "path": str(source), "verifier": "answer"}],
        "engine": {"kind": "simulated", "simulation": SIMULATION},
        "strategy": {"n": SAMPLES},
        "mining": {"make": [], **mining},
        "verifier_workers": 1,
        "orchestrator": "none",
        **changes,
    }
    return Recipe.model_validate(document)


def labels(run: RunStore, source: str) -> dict[str, list[dict[str, Any]]]:
    """Trace -> its rows of one source, by step."""
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in run.read("step_labels").to_pylist():
        if row["source"] == source:
            found[row["trace_id"]].append(row)
    return {trace: sorted(rows, key=lambda row: row["step"]) for trace, rows in found.items()}


def asked(run: RunStore, stage: str) -> list[dict[str, Any]]:
    return [row for commit in run.commits(stage) for row in run.read_shard(commit, "requests").to_pylist()]


def counts(run: RunStore) -> dict[str, int]:
    return {name: run.read(name).num_rows for name in ("traces", "requests", "step_labels", "drops", "critiques")}


async def test_the_search_finds_first_errors_within_its_bound(tmp_path: Path) -> None:
    run = await synthesize(recipe(tmp_path, {"rollouts": {"k": 32, "traces": 3}}), str(tmp_path / "run"))
    found = labels(run, "mc_search")
    traces = {row["trace_id"]: row for row in run.read("traces").to_pylist()}
    assert len(found) > 40
    exact = 0
    for trace, rows in found.items():
        error = steps_right(traces[trace]["text"]).index(False)
        assert [row["step"] for row in rows] == list(range(rows[-1]["step"] + 1))
        assert [row["label"] for row in rows] == ["right"] * (len(rows) - 1) + ["wrong"]
        assert all(row["soft"] > 0 for row in rows[:-1] if row["soft"] is not None)
        assert rows[-1]["soft"] in (0, None)
        exact += rows[-1]["step"] == error
    assert exact >= 0.95 * len(found)  # p is .5 and more before the error: every prefix has a right one of 32 (§2.10)
    per_problem = Counter(traces[trace]["problem_id"] for trace in found)
    estimates = len(asked(run, "rollouts")) / 32
    bound = int(math.log2(STEPS)) + 1  # of T - 1 prefixes, and the text has T = 9 steps
    assert len(per_problem) < estimates <= len(per_problem) + bound * len(found)


async def test_the_share_found_is_that_of_the_closed_form(tmp_path: Path) -> None:
    """§2.10: found where every sound prefix that the search looks at has a right continuation among k."""
    simulation = {**SIMULATION, "success": 0.2}
    made = recipe(
        tmp_path,
        {"rollouts": {"k": 4, "traces": 12}},
        strategy={"n": 12},
        engine={"kind": "simulated", "simulation": simulation},
    )
    run = await synthesize(made, str(tmp_path / "run"))
    engine = SimulatedEngine(EngineSpec(kind="simulated", simulation=simulation))
    problems = {problem.problem_id: problem for problem in committed_problems(run)}
    traces = {row["trace_id"]: row for row in run.read("traces").to_pylist()}
    exact, expected, spread = 0, 0.0, 0.0
    for trace, rows in labels(run, "mc_search").items():
        row = traces[trace]
        error = steps_right(row["text"]).index(False)
        chance = math.prod(1 - (1 - value) ** 4 for value in _path(engine, problems[row["problem_id"]], row, error))
        exact, expected, spread = exact + (rows[-1]["step"] == error), expected + chance, spread + chance * (1 - chance)
    assert expected > 20
    assert abs(exact - expected) < 3.5 * math.sqrt(spread)


def _path(engine: SimulatedEngine, problem: Problem, row: dict[str, Any], error: int) -> list[float]:
    """The values of the prefixes that must be found alive, where only those before the error can be."""
    low, high, values = 1, STEPS, []
    while low <= high:
        middle = (low + high) // 2
        if middle <= error:
            values.append(engine.value(problem, row["text"][: row["steps"][middle]["start"]]))
            low = middle + 1
        else:
            high = middle - 1
    return values


async def test_every_step_gets_a_hard_and_a_soft_label(tmp_path: Path) -> None:
    """§2.9: soft is a share of k, hard is soft > 0, the last step has the outcome, and no label where the root says nothing."""
    made = recipe(tmp_path, {"rollouts": {"method": "shepherd", "k": K, "traces": 4}})
    changed = {**made.model_dump()["engine"], "simulation": {**SIMULATION, "success": 0.15}}
    run = await synthesize(made.model_copy(update={"engine": EngineSpec(**changed)}), str(tmp_path / "run"))
    found = labels(run, "mc")
    outcome = {row["subject_id"]: row["outcome"] for row in run.read("verdicts").to_pylist()}
    for trace, rows in found.items():
        assert [row["step"] for row in rows] == list(range(STEPS + 1))
        assert all(row["soft"] * K in range(K + 1) and row["k"] == K for row in rows)
        assert all((row["label"] == "right") == (row["soft"] > 0) for row in rows)
        assert rows[-1]["soft"] == (outcome[trace] == "correct")
    assert {outcome[trace] for trace in found} == {"correct", "incorrect"}
    silent = {row["subject_id"]: row["reason"] for row in run.read("drops").to_pylist() if row["stage"] == "rollouts"}
    assert silent
    assert set(silent.values()) <= {ALWAYS, NEVER}
    assert not silent.keys() & found.keys()
    of = {row["trace_id"]: row["problem_id"] for row in run.read("traces").to_pylist()}
    assert not {of[trace] for trace in silent} & {of[trace] for trace in found}


async def test_doing_it_again_asks_nothing(tmp_path: Path) -> None:
    made = recipe(tmp_path, {"rollouts": {"k": K}})
    run = await synthesize(made, str(tmp_path / "run"))
    before, labelled = counts(run), len(labels(run, "mc_search"))
    assert counts(await synthesize(made, str(tmp_path / "run"))) == before
    more = recipe(tmp_path, {"rollouts": {"k": K, "traces": 4}})
    again = await synthesize(more, str(tmp_path / "run"))
    rows = asked(again, "rollouts")
    keys = [row["request_key"] for row in rows]
    assert len(labels(again, "mc_search")) > labelled
    assert (
        len(keys) == len(set(keys)) > before["requests"] - PROBLEMS * SAMPLES
    )  # the problem itself is not asked again


async def test_two_sources_that_name_one_step_agree_and_are_acted_on(tmp_path: Path) -> None:
    run = await synthesize(recipe(tmp_path, {"rollouts": {"k": K}}), str(tmp_path / "run"))
    searched = {trace: rows[-1]["step"] for trace, rows in labels(run, "mc_search").items()}
    sums = {trace: rows[-1]["step"] for trace, rows in labels(run, "arithmetic").items()}
    both = {trace: rows[-1]["step"] for trace, rows in labels(run, "consensus").items()}
    agreeing = {trace for trace, step in searched.items() if sums[trace] == step}
    pairs = {row["wrong_id"]: row for row in run.read("pairs").to_pylist() if row["kind"] == "ic"}
    assert agreeing & pairs.keys()
    for trace in agreeing & pairs.keys():
        assert both[trace] == searched[trace] == pairs[trace]["first_error_step"]
        assert pairs[trace]["first_error_source"] == "consensus"


async def test_an_engine_that_fails_midway_is_asked_only_for_the_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = recipe(tmp_path, {"rollouts": {"k": K}})
    calm = await synthesize(made, str(tmp_path / "calm"))
    complete, paid = SimulatedEngine.complete, []

    async def failing(self: SimulatedEngine, request: Any) -> Any:
        if len(paid) == PROBLEMS * SAMPLES + 200:
            raise EngineError("the server is gone")
        paid.append(request.key(self.policy.policy_id))
        return await complete(self, request)

    monkeypatch.setattr(SimulatedEngine, "complete", failing)
    with pytest.raises(EngineError, match="gone"):
        await synthesize(made, str(tmp_path / "run"))
    first = len(paid)

    async def counting(self: SimulatedEngine, request: Any) -> Any:
        paid.append(request.key(self.policy.policy_id))
        return await complete(self, request)

    monkeypatch.setattr(SimulatedEngine, "complete", counting)
    run = await synthesize(made, str(tmp_path / "run"))
    assert first < len(paid) == len(set(paid)) == calm.read("requests").num_rows
    assert compare_runs(calm, run) == []
    assert not RunStore.open(run.path).ledgers()


async def test_where_the_budget_is_spent_the_rest_stays_owed(tmp_path: Path) -> None:
    calm = await synthesize(recipe(tmp_path, {"rollouts": {"k": K}}), str(tmp_path / "calm"))
    needed = _tokens(calm)
    some = recipe(tmp_path, {"rollouts": {"k": K, "budget": {"tokens": needed * 9 // 10}}})
    run = await synthesize(some, str(tmp_path / "run"))
    wanted, found = labels(calm, "mc_search"), labels(run, "mc_search")
    assert found
    assert len(found) < len(wanted)
    assert _tokens(run) < needed
    whole = await synthesize(recipe(tmp_path, {"rollouts": {"k": K}}), str(tmp_path / "run"))
    assert labels(whole, "mc_search") == wanted
    keys = Counter(row["request_key"] for row in asked(whole, "rollouts"))
    assert max(keys.values()) == 1


def _tokens(run: RunStore) -> int:
    return sum(row["prompt_tokens"] + row["completion_tokens"] for row in asked(run, "rollouts"))


async def test_a_judge_names_steps_and_its_words_are_kept(tmp_path: Path, standin: Any) -> None:
    engine = {"kind": "openai", "model": "standin", "base_url": standin("--judge-steps"), "retries": 1}
    made = recipe(tmp_path, {"judge": {"engine": engine, "votes": 3, "agreeing": 2}})
    run = await synthesize(made, str(tmp_path / "run"))
    found, sums = labels(run, "judge"), labels(run, "arithmetic")
    assert len(found) > PROBLEMS
    assert all(rows[-1]["step"] == sums[trace][-1]["step"] for trace, rows in found.items())
    critiques = run.read("critiques").to_pylist()
    assert len(critiques) == 3 * len(found)
    assert {(row["verdict"], row["label"], row["agrees"]) for row in critiques} == {("incorrect", "incorrect", True)}
    assert len(asked(run, "step_judge")) == 3 * len(found)
    before = counts(run)
    assert counts(await synthesize(made, str(tmp_path / "run"))) == before


async def test_a_judge_that_does_not_say_leaves_no_label(tmp_path: Path, standin: Any) -> None:
    engine = {"kind": "openai", "model": "standin", "base_url": standin(), "retries": 1}
    run = await synthesize(recipe(tmp_path, {"judge": {"engine": engine}}), str(tmp_path / "run"))
    assert not labels(run, "judge")
    reasons = Counter(row["reason"] for row in run.read("drops").to_pylist() if row["stage"] == "step_judge")
    assert set(reasons) == {"undecided"}
    assert {row["verdict"] for row in run.read("critiques").to_pylist()} == {None}


async def test_an_import_must_name_whom_to_ask(solutions: Path, tmp_path: Path) -> None:
    document = {"name": "sums", "files": [str(solutions)], "format": "columns", "mining": {"rollouts": {}}}
    with pytest.raises(UsageError, match="whom to ask") as caught:
        await import_traces(ImportRecipe.model_validate(document), str(tmp_path / "run"))
    assert caught.value.where == "mining.rollouts.engine"
    assert not (tmp_path / "run").exists()


def test_a_killed_stage_pays_twice_only_for_what_was_in_flight(tmp_path: Path, standin: Any) -> None:
    log = tmp_path / "requests.log"
    url = standin("--answers", "0.5", "--latency-ms", "20", "--log", str(log))
    in_flight = 16
    engine = {"kind": "openai", "model": "standin", "base_url": url, "concurrency": in_flight}
    made = recipe(tmp_path, {"rollouts": {"k": 16}}, engine=engine)
    document, out = tmp_path / "recipe.json", tmp_path / "run"
    document.write_text(made.model_dump_json())
    command = [str(Path(sys.executable).with_name("tracemill")), "run", str(document), "--out", str(out)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    until = time.monotonic() + 120
    while not log.exists() or len(log.read_text().splitlines()) < PROBLEMS * SAMPLES + 150:
        assert process.poll() is None
        assert time.monotonic() < until
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    before = len(log.read_text().splitlines())
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    received = [json.loads(line) for line in log.read_text().splitlines()]
    run = RunStore.open(str(out))
    once = Counter((row["prompt"], str(row["seed"])) for row in received)
    assert before < len(received)
    assert len(once) == run.read("requests").num_rows
    assert sum(once.values()) - len(once) <= in_flight * 100 // 20 + in_flight
    assert labels(run, "mc_search")


async def test_programs_in_wrong_traces_are_executed_once(tmp_path: Path) -> None:
    texts = [
        "First.\n\n```python\nprint(3 + 4)\n```\n\nSo \\boxed{7}.",
        "First.\n\n```python\nprint(3 + four)\n```\n\nSo \\boxed{8}.",
        "First.\n\n```python\nprint(3 + 5)\n```\n\nSo \\boxed{8}.",
        "First.\n\nI say 9.\n\nSo \\boxed{9}.",
    ]
    texts += [
        f"First.\n\n```python\nprint(3 + 4)\n```\n\n{so} \\boxed{{7}}." for so in ("Hence", "Then", "Thus", "This is")
    ]
    rows = [{"prompt": "What is 3 + 4?", "gold": "7", "model": "m", "output": text} for text in texts]
    source = tmp_path / "solutions.jsonl"
    source.write_text("\n".join(map(json.dumps, rows)))
    made = ImportRecipe.model_validate(
        {
            "name": "programs",
            "files": [str(source)],
            "format": "columns",
            "mining": {"execute": True, "make": []},
            "verifier_workers": 1,
        }
    )
    run = await import_traces(made, str(tmp_path / "run"))
    traces = {row["trace_id"]: row["text"] for row in run.read("traces").to_pylist()}
    found = {traces[trace]: rows for trace, rows in labels(run, "execution").items()}
    assert {text: [(row["step"], row["label"]) for row in rows] for text, rows in found.items()} == {
        texts[1]: [(1, "wrong")]
    }
    silent = {
        traces[row["subject_id"]]: row["reason"] for row in run.read("drops").to_pylist() if row["stage"] == "execute"
    }
    assert silent == {texts[2]: "runs", texts[3]: "no_program"}
    errors = {traces[row["wrong_id"]]: row["first_error_source"] for row in run.read("pairs").to_pylist()}
    assert errors[texts[1]] == "execution"
    before = counts(run)
    assert counts(await import_traces(made, str(tmp_path / "run"))) == before
