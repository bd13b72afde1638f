"""The client against the stand-in server in its own process, next to raw aiohttp doing the same exchange.

    python benchmarks/client.py [--requests 6000] [--in-flight 512] [--prompt-bytes 1024] [--reply-bytes 2048]

Prints completions/s and CPU milliseconds per request of this process, for each, and their ratio. The two are run in turn,
``--rounds`` times, and the best round of each is shown: a busy machine only ever makes a round slower.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from tracemill.schemas.records import Policy
from tracemill.tasks.engines.base import Request, Sampling
from tracemill.tasks.engines.client import HttpEngine

STANDIN = Path(__file__).parents[1] / "tests" / "standin" / "server.py"
TARGET = 1000.0  # completions/s on two cores


@dataclass(frozen=True, slots=True)
class Figure:
    """What one run took; ``rate`` in completions/s, ``cpu`` in milliseconds per request."""

    rate: float
    cpu: float


async def measured(count: int, work: Callable[[], Awaitable[None]]) -> Figure:
    wall, cpu = time.perf_counter(), time.process_time()
    await work()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return Figure(count / wall, 1000.0 * cpu / count)


def requests(args: argparse.Namespace) -> list[Request]:
    sampling = Sampling(max_tokens=4096)
    filling = "x" * args.prompt_bytes
    return [
        Request(f"a_{n}", "chat", sampling, n, messages=({"role": "user", "content": f"{n} {filling}"},))
        for n in range(args.requests)
    ]


async def ours(url: str, asked: list[Request], args: argparse.Namespace) -> Figure:
    async with HttpEngine(Policy("standin", "openai"), url, concurrency=args.in_flight) as engine:

        async def work() -> None:
            completions = await asyncio.gather(*map(engine.complete, asked))
            failed = [completion.error for completion in completions if completion.error is not None]
            if failed:
                raise SystemExit(f"{len(failed)} requests failed, the first: {failed[0]}")

        return await measured(len(asked), work)


async def raw(url: str, asked: list[Request], args: argparse.Namespace) -> Figure:
    """The least that does the exchange: a semaphore, a session, a body, the parsed answer."""
    connector = aiohttp.TCPConnector(limit=args.in_flight)
    async with aiohttp.ClientSession(connector=connector) as session:
        slots = asyncio.Semaphore(args.in_flight)

        async def one(request: Request) -> None:
            body = {
                "model": "standin",
                "messages": list(request.messages),
                "seed": request.seed,
                "max_tokens": 4096,
                "temperature": 0.8,
            }
            async with slots, session.post(f"{url}/chat/completions", json=body) as response:
                answer = await response.json()
                if not answer["choices"][0]["message"]["content"]:
                    raise SystemExit("an empty answer")

        async def work() -> None:
            await asyncio.gather(*map(one, asked))

        return await measured(len(asked), work)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=6000)
    parser.add_argument("--in-flight", type=int, default=512)
    parser.add_argument("--prompt-bytes", type=int, default=1024)
    parser.add_argument("--reply-bytes", type=int, default=2048)
    parser.add_argument("--latency-ms", type=float, default=1.0)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    flags = ["--reply-bytes", str(args.reply_bytes), "--latency-ms", str(args.latency_ms)]
    with subprocess.Popen([sys.executable, str(STANDIN), *flags], stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            url = f"http://127.0.0.1:{json.loads(server.stdout.readline())['port']}/v1"
            asked = requests(args)
            found: dict[str, list[Figure]] = {"raw aiohttp": [], "our client": []}
            for _ in range(args.rounds):
                found["raw aiohttp"].append(asyncio.run(raw(url, asked, args)))
                found["our client"].append(asyncio.run(ours(url, asked, args)))
        finally:
            server.kill()
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    served = 1000.0 * (usage.ru_utime + usage.ru_stime) / (2 * args.rounds * args.requests)
    best = {name: Figure(max(f.rate for f in figures), min(f.cpu for f in figures)) for name, figures in found.items()}
    print(
        f"{args.prompt_bytes} B prompt, {args.reply_bytes} B reply, {args.in_flight} in flight, {args.requests} requests"
    )
    for name, figure in best.items():
        print(f"{name:12} {figure.rate:8.0f} completions/s {figure.cpu:8.3f} ms CPU/request")
    print(
        f"stand-in {' ' * 27}{served:8.3f} ms CPU/request; load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"
    )
    one, other = best["our client"], best["raw aiohttp"]
    print(f"{'ratio':12} {one.rate / other.rate:8.2f} {one.cpu / other.cpu:22.2f}")
    print(f"target       {TARGET:8.0f} completions/s: {'met' if one.rate >= TARGET else 'MISSED'}")
    sys.exit(0 if one.rate >= TARGET else 1)


if __name__ == "__main__":
    main()
