"""The client against a stand-in that fails on demand: what is retried, what fails alone, what ends the run, what leaks."""

from __future__ import annotations

import asyncio
import json
import socket
import time
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from aiohttp import web

from tracemill.schemas.errors import EngineError, UsageError
from tracemill.schemas.recipe import EngineSpec
from tracemill.schemas.records import Policy
from tracemill.tasks.engines.base import Capabilities
from tracemill.tasks.engines.client import HttpEngine
from tracemill.tasks.engines.registry import build_engine
from tracemill.tasks.engines.wire import Prices

Start = Callable[..., str]
POLICY = Policy("standin", "openai")
KEY = "sk-planted-0123456789abcdef"


def client(url: str, **settings: Any) -> HttpEngine:
    return HttpEngine(POLICY, url, **{"backoff": 0.01, "concurrency": 8, **settings})


async def test_failures_that_pass_are_tried_again(standin: Start, contract: ModuleType) -> None:
    async with client(standin("--fail-first", "3")) as engine:
        completion = await engine.complete(contract.ONE)
    assert completion.error is None
    assert completion.retries == engine.stats.retries == 3
    assert engine.stats.requests == 1


@pytest.mark.parametrize("flags", [("--drop-every", "3"), ("--garbage-every", "3"), ("--fail-rate", "0.3")])
async def test_lost_connections_garbage_and_faults_lose_no_prompt(
    flags: tuple[str, ...], standin: Start, contract: ModuleType
) -> None:
    async with client(standin(*flags), retries=20) as engine:
        completions = await asyncio.gather(*(engine.complete(contract.ask(n)) for n in range(40)))
    assert [c.error for c in completions] == [None] * 40
    assert engine.stats.retries > 0


async def test_a_rejected_prompt_is_asked_once_and_says_why_on_one_line(
    standin: Start, contract: ModuleType, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    poison = contract.ask(1).__class__("a", "completion", contract.SAMPLING, seed=1, prompt="poison")
    async with client(standin("--log", str(log))) as engine:
        bad = await engine.complete(poison)
    assert bad.error is not None
    assert bad.error.startswith("HTTP 400: this prompt cannot be answered:")
    assert bad.error.isprintable()
    assert len(bad.error) < 420
    assert len(log.read_text().splitlines()) == 1


async def test_a_request_is_asked_once_where_nothing_fails(
    standin: Start, contract: ModuleType, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    async with client(standin("--log", str(log), "--latency-ms", "2")) as engine:
        await asyncio.gather(*(engine.complete(contract.ask(n)) for n in range(50)))
    asked = Counter(json.loads(line)["seed"] for line in log.read_text().splitlines())
    assert asked == Counter(range(50))


async def test_an_endpoint_that_is_down_is_one_error_with_the_mend() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{probe.getsockname()[1]}/v1"
        with pytest.raises(EngineError, match="cannot be reached") as caught:
            async with client(url):
                pass
    assert caught.value.where == url
    assert "start the server" in str(caught.value)
    assert len(str(caught.value).splitlines()) <= 5


async def test_an_endpoint_that_dies_ends_the_run_and_not_the_prompts(standin: Start, contract: ModuleType) -> None:
    async with client(standin("--crash-after", "20", "--latency-ms", "1"), retries=2) as engine:
        work = [asyncio.create_task(engine.complete(contract.ask(n))) for n in range(200)]
        results = await asyncio.gather(*work, return_exceptions=True)
    given_up = [r for r in results if isinstance(r, EngineError)]
    rows = [r for r in results if not isinstance(r, BaseException) and r.error is not None]
    assert len(given_up) > 150
    assert len(rows) <= 2  # below the breaker's limit


async def test_a_model_that_is_not_served_is_named_beside_those_that_are(standin: Start, contract: ModuleType) -> None:
    engine = HttpEngine(Policy("other", "openai"), standin())
    async with engine:
        with pytest.raises(EngineError, match="model 'other'") as caught:
            await engine.complete(contract.ONE)
    assert "standin" in (caught.value.mend or "")


@pytest.mark.parametrize("route", ["/v1/models", "/v1/chat/completions"])
async def test_an_endpoint_that_answers_garbage_is_one_error(route: str, contract: ModuleType) -> None:
    async def garbage(request: web.Request) -> web.Response:
        if request.path != route and request.path == "/v1/models":
            return web.json_response({"data": []})
        return web.Response(text="<html>\x00" + "hello " * 10_000, content_type="text/html")

    async with Served(garbage) as url:
        with pytest.raises(EngineError, match="OpenAI-compatible") as caught:
            async with client(url, retries=1) as engine:
                await engine.complete(contract.ONE)
    assert len(str(caught.value)) < 900


@pytest.mark.parametrize(
    "body",
    [
        b"null",
        b"[]",
        b"{}",
        b'{"choices": []}',
        b'{"choices": [{"message": 3}]}',
        b"\xff\xfe",
        b"[" * 100_000,
        b"1e999",
    ],
)
async def test_any_body_is_garbage_or_a_completion_and_never_a_crash(body: bytes, contract: ModuleType) -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(body=body, content_type="application/json")

    async with Served(answer) as url, client(url, retries=0, probe=False) as engine:
        with pytest.raises(EngineError):
            await engine.complete(contract.ONE)


async def test_the_key_is_sent_and_shown_nowhere(
    standin: Start, contract: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLANTED_KEY", KEY)
    url = standin("--api-key", KEY, "--echo-key", "--fail-rate", "1", "--fail-status", "422")
    spec = EngineSpec(kind="openai", model="standin", base_url=url, api_key_env="PLANTED_KEY")
    async with build_engine(spec, "") as engine:
        completion = await engine.complete(contract.ONE)
    assert completion.error is not None
    assert "you sent Bearer ***" in completion.error
    assert KEY not in repr(completion)
    monkeypatch.setenv("PLANTED_KEY", KEY + "-wrong")
    with pytest.raises(EngineError) as caught:
        async with build_engine(spec, ""):
            pass
    shown = "".join(traceback.format_exception(caught.value)) + str(caught.value)
    assert KEY not in shown
    assert "PLANTED_KEY" in shown


async def test_a_key_that_the_model_repeats_is_masked_in_its_text(contract: ModuleType) -> None:
    async def echo(request: web.Request) -> web.Response:
        said = request.headers["Authorization"]
        return web.json_response({"choices": [{"message": {"content": said}, "finish_reason": "stop"}]})

    async with Served(echo) as url, client(url, api_key=KEY, probe=False) as engine:
        assert (await engine.complete(contract.ONE)).text == "Bearer ***"


async def test_retry_after_is_kept_by_everybody(contract: ModuleType) -> None:
    times: list[float] = []

    async def answer(request: web.Request) -> web.Response:
        times.append(time.monotonic())
        if len(times) == 1:
            return web.Response(status=429, headers={"Retry-After": "0.3"})
        return web.json_response({"choices": [{"message": {"content": "x"}, "finish_reason": "stop"}]})

    async with Served(answer) as url, client(url, concurrency=1, probe=False) as engine:
        await asyncio.gather(*(engine.complete(contract.ask(n)) for n in range(3)))
    assert times[1] - times[0] >= 0.29


async def test_concurrency_settles_where_the_server_can_follow(standin: Start, contract: ModuleType) -> None:
    url = standin("--capacity", "8", "--latency-ms", "5")
    async with client(url, concurrency=64) as engine:
        completions = await asyncio.gather(*(engine.complete(contract.ask(n)) for n in range(300)))
        assert [c.error for c in completions] == [None] * 300  # an overload is waited out, however many tries it takes
        assert engine.stats.limit < 32


async def test_an_endpoint_that_only_refuses_for_load_is_given_up(contract: ModuleType) -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.json_response({"error": {"message": "quota used up", "code": "insufficient_quota"}}, status=429)

    async with Served(answer) as url, client(url, retries=2, probe=False) as engine:
        results = await asyncio.gather(*(engine.complete(contract.ask(n)) for n in range(8)), return_exceptions=True)
    assert sum(isinstance(r, EngineError) and "quota used up" in r.what for r in results) >= 6


async def test_no_more_than_the_cap_is_in_flight(contract: ModuleType) -> None:
    running = most = 0

    async def answer(request: web.Request) -> web.Response:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.005)
        running -= 1
        return web.json_response({"choices": [{"message": {"content": "x"}, "finish_reason": "stop"}]})

    async with Served(answer) as url, client(url, concurrency=5, probe=False) as engine:
        await asyncio.gather(*(engine.complete(contract.ask(n)) for n in range(40)))
    assert most == 5


async def test_latency_leaves_waiting_out(standin: Start, contract: ModuleType) -> None:
    async with client(standin("--latency-ms", "30"), concurrency=1) as engine:
        completions = await asyncio.gather(*(engine.complete(contract.ask(n)) for n in range(6)))
    assert all(25 <= (c.latency_ms or 0) < 120 for c in completions)


async def test_a_hung_server_times_out(standin: Start, contract: ModuleType) -> None:
    async with client(standin("--hang-after", "2"), retries=0, request_timeout=0.3) as engine:
        assert (await engine.complete(contract.ONE)).error is None
        late = await engine.complete(contract.ONE)
    assert late.error == "no answer within 0.3 s"


async def test_usage_is_counted_and_priced(shared_standin: str, contract: ModuleType) -> None:
    async with client(shared_standin, prices=Prices(2.0, 8.0)) as engine:
        completion = await engine.complete(contract.ONE)
    assert completion.prompt_tokens is not None
    assert completion.completion_tokens is not None
    expected = (completion.prompt_tokens * 2 + completion.completion_tokens * 8) / 1e6
    assert completion.cost_usd == pytest.approx(expected)
    assert engine.stats.cost_usd == pytest.approx(expected)


async def test_a_chat_prefix_is_continued_only_where_the_server_can(shared_standin: str, contract: ModuleType) -> None:
    request = contract.ONE.__class__("a", "chat", contract.SAMPLING, 1, messages=contract.ONE.messages, prefix="So")
    async with client(shared_standin) as engine:
        with pytest.raises(UsageError, match="cannot continue"):
            await engine.complete(request)
        engine.capabilities = Capabilities(continue_prefix=True)
        assert (await engine.complete(request)).error is None


async def test_a_renamed_token_limit_is_learnt_once(contract: ModuleType) -> None:
    names: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        body = await request.json()
        names.append(next(key for key in body if key.startswith("max_")))
        if names[-1] == "max_tokens":
            error = {"message": "use the other", "code": "unsupported_parameter", "param": "max_tokens"}
            return web.json_response({"error": error}, status=400)
        return web.json_response({"choices": [{"message": {"content": "x"}, "finish_reason": "stop"}]})

    async with Served(answer) as url, client(url, probe=False) as engine:
        for _ in range(2):
            assert (await engine.complete(contract.ONE)).error is None
    assert names == ["max_tokens", "max_completion_tokens", "max_completion_tokens"]


async def test_a_restarting_server_of_ours_is_waited_for(standin: Start, contract: ModuleType) -> None:
    first = standin("--crash-after", "1")
    second = standin()
    waited = 0

    async def ready() -> int:
        nonlocal waited
        waited += 1
        engine._urls = client(second)._urls  # the port of a restarted server stays; here the other one stands for it
        return 1 + waited

    async with client(first, ready=ready) as engine:
        assert (await engine.complete(contract.ONE)).error is None
    assert waited == 1


async def test_an_answer_without_end_fails_alone_and_is_not_read_to_its_end(contract: ModuleType) -> None:
    sent = 0

    async def answer(request: web.Request) -> web.StreamResponse:
        nonlocal sent
        response = web.StreamResponse()
        await response.prepare(request)
        while sent < 1 << 28:
            await response.write(b" " * (1 << 16))
            sent += 1 << 16
        return response

    async with Served(answer) as url, client(url, probe=False) as engine:
        completion = await engine.complete(contract.ONE)
    assert (completion.error or "").startswith("output limit: the answer is larger than 1,0")
    assert completion.retries == 0
    assert sent < 1 << 25


@pytest.mark.parametrize(
    "url", ["127.0.0.1:80", "ftp://a/v1", "http://me:secret@host/v1", "http://h/v1?key=1", "http://"]
)
def test_an_address_that_cannot_be_used_is_refused_without_repeating_a_password(url: str) -> None:
    with pytest.raises(UsageError) as caught:
        client(url)
    assert "secret" not in str(caught.value)


class Served:
    """``async with Served(handler) as url``: any path, answered in this process."""

    def __init__(self, handler: Any) -> None:
        self._app = web.Application()
        self._app.router.add_route("*", "/{path:.*}", handler)

    async def __aenter__(self) -> str:
        self._runner = web.AppRunner(self._app, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        return f"http://127.0.0.1:{self._runner.addresses[0][1]}/v1"

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()
