"""The life of a server: up, watched, restarted, and gone with all its processes, however its owner ends."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import aiohttp
import pytest

from tracemill.schemas.errors import EngineError
from tracemill.schemas.recipe import EngineSpec
from tracemill.schemas.records import Policy
from tracemill.tasks.engines import reaper, server
from tracemill.tasks.engines.base import Capabilities, Request
from tracemill.tasks.engines.managed import ManagedEngine
from tracemill.tasks.engines.server import Launch, Server


@pytest.fixture
def launch(standin_script: Path) -> Callable[..., Launch]:
    """``launch("--flag", before="shell line")``: the stand-in under a shell that leaves a detached grandchild behind."""

    def make(*flags: str, before: str = "setsid sleep 600 &") -> Launch:
        def command(port: int) -> list[str]:
            program = [sys.executable, str(standin_script), "--port", str(port), *flags]
            return ["sh", "-c", f'{before} exec "$@"', "sh", *program]

        return Launch("standin", command, start_timeout=60, probe_interval=0.1, hang_timeout=1.0, grace=2.0)

    return make


def token_of(running: Server) -> str:
    """The token by which the server's processes are known, from its pid file."""
    (note,) = (running._home / "servers").glob("*.json")
    return str(json.loads(note.read_text())["token"])


async def ask(running: Server, timeout: float = 5.0) -> int:
    async with (
        aiohttp.ClientSession() as session,
        session.post(
            f"{running.base_url}/completions",
            json={"model": "standin", "prompt": "x", "max_tokens": 4},
            headers={"Authorization": f"Bearer {running.launch.api_key}"},
            timeout=aiohttp.ClientTimeout(total=timeout),
        ) as response,
    ):
        return response.status


async def until(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come true"
        await asyncio.sleep(0.02)


async def test_a_server_answers_and_leaves_no_process_and_no_note(
    launch: Callable[..., Launch], tmp_path: Path
) -> None:
    async with Server(launch(), str(tmp_path)) as running:
        token = token_of(running)
        assert await ask(running) == 200
        assert len(reaper.carriers(token)) == 3  # guard, server, and the grandchild in a session of its own
    assert reaper.carriers(token) == []
    assert list((tmp_path / "servers").iterdir()) == []
    with pytest.raises(EngineError, match="closed"):
        await running.ready()


async def test_a_server_that_ignores_the_request_to_end_is_ended_by_force(
    launch: Callable[..., Launch], tmp_path: Path
) -> None:
    stubborn = replace(launch(before="(trap '' TERM; exec sleep 600) &"), grace=0.3)
    async with Server(stubborn, str(tmp_path)) as running:
        token = token_of(running)
        (deaf,) = [pid for pid in reaper.carriers(token) if _is_named(pid, b"sleep")]
        begun = time.monotonic()
    assert not _is_named(deaf, b"sleep")
    assert time.monotonic() - begun < 5
    assert reaper.carriers(token) == []


async def test_the_key_is_in_no_file_and_no_command_line(launch: Callable[..., Launch], tmp_path: Path) -> None:
    async with Server(launch("--echo-key"), str(tmp_path)) as running:
        key = running.launch.api_key.encode()
        for pid in reaper.carriers(token_of(running)):
            assert key not in Path(f"/proc/{pid}/cmdline").read_bytes()
        for path in tmp_path.rglob("*.*"):
            assert key not in path.read_bytes()
    assert running.launch.api_key not in repr(running.launch)


async def test_a_start_that_dies_says_the_end_of_its_log_and_leaves_nothing(
    launch: Callable[..., Launch], tmp_path: Path
) -> None:
    broken = replace(
        launch(before="setsid sleep 600 & echo ready; echo no memory left >&2; exit 3;"),
        diagnose=lambda log: "buy memory" if "no memory" in log else None,
    )
    with pytest.raises(EngineError, match=r"ended while starting \(status 3\)") as caught:
        async with Server(broken, str(tmp_path)):
            pytest.fail("it is not up")
    assert "no memory left" in caught.value.what
    assert caught.value.mend == "buy memory"
    assert caught.value.where is not None
    assert Path(caught.value.where).read_text() == "ready\nno memory left\n"
    assert list((tmp_path / "servers").iterdir()) == []


async def test_a_program_that_is_not_there_is_an_engine_error(tmp_path: Path) -> None:
    missing = Launch("standin", lambda _: ["/nowhere/vllm"], start_timeout=10)
    with pytest.raises(EngineError, match="cannot start /nowhere/vllm"):
        async with Server(missing, str(tmp_path)):
            pytest.fail("it is not up")


async def test_a_home_that_cannot_be_written_is_an_engine_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(EngineError, match="cannot be written") as caught:
        async with Server(Launch("standin", lambda _: ["true"]), str(tmp_path / "file")):
            pytest.fail("it is not up")
    assert caught.value.mend


def test_what_does_not_end_is_told_rather_than_waited_for_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reaper, "carriers", lambda token: [1])
    monkeypatch.setattr(reaper, "_kill", lambda pid, token: True)
    with pytest.raises(TimeoutError, match=r"\[1\] do not end"):
        reaper.kill_carriers("token", patience=0.05)


@pytest.mark.slow
async def test_a_start_that_takes_too_long_is_ended(launch: Callable[..., Launch], tmp_path: Path) -> None:
    slow = replace(launch("--start-delay", "60"), start_timeout=1.0)
    begun = time.monotonic()
    with pytest.raises(EngineError, match=r"did not answer within 1 s"):
        async with Server(slow, str(tmp_path)):
            pytest.fail("it is not up")
    assert time.monotonic() - begun < 8
    assert list((tmp_path / "servers").iterdir()) == []


async def test_a_start_that_is_slow_but_in_time_is_waited_for(launch: Callable[..., Launch], tmp_path: Path) -> None:
    async with Server(launch("--start-delay", "1.5"), str(tmp_path)) as running:
        assert await ask(running) == 200
        assert running.generation == 1


@pytest.mark.slow
async def test_a_port_that_somebody_else_took_is_left_to_them(
    launch: Callable[..., Launch], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken, free = other.getsockname()[1], server.free_port()
        ports = iter([taken, free])
        monkeypatch.setattr(server, "free_port", lambda: next(ports))
        async with Server(replace(launch(), start_timeout=30), str(tmp_path)) as running:
            assert running.port == free
            assert await ask(running) == 200


async def test_a_server_that_crashes_is_started_again_at_the_same_address(
    launch: Callable[..., Launch], tmp_path: Path
) -> None:
    async with Server(launch("--crash-after", "2"), str(tmp_path)) as running:
        token, address = token_of(running), running.base_url
        assert await ask(running) == 200
        with pytest.raises(aiohttp.ClientConnectionError):
            await ask(running)
        await until(lambda: running.generation == 2 and running.is_up)
        assert running.base_url == address
        assert await ask(running) == 200
        assert len(reaper.carriers(token)) == 3  # nothing of the first start is left beside the second
    assert reaper.carriers(token) == []


@pytest.mark.slow
async def test_a_server_that_keeps_crashing_is_given_up(launch: Callable[..., Launch], tmp_path: Path) -> None:
    async with Server(replace(launch("--crash-after", "1"), restarts=1), str(tmp_path)) as running:
        for generation in (1, 2):
            await running.ready()
            assert running.generation == generation
            with pytest.raises(aiohttp.ClientConnectionError):
                await ask(running)
            await until(lambda: not running.is_up)
        with pytest.raises(EngineError, match=r"ended \(status 9\); it was restarted 1 times within the hour"):
            await running.ready()


@pytest.mark.slow
async def test_prompts_that_kill_the_server_fail_alone(
    launch: Callable[..., Launch], contract: ModuleType, tmp_path: Path
) -> None:
    engine = ManagedEngine(
        EngineSpec(kind="vllm", model="standin", concurrency=8),
        str(tmp_path),
        launch=launch("--latency-ms", "20"),
        policy=Policy("standin", "vllm"),
        capabilities=Capabilities(),
    )
    lethal = [Request(f"a{n}", "completion", contract.SAMPLING, seed=n, prompt=f"lethal {n}") for n in range(2)]
    plain = [contract.ask(n) for n in range(30)]
    async with engine:
        killed, *answered = await asyncio.gather(*map(engine.complete, [lethal[0], *plain]))
        again = await engine.complete(lethal[1])  # the restarts of the first are forgiven
        assert (await engine.complete(contract.ONE)).error is None
    assert killed.error == again.error == "the server died 3 times while it worked on this prompt"
    assert [c.error for c in answered] == [None] * 30


@pytest.mark.slow
async def test_a_server_that_hangs_is_ended_and_started_again(launch: Callable[..., Launch], tmp_path: Path) -> None:
    async with Server(launch(), str(tmp_path)) as running:
        token = token_of(running)
        for pid in reaper.carriers(token):
            if b"server.py" in Path(f"/proc/{pid}/cmdline").read_bytes().rpartition(b"--port")[0] and not _is_guard(
                pid
            ):
                os.kill(pid, signal.SIGSTOP)
        await until(lambda: running.generation == 2 and running.is_up, 20)
        assert await ask(running) == 200
    assert reaper.carriers(token) == []


OWNER = """
import asyncio, sys
from tracemill.tasks.engines.server import Launch, Server

async def main():
    launch = Launch("standin", lambda port: ["sh", "-c", 'setsid sleep 600 & exec "$@"', "sh", sys.executable,
                                             sys.argv[1], "--port", str(port)], grace=1.0)
    async with Server(launch, sys.argv[2]):
        print("up", flush=True)
        await asyncio.sleep(600)

asyncio.run(main())
"""


@pytest.fixture
def owner(standin_script: Path, tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Another process that holds a server under ``tmp_path``, and the server's token."""
    process = subprocess.Popen(
        [sys.executable, "-c", OWNER, str(standin_script), str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"
    (note,) = (tmp_path / "servers").glob("*.json")
    token = json.loads(note.read_text())["token"]
    assert len(reaper.carriers(token)) == 3
    yield process, token
    process.kill()
    process.wait()
    process.stdout.close()
    reaper.kill_carriers(token)


async def test_an_owner_that_is_killed_leaves_nothing_running(owner: tuple[subprocess.Popen[str], str]) -> None:
    process, token = owner
    process.kill()
    process.wait()
    await until(lambda: reaper.carriers(token) == [])


@pytest.mark.slow
async def test_the_next_start_ends_what_owner_and_guard_left_when_both_were_killed(
    owner: tuple[subprocess.Popen[str], str], launch: Callable[..., Launch], tmp_path: Path
) -> None:
    process, token = owner
    (guard,) = [pid for pid in reaper.carriers(token) if _is_guard(pid)]
    process.send_signal(signal.SIGSTOP)  # so that it cannot see its guard go
    os.kill(guard, signal.SIGKILL)
    process.kill()
    process.wait()
    await until(lambda: reaper.start_time(guard) is None)
    await until(lambda: len(reaper.carriers(token)) == 1)  # the detached grandchild; the server dies with its guard
    async with Server(launch(), str(tmp_path)):
        assert reaper.carriers(token) == []


@pytest.mark.slow
async def test_a_start_leaves_another_owners_server_alone(
    owner: tuple[subprocess.Popen[str], str], launch: Callable[..., Launch], tmp_path: Path
) -> None:
    async with Server(launch(), str(tmp_path)):
        assert len(reaper.carriers(owner[1])) == 3
    assert len(reaper.carriers(owner[1])) == 3


def test_a_reused_pid_is_never_hit(tmp_path: Path) -> None:
    bystander = subprocess.Popen(["sleep", "600"])
    try:
        path = reaper.write_pid_file(tmp_path, "t0ken", bystander.pid, ["vllm"])
        note = json.loads(path.read_text())
        assert reaper.reap_orphans(tmp_path) == []  # its owner is this test
        assert path.exists()
        path.write_text(json.dumps({**note, "owner_start": "1"}))  # the owner's pid is of another process now
        (tmp_path / "damaged.json").write_text("{")
        assert reaper.reap_orphans(tmp_path) == []
        assert list(tmp_path.iterdir()) == []
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()


def test_only_the_newest_logs_are_kept(tmp_path: Path) -> None:
    for number in range(25):
        (tmp_path / f"vllm-2026010{number // 10}T{number % 10:06d}-x.log").touch()
    (tmp_path / "local-20200101T000000-x.log").touch()
    server._new_log(tmp_path, "vllm").touch()
    assert len(list(tmp_path.glob("vllm-*"))) == 20
    assert len(list(tmp_path.glob("local-*"))) == 1


def _is_guard(pid: int) -> bool:
    return b"reaper.py" in Path(f"/proc/{pid}/cmdline").read_bytes()


def _is_named(pid: int, name: bytes) -> bool:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0] == name
    except OSError:
        return False
