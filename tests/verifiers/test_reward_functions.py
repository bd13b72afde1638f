import asyncio
import inspect
import json
import math
import multiprocessing
import os
import pickle
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tracemill.schemas.errors import UsageError
from tracemill.verifiers.base import Candidate
from tracemill.verifiers.canaries.base import CanaryError
from tracemill.verifiers.reward_functions import Scorer, VerifierFailed, prime, trl, verl, verl_batch

SAID = [r"So \boxed{4}", r"So \boxed{5}", "I do not know.\nReally not."]


@pytest.fixture
def closing():
    made = []
    yield lambda function: made.append(function) or function
    for function in made:
        getattr(function, "scorer", function).close()


def test_trl_gets_a_reward_for_every_completion_from_its_columns(closing):
    reward = closing(trl("answer", workers=1))
    conversational = [[{"role": "assistant", "content": said}] for said in SAID]
    prompts = [[{"role": "user", "content": "2 + 2?"}]] * 3
    more = {"completion_ids": [[1], [2], [3]], "trainer_state": object(), "log_extra": print, "log_metric": print}
    assert reward(prompts=prompts, completions=conversational, gold=["4"] * 3, **more) == [1.0, 0.0, 0.0]
    assert reward(completions=SAID, prompts=["2 + 2?"] * 3, solution=["4"] * 3) == [1.0, 0.0, 0.0]
    assert reward.__name__ == "tracemill_answer"
    assert not inspect.iscoroutinefunction(reward)


def test_trl_takes_the_view_rl_as_it_is(closing):
    reward = closing(trl(None, workers=1))
    rows = {"gold": ["4", "x"], "verifier": ["answer", "answer"], "spec": ["{}", json.dumps({"options": {}})]}
    assert reward(completions=[r"\boxed{4}", r"\boxed{y}"], **rows) == [1.0, 0.0]
    with pytest.raises(UsageError, match="names no verifier"):
        reward(completions=["4"], gold=["4"])


def test_an_error_is_none_and_never_a_reward(closing, hostile):
    reward = closing(trl("hostile_checks:check", workers=1))
    found = reward(completions=["raise", "good", "exit", "bad", "none"], gold=["good"] * 5)
    assert found == [None, 1.0, None, 0.0, None]
    missing = closing(trl("answer", workers=1))
    assert missing(completions=[r"\boxed{4}"]) == [None]  # no gold: our failure, not the response's


def test_what_an_error_gives_can_be_chosen(closing, hostile):
    assert math.isnan(closing(verl("hostile_checks:check", workers=1, on_error=math.nan))("", "raise", "good"))
    with pytest.raises(VerifierFailed, match="ValueError"):
        closing(verl("hostile_checks:check", workers=1, on_error="raise"))("", "raise", "good")


def test_a_failure_of_ours_is_tried_once_more(closing, outside, tmp_path):
    scorer = closing(Scorer("changing:verifier", {"state": str(tmp_path / "state")}, workers=1))
    assert scorer.rewards([Candidate("a", "mends")]) == [1.0]


def test_verl_single_and_batched(closing):
    one = closing(verl("answer", workers=1))
    assert one(data_source="gsm8k", solution_str=SAID[0], ground_truth="4", extra_info={"index": 3}) == 1.0
    assert one("gsm8k", SAID[1], 4, None) == 0.0
    many = closing(verl_batch("answer", workers=1))
    found = many(data_sources=["x"] * 3, solution_strs=SAID, ground_truths=["4"] * 3, extra_infos=[{}, {}, {}], more=1)
    assert found == [1.0, 0.0, 0.0]


def test_verl_hands_over_specs_and_choices(closing):
    one = closing(verl("answer", workers=1))
    extra = {"choices": ["three", "four"], "question": "2 + 2?"}
    assert one("aqua", r"\boxed{B}", "four", extra) == 1.0
    assert one("x", r"\boxed{4.1}", "4", {"spec": {"options": {"tolerance": 0.1}}}) == 1.0


async def test_prime_rl_awaits_and_a_missing_reward_is_not_a_number(closing, hostile):
    reward = closing(prime("answer", workers=1))
    assert inspect.iscoroutinefunction(reward)
    said = [
        {"role": "assistant", "content": "hm"},
        {"role": "tool", "content": "4"},
        {"role": "assistant", "content": SAID[0]},
    ]
    assert await reward(completion=said, answer="4", prompt="2 + 2?", state={}, info={}, task="t", parser=None) == 1.0
    failing = closing(prime("hostile_checks:check", workers=1))
    assert math.isnan(await failing(completion="raise", answer="good"))


def test_many_threads_share_one_pool_and_each_gets_its_own_rewards(closing):
    one = closing(verl("answer", workers=2))

    def ask(n):
        return [one("x", rf"\boxed{{{n}}}", str(n)), one("x", rf"\boxed{{{n + 1}}}", str(n))]

    with ThreadPoolExecutor(32) as threads:
        assert list(threads.map(ask, range(64))) == [[1.0, 0.0]] * 64
    assert sum(thread.name == "tracemill-rewards" and thread.is_alive() for thread in threading.enumerate()) >= 1


def test_a_hanging_response_in_a_thread_costs_its_own_reward_alone(closing, hostile):
    one = closing(verl("hostile_checks:check", workers=2, time_limit=0.3))
    with ThreadPoolExecutor(4) as threads:
        begun = time.monotonic()
        assert list(threads.map(lambda said: one("x", said, "good"), ["loop", "good", "sleep", "good"])) == [0, 1, 0, 1]
    assert time.monotonic() - begun < 30


def in_child(function, queue):
    queue.put((function.rewards([Candidate("a", r"\boxed{4}", "4")]), os.getpid()))


def test_after_a_fork_it_starts_anew(closing):
    scorer = closing(Scorer("answer", workers=1))
    assert scorer.rewards([Candidate("a", r"\boxed{4}", "4")]) == [1.0]
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    child = context.Process(target=in_child, args=(scorer, queue))
    child.start()
    rewards, pid = queue.get(timeout=60)
    child.join(30)
    assert rewards == [1.0]
    assert pid != os.getpid()


def test_it_can_be_sent_to_another_process(closing):
    copy = closing(pickle.loads(pickle.dumps(closing(Scorer("answer", workers=1, on_error=-1.0)))))
    assert copy.rewards([Candidate("a", r"\boxed{4}", "4")]) == [1.0]


def test_a_verifier_that_fails_its_canaries_rewards_nothing(closing, outside):
    scorer = closing(Scorer("gullible:verifier", {"accepts": True}, workers=1))
    with pytest.raises(CanaryError):
        scorer.rewards([Candidate("a", "good")])


@pytest.mark.parametrize("name", ["judge", "reward", "consensus"])
def test_only_rule_verifiers_reward(name):
    with pytest.raises(UsageError, match="only those reward"):
        verl(name)


def test_a_mistake_is_told_when_the_function_is_made():
    with pytest.raises(UsageError):
        trl("answr")
    with pytest.raises(UsageError):
        trl("answer", options={"tolerence": 1})


async def test_it_works_beside_a_loop_of_the_caller_s(closing):
    scorer = closing(Scorer("answer", workers=1))
    found = await asyncio.gather(*(scorer.arewards([Candidate("a", rf"\boxed{{{n}}}", "4")]) for n in range(8)))
    assert [rewards[0] for rewards in found] == [1.0 if n == 4 else 0.0 for n in range(8)]


def test_the_documented_examples_run(closing, monkeypatch):
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: {0})  # a worker each is enough here
    text = (Path(__file__).parents[2] / "docs" / "verifiers.md").read_text()
    section = text.split("## Reward functions")[1].split("\n## ")[0]
    blocks = [block.split("```")[0] for block in section.split("```python\n")[1:]]
    assert len(blocks) >= 3
    for block in blocks:
        namespace = {}
        exec(compile(block, "docs/verifiers.md", "exec"), namespace)  # noqa: S102
        for value in list(namespace.values()):
            if hasattr(value, "scorer"):
                closing(value)
