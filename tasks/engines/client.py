"""The one client of every engine that speaks the OpenAI-compatible protocol.

What must stay true: a prompt that fails, fails alone, as a completion with ``error``; the engine as a whole fails as one
``EngineError``; the API key goes into one header and nowhere else, whatever the server sends back. Latency is measured
from when a request goes onto the wire, not from when it was asked for.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import resource
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from types import TracebackType
from typing import Any, Final, Self

import aiohttp
from yarl import URL

from tracemill.schemas.enums import FinishReason
from tracemill.schemas.errors import EngineError, UsageError
from tracemill.schemas.records import Policy
from tracemill.tasks.engines import retry, wire
from tracemill.tasks.engines.base import Capabilities, Completion, EngineStats, Request, cannot_score
from tracemill.tasks.engines.concurrency import Limiter
from tracemill.tasks.engines.retry import Breaker, Fault, Kind

_CONNECT_TIMEOUT: Final = 30.0
_PROBE_TIMEOUT: Final = 30.0
#: Shorter than the five seconds after which uvicorn closes an idle connection, so that we never write into a closing one.
_KEEP_ALIVE: Final = 4.0
#: Keys shorter than this are placeholders ("EMPTY"), which may well occur in what a model says.
_SECRET_LENGTH: Final = 12
_SPARE_FILES: Final = 256
#: Bytes of an answer: these and so many a token (a log-probability included), but never more than the last.
_ENVELOPE: Final = 1 << 20
_BYTES_PER_TOKEN: Final = 1 << 10
_BYTES_PER_CANDIDATE: Final = 1 << 7
_LARGEST: Final = 1 << 26
#: A prompt that saw so many deaths of our own server is sent beside no other such; at the second number it is blamed.
_SUSPECTED: Final = 2
_BLAMED: Final = 3
#: After so many tries an overload counts against the prompt even while others are answered.
_MOST_TRIES: Final = 100


class HttpEngine:
    """An engine behind ``base_url`` (which ends in ``/v1``). ``async with`` probes it and holds its one session.

    ``ready`` is awaited before a try that follows a lost connection: a server that we own waits there for its restart, and
    raises ``EngineError`` once it is given up; it returns how often the server was started, from 1. A prompt in whose company
    it keeps dying fails alone, and ``absolve`` is called: the deaths were not the server's. ``continuation`` is sent beside a chat prefix. ``key_name`` names the
    environment variable in errors. Where ``probe`` is false the endpoint is taken to be up.
    """

    def __init__(
        self,
        policy: Policy,
        base_url: str,
        *,
        name: str = "openai",
        model: str | None = None,
        api_key: str = "",
        key_name: str | None = None,
        capabilities: Capabilities | None = None,
        concurrency: int = 256,
        request_timeout: float = 1800.0,
        retries: int = 5,
        prices: wire.Prices | None = None,
        stats: EngineStats | None = None,
        ready: Callable[[], Awaitable[int]] | None = None,
        absolve: Callable[[], None] | None = None,
        continuation: Mapping[str, Any] = wire.CONTINUE_FINAL_MESSAGE,
        replica: str | None = None,
        probe: bool = True,
        trust_env: bool = False,
        backoff: float = 0.5,
    ) -> None:
        self.name = name
        self.policy = policy
        self.capabilities = capabilities or Capabilities()
        self.stats = stats or EngineStats()
        self.stats.limit = concurrency
        self.base_url = _address(base_url)
        self.served: tuple[str, ...] = ()  # the models that the endpoint lists
        self.owner: str | None = None  # who the endpoint says owns the model: "vllm", say
        self._model = model or policy.model
        self._key_name = key_name
        self._headers = _headers(api_key, key_name)
        self._secrets = _spellings(api_key.strip())
        self._masked = tuple(s for s in self._secrets if len(s) >= _SECRET_LENGTH)
        self._concurrency = concurrency
        self._timeout = aiohttp.ClientTimeout(total=request_timeout, sock_connect=_CONNECT_TIMEOUT)
        self._retries = retries
        self._prices = prices or wire.Prices()
        self._ready = ready
        self._absolve = absolve
        self._generation = 1  # of our own server, as last seen
        self._suspect = asyncio.Lock()
        self._continuation = continuation
        self._replica = replica
        self._probe = probe
        self._trust_env = trust_env
        self._backoff = backoff
        self._token_limit = "max_tokens"
        self._urls = {route: URL(f"{self.base_url}/").join(URL(path)) for route, path in wire.PATHS.items()}
        self._limiter = Limiter(concurrency)
        self._breaker = Breaker()
        self._failure: EngineError | None = None
        self._answered = 0  # completions, to tell an overloaded server from a stalled one
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        _allow_files(self._concurrency + _SPARE_FILES)
        self._limiter, self._breaker, self._failure = Limiter(self._concurrency), Breaker(), None
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=self._concurrency, ttl_dns_cache=300, keepalive_timeout=_KEEP_ALIVE),
            headers=self._headers,
            timeout=self._timeout,
            trust_env=self._trust_env,
            cookie_jar=aiohttp.DummyCookieJar(),
        )
        try:
            if self._probe:
                await self._look(self._session)
        except BaseException:
            await self._session.close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def complete(self, request: Request) -> Completion:
        """The completion of ``request``; with ``error`` where this prompt alone failed.

        Raises ``EngineError`` where the engine as a whole is down, refuses, or answers garbage.
        """
        stats, limiter = self.stats, self._limiter
        if request.prefix and request.route == "chat" and not self.capabilities.continue_prefix:
            raise UsageError(
                f"the {self.name} engine cannot continue an answer that is already begun",
                where="template.prefill",
                mend="leave the prefill empty, use the completion route, or an engine that can (vllm, local)",
            )
        if request.route == "scoring" and not self.capabilities.prompt_logprobs:
            raise cannot_score(self.name)
        body = wire.encode(request, self._model, continuation=self._continuation, token_limit=self._token_limit)
        tries = stalled = deaths = 0
        stats.requests += 1
        while True:
            answered = self._answered
            async with self._suspect if deaths >= _SUSPECTED else contextlib.nullcontext():
                ticket = await limiter.acquire(first=tries > 0)
                stats.in_flight += 1
                generation = self._generation
                try:
                    completion = await self._try(request, body)
                    limiter.succeeded(ticket)
                except Fault as fault:
                    seen = fault
                    if fault.kind.overload:
                        limiter.overloaded(ticket, fault.pause)
                else:
                    self._answered += 1
                    self._breaker.succeeded()
                    return self._counted(completion, tries)
                finally:
                    stats.in_flight -= 1
                    limiter.release()
                    stats.limit = limiter.limit
                if self._ready is not None and seen.kind is Kind.CONNECTION:
                    await self._pause(seen, tries)
                    self._generation = await self._ready()
                    deaths += self._generation != generation
                    if deaths >= _BLAMED:
                        if self._absolve is not None:
                            self._absolve()
                        seen = Fault(Kind.SERVER, f"the server died {deaths} times while it worked on this prompt")
                        return self._given_up(request, seen, tries)
            if self._renamed_token_limit(seen):
                body = wire.encode(request, self._model, continuation=self._continuation, token_limit=self._token_limit)
                continue
            # An overloaded server that answers others meanwhile will answer this one too: that is waiting, not failing.
            if seen.kind is not Kind.OVERLOAD or self._answered == answered or tries >= _MOST_TRIES:
                stalled += 1
            if not seen.kind.retried or stalled > self._retries:
                return self._given_up(request, seen, tries)
            if self._ready is None or seen.kind is not Kind.CONNECTION:
                await self._pause(seen, tries)
            tries += 1
            stats.retries += 1

    async def _try(self, request: Request, body: bytes) -> Completion:
        session, failure = self._session, self._failure
        if failure is not None:
            raise _again(failure)
        if session is None:
            raise EngineError(f"the {self.name} engine is not open", mend="use it inside 'async with engine:'")
        sent = time.perf_counter()
        try:
            async with session.post(self._urls[request.route], data=body, allow_redirects=False) as response:
                each = _BYTES_PER_TOKEN + _BYTES_PER_CANDIDATE * request.sampling.confidence
                told = each * request.sampling.max_tokens + _BYTES_PER_TOKEN * len(request.tokens)
                limit = min(_LARGEST, _ENVELOPE + told)
                data, whole = await _read(response, limit)
                status, headers = response.status, response.headers
        except aiohttp.ConnectionTimeoutError as error:
            raise Fault(Kind.CONNECTION, f"no connection within {_CONNECT_TIMEOUT:g} s") from error
        except TimeoutError as error:
            raise Fault(Kind.TIMEOUT, f"no answer within {self._timeout.total:g} s") from error
        except (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError, OSError) as error:
            raise Fault(Kind.CONNECTION, self._redacted_text(f"connection lost: {error}")) from error
        except aiohttp.ClientError as error:
            raise Fault(Kind.GARBAGE, self._redacted_text(f"not an HTTP answer: {error}")) from error
        latency = (time.perf_counter() - sent) * 1000.0
        if status != 200:
            raise self._fault(status, headers, data)
        if not whole:
            raise Fault(Kind.REJECTED, f"output limit: the answer is larger than {limit:,} bytes")
        for secret in self._masked:
            data = data.replace(secret, b"***")
        return wire.decode(data, request, self._prices, latency, self._replica)

    def _fault(self, status: int, headers: Mapping[str, str], data: bytes) -> Fault:
        data = self._redacted(data)
        kind = retry.kind_of_status(status)
        pause = retry.pause_of(headers.get("Retry-After")) if kind.retried else 0.0
        message = f"HTTP {status}: {wire.error_message(data)}".rstrip(": ")
        if status == 400 and wire.unsupported_parameter(data) == "max_tokens":
            return _UnknownTokenLimit(kind, message)
        return Fault(kind, message, pause)

    def _renamed_token_limit(self, fault: Fault) -> bool:
        """Some models take ``max_completion_tokens`` alone; the first answer that says so renames it for the run."""
        if not isinstance(fault, _UnknownTokenLimit) or self._token_limit != "max_tokens":
            return False
        self._token_limit = "max_completion_tokens"
        return True

    async def _pause(self, fault: Fault, tries: int) -> None:
        # The limiter holds everybody back for a Retry-After; this request adds its own jitter after it.
        await asyncio.sleep(retry.delay(tries, fault.pause, retry.jitter(), base=self._backoff))

    def _given_up(self, request: Request, fault: Fault, tries: int) -> Completion:
        """The error completion of this prompt, unless the fault is the engine's."""
        if self._failure is None and self._breaker.failed(fault.kind, request.prompt_hash):
            self._failure = self._error(fault)
        if self._failure is not None:
            raise _again(self._failure)
        return replace(_failed(fault.message, tries), refused=fault.kind is Kind.REJECTED)

    def _counted(self, completion: Completion, tries: int) -> Completion:
        stats = self.stats
        stats.prompt_tokens += completion.prompt_tokens or 0
        stats.completion_tokens += completion.completion_tokens or 0
        stats.cost_usd += completion.cost_usd or 0.0
        return replace(completion, retries=tries) if tries else completion

    async def _look(self, session: aiohttp.ClientSession) -> None:
        """Ask what is served. An endpoint without that list is let pass; its first completion will tell."""
        try:
            async with session.get(
                f"{self.base_url}/models", allow_redirects=False, timeout=aiohttp.ClientTimeout(total=_PROBE_TIMEOUT)
            ) as response:
                (data, _), status = await _read(response, _LARGEST), response.status
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            said = f"no answer within {_PROBE_TIMEOUT:g} s" if isinstance(error, TimeoutError) else str(error)
            raise self._error(Fault(Kind.CONNECTION, self._redacted_text(said))) from None
        if status in (404, 405, 501):
            return
        if status != 200:
            fault = self._fault(status, {}, data)
            if fault.kind is not Kind.OVERLOAD:
                raise self._error(fault)
            return
        listed = _models(self._redacted(data))
        if listed is None:
            shown = wire.clipped(self._redacted(data).decode("utf-8", "replace"), 80)
            raise self._error(Fault(Kind.GARBAGE, f"/models is not a JSON list of models: {shown}"))
        self.served = tuple(name for name, _ in listed)
        owners = dict(listed)
        self.owner = owners.get(self._model) or next(iter(owners.values()), None)

    def _error(self, fault: Fault) -> EngineError:
        """``fault`` as the failure of the whole engine, with what to do about it."""
        key = f"the environment variable {self._key_name}" if self._key_name else "the key"
        mends = {
            Kind.CONNECTION: "start the server or correct the address, and give the same command again: it resumes",
            Kind.GARBAGE: "check that the address is an OpenAI-compatible endpoint; it usually ends in /v1",
            Kind.REFUSED: f"check {key}, the model's name, and that the address ends in /v1",
        }
        mend = mends.get(fault.kind, "look at the server, and give the same command again: it resumes")
        if fault.kind is Kind.REFUSED and self.served and self._model not in self.served:
            names = ", ".join(self.served[:8]) + (" ..." if len(self.served) > 8 else "")
            mend = f"set engine.model to one that it serves: {names}"
        headline = {
            Kind.CONNECTION: "the endpoint cannot be reached",
            Kind.GARBAGE: "the endpoint does not answer as an OpenAI-compatible server",
            Kind.REFUSED: f"the endpoint refuses requests for model {self._model!r}",
        }.get(fault.kind, "the endpoint keeps failing")
        return EngineError(f"{headline} ({fault.message})", where=self.base_url, mend=mend)

    def _redacted(self, data: bytes) -> bytes:
        for secret in self._secrets:
            data = data.replace(secret, b"***")
        return data

    def _redacted_text(self, text: str) -> str:
        return wire.clipped(self._redacted(text.encode("utf-8", "replace")).decode("utf-8", "replace"))


class _UnknownTokenLimit(Fault):
    """The endpoint does not know ``max_tokens`` by that name."""


async def _read(response: aiohttp.ClientResponse, limit: int) -> tuple[bytes, bool]:
    """The body, and whether it is whole: one of more than ``limit`` bytes is left where it passes them."""
    chunks: list[bytes] = []
    size = 0
    async for chunk in response.content.iter_any():
        chunks.append(chunk)
        size += len(chunk)
        if size > limit:
            response.close()
            return b"".join(chunks)[:limit], False
    return b"".join(chunks), True


def _again(failure: EngineError) -> EngineError:
    """A fresh copy for each request that it ends: one raised many times would gather all their tracebacks."""
    return EngineError(failure.what, where=failure.where, mend=failure.mend)


def _failed(error: str, tries: int) -> Completion:
    return Completion(text="", finish_reason=FinishReason.ERROR.value, retries=tries, error=error)


def _address(base_url: str) -> str:
    """``base_url`` without a slash at its end. A ``UsageError`` where it is not an address, or holds a password."""
    mend = "give an address such as http://127.0.0.1:8000/v1"
    try:
        url = URL(base_url.strip())
        host = url.host
    except ValueError:
        raise UsageError("not an address", where="engine.base_url", mend=mend) from None
    if url.scheme not in ("http", "https") or not host:
        raise UsageError(f"not an http address: {base_url!r}", where="engine.base_url", mend=mend)
    if url.user or url.password or url.query_string:
        raise UsageError(
            "an address must not carry a user, password or query",
            where="engine.base_url",
            mend="put the key into the environment variable that engine.api_key_env names",
        )
    return str(url).rstrip("/")


def _headers(api_key: str, key_name: str | None) -> dict[str, str]:
    """``identity`` because a compressed answer costs time on a loopback and can be made to unpack without end."""
    headers = {"Content-Type": "application/json", "Accept-Encoding": "identity"}
    key = api_key.strip()
    if key:
        if not (key.isascii() and key.isprintable()):
            raise UsageError(
                "the API key holds a character that cannot be sent", where=key_name, mend="set it again, on one line"
            )
        headers["Authorization"] = f"Bearer {key}"
    return headers


def _spellings(key: str) -> tuple[bytes, ...]:
    """The key as it may stand in an error body: plain, and as JSON writes it."""
    if not key:
        return ()
    return tuple({key.encode(): None, json.dumps(key)[1:-1].encode(): None, key.replace("/", "\\/").encode(): None})


def _models(data: bytes) -> list[tuple[str, str | None]] | None:
    """(model, owner) of each model in a ``/models`` body; None where it is not one."""
    try:
        payload = json.loads(data)
    except (ValueError, RecursionError):
        return None
    listed = payload.get("data") if isinstance(payload, dict) else payload
    if not isinstance(listed, list):
        return None
    rows = [row for row in listed if isinstance(row, dict) and isinstance(row.get("id"), str)]
    return [(wire.clipped(r["id"], 120), r["owned_by"] if isinstance(r.get("owned_by"), str) else None) for r in rows]


def _allow_files(wanted: int) -> None:
    """Raise the soft limit on open files where a connection each would not fit under it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return
    if hard != resource.RLIM_INFINITY and hard < wanted:
        raise UsageError(
            f"{wanted} open files are needed and the system allows {hard}",
            where="engine.concurrency",
            mend=f"lower engine.concurrency below {max(1, hard - _SPARE_FILES)}, or raise ulimit -n",
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
