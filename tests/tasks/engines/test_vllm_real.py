"""Real vLLM on a CPU, from cold to teardown. ``make test-vllm`` sets it up (tests/vllm/setup.sh) and runs this.

TRACEMILL_TEST_VLLM names vLLM's python and TRACEMILL_TEST_MODEL the model's folder, where they are not at the usual place.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest
import pytest_asyncio

from tracemill.schemas.errors import EngineError
from tracemill.schemas.recipe import EngineSpec
from tracemill.tasks.engines import reaper
from tracemill.tasks.engines.base import Request, Sampling
from tracemill.tasks.engines.vllm import VllmEngine
from tracemill.tasks.tokenizer import load_tokenizer

ROOT = Path(__file__).parents[3]
PYTHON = Path(os.environ.get("TRACEMILL_TEST_VLLM", ROOT / ".venv-vllm" / "bin" / "python"))
MODEL = Path(os.environ.get("TRACEMILL_TEST_MODEL", ROOT / "data" / "models" / "SmolLM2-135M-Instruct"))
GREEDY = Sampling(temperature=0.0, max_tokens=16)

pytestmark = [
    pytest.mark.vllm,
    pytest.mark.skipif(
        not (PYTHON.exists() and (MODEL / "config.json").exists()), reason="make test-vllm installs vLLM"
    ),
    pytest.mark.asyncio(loop_scope="module"),
]


def spec(*arguments: str) -> EngineSpec:
    # Without instructions for bfloat16 a CPU is six times faster in float32.
    has_bf16 = "avx512_bf16" in Path("/proc/cpuinfo").read_text()
    fixed = "--enforce-eager --no-enable-chunked-prefill --max-model-len 2048 --max-num-batched-tokens 2048"
    return EngineSpec(
        kind="vllm",
        model=str(MODEL),
        executable=str(PYTHON),
        dtype="bfloat16" if has_bf16 else "float32",
        environment={"OMP_NUM_THREADS": "1", "VLLM_CPU_KVCACHE_SPACE": "1", "HF_HUB_OFFLINE": "1"},
        arguments=[*fixed.split(), "--max-num-seqs", "64", *arguments],
    )


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tmp_path_factory.mktemp("home"))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def engine(home: str) -> AsyncIterator[VllmEngine]:
    """One vLLM for all: it takes about a minute to start. That none of it is left is checked where it ends."""
    begun = time.monotonic()
    async with VllmEngine(spec(), home) as started:
        print(f"\ncold start: {time.monotonic() - begun:.0f} s")
        token = started.server._token
        assert len(reaper.carriers(token)) >= 3  # guard, API server, EngineCore
        yield started
        begun = time.monotonic()
    print(f"\nteardown: {time.monotonic() - begun:.1f} s")
    assert reaper.carriers(token) == []


def ask(text: str, sampling: Sampling = GREEDY, seed: int = 1) -> Request:
    return Request("a", "chat", sampling, seed=seed, messages=({"role": "user", "content": text},))


async def test_the_policy_is_known_without_importing_vllm(engine: VllmEngine) -> None:
    policy = engine.policy
    assert policy.engine_version is not None
    assert policy.engine_version[0].isdigit()
    assert policy.chat_template_hash == load_tokenizer("local").template_hash
    assert policy.revision is not None


async def test_keeps_the_contract(contract: ModuleType, engine: VllmEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    # A bare question is a whole document to this model, and it says nothing after it.
    monkeypatch.setattr(contract, "PLAIN", replace(contract.PLAIN, prompt="One, two, three, four, five,"))
    subject = contract.Subject(engine, bad=replace(contract.PLAIN, prompt="word " * 5000))
    for clause in contract.CLAUSES:
        if clause is not contract.repeats_a_seed_alone_or_among_others:  # vLLM does not promise it
            await clause(subject)


async def test_samples_many_at_once(engine: VllmEngine) -> None:
    begun = time.monotonic()
    sampling = Sampling(temperature=0.8, max_tokens=64)
    asked = [ask(f"What is {n % 8} + {n}?", sampling, seed=n) for n in range(64)]
    completions = await asyncio.gather(*map(engine.complete, asked))
    assert [c.error for c in completions] == [None] * 64
    assert len({c.text for c in completions}) > 56
    tokens = sum(c.completion_tokens or 0 for c in completions)
    print(f"\n{tokens / (time.monotonic() - begun):.0f} tokens/s in a batch of 64")


async def test_a_prefix_is_continued_as_if_it_had_said_it_itself(engine: VllmEngine) -> None:
    asked = ask("Count from one to ten in words.")
    whole = await engine.complete(asked)
    begun = whole.text[: whole.text.index(" ", 10)]
    rest = await engine.complete(replace(asked, prefix=begun))
    assert (begun + rest.text).startswith(whole.text[: len(begun) + 10])
    prompt = load_tokenizer("local").render(asked.messages, add_generation_prompt=True)
    plain = Request("b", "completion", GREEDY, seed=1, prompt=prompt)
    assert (await engine.complete(plain)).text == whole.text
    assert (await engine.complete(replace(plain, prefix=begun))).text == rest.text


async def test_greedy_tokens_are_the_likely_ones(engine: VllmEngine) -> None:
    greedy = await engine.complete(ask("What is 2 + 2?", replace(GREEDY, logprobs=True)))
    hot = Sampling(temperature=1.5, max_tokens=16, logprobs=True)
    wild = [await engine.complete(ask("What is 2 + 2?", hot, seed=n)) for n in range(4)]
    assert greedy.logprob_sum is not None
    assert greedy.completion_tokens is not None
    for other in wild:
        assert other.logprob_sum is not None
        assert other.completion_tokens is not None
        assert greedy.logprob_sum / greedy.completion_tokens > other.logprob_sum / other.completion_tokens


async def test_what_it_generates_is_as_likely_when_it_is_given(engine: VllmEngine) -> None:
    """The log-probabilities of a text that is given behind its prompt are those with which it was generated."""
    tokenizer = load_tokenizer(str(MODEL))
    messages = ({"role": "user", "content": "Name three colours."},)
    generated = await engine.complete(Request("a", "chat", replace(GREEDY, logprobs=True), seed=1, messages=messages))
    tokens, spans = tokenizer.continued(tokenizer.render(messages, add_generation_prompt=True), generated.text)
    assert generated.completion_tokens is not None
    assert abs(len(spans) - generated.completion_tokens) <= 1  # the token that ends the turn is counted, not said
    given = await engine.complete(Request("b", "scoring", GREEDY, seed=0, tokens=tuple(tokens)))
    values = json.loads(given.text)[-len(spans) :]
    print(f"\ngenerated {generated.logprob_sum:.3f} nats, given {sum(values):.3f}")
    assert generated.logprob_sum is not None
    assert sum(values) == pytest.approx(generated.logprob_sum, abs=0.3)
    other = tokenizer.continued(tokenizer.render(messages, add_generation_prompt=True), "Bolt gravel ninety; sky of.")
    unlikely = await engine.complete(Request("c", "scoring", GREEDY, seed=0, tokens=tuple(other[0])))
    assert sum(json.loads(unlikely.text)[-len(other[1]) :]) / len(other[1]) < sum(values) / len(values) - 2


async def test_a_wrong_argument_is_told_with_its_mend(home: str) -> None:
    with pytest.raises(EngineError, match="ended while starting") as caught:
        async with VllmEngine(spec("--no-such-flag"), home):
            pytest.fail("it is not up")
    assert "engine.arguments" in str(caught.value.mend)


async def test_an_engine_core_that_dies_is_replaced(engine: VllmEngine) -> None:
    """Last: it costs a second start."""
    core = [
        p for p in reaper.carriers(engine.server._token) if b"EngineCore" in Path(f"/proc/{p}/cmdline").read_bytes()
    ]
    assert len(core) == 1
    os.kill(core[0], 9)
    begun = time.monotonic()
    while engine.server.generation == 1 or not engine.server.is_up:
        assert time.monotonic() - begun < 300
        await asyncio.sleep(0.2)
    completion = await engine.complete(ask("What is 2 + 2?"))
    assert completion.error is None
    print(f"\nrestart: {time.monotonic() - begun:.0f} s")
