"""The embedded engine: a small real model on the CPU, with no GPU, no account and no download from a model hub.

A seed gives the same text whatever else is in the batch. That costs two things that a llama.cpp server does by default:
slots have caches of their own rather than one unified cache, and no prompt is taken from the cache of an earlier one
(both change the order in which numbers are added, and with it the text). A search, whose siblings share their prompt, may ask
for that cache (``--prefix-cache``), and then has no promise of equal texts. This server has no log-probabilities of a prompt: it
passes over ``echo`` and ``prompt_logprobs``, and speaks of the tokens that it generated alone. What a request leaves open is off, not
llama.cpp's default (top_k 40, min_p 0.05), so that a recipe means the same here and on vLLM.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from tracemill.schemas.errors import EngineError
from tracemill.schemas.recipe import EngineSpec
from tracemill.schemas.records import Policy
from tracemill.tasks.engines import gguf
from tracemill.tasks.engines.base import Capabilities, Completion, Request
from tracemill.tasks.engines.managed import ManagedEngine
from tracemill.tasks.engines.server import Launch
from tracemill.tasks.tokenizer import ChatTemplate

#: Requests that are computed together, and the tokens of context (prompt and completion) that each has.
SLOTS: Final = 8
CONTEXT: Final = 4096

_MODEL: Final = "SmolLM2-135M-Instruct"
_PROGRAM: Final = Path(__file__).with_name("local_process.py")


class LocalEngine(ManagedEngine):
    """``spec.model`` is a path to a ``.gguf`` file, else the built-in SmolLM2-135M-Instruct.

    ``spec.arguments`` may hold ``--slots N``, ``--context N`` (tokens per slot) and ``--prefix-cache MIB`` (of earlier prompts,
    0 by default); ``spec.threads`` is for all slots.
    A chat request with a prefix goes over the completion route, its conversation rendered by the model's own template,
    because this server repeats the prefix on the chat route. Raises ``EngineError`` where a package or file is missing.
    """

    def __init__(self, spec: EngineSpec, home: str) -> None:
        if importlib.util.find_spec("xllamacpp") is None:
            raise EngineError("the package xllamacpp is not installed", mend="pip install xllamacpp")
        built_in = spec.model in (None, _MODEL)
        path = gguf.embedded_model() if built_in else Path(str(spec.model)).expanduser()
        if not path.is_file():
            raise EngineError(
                "no such model file", where=str(path), mend="set engine.model to a .gguf file, or leave it out"
            )
        metadata = gguf.read_metadata(path)
        self._template = ChatTemplate(metadata.get("tokenizer.chat_template"), gguf.special_tokens(metadata), str(path))
        policy = Policy(
            model=_MODEL if built_in else path.stem,
            engine="local",
            revision=gguf.content_hash(path),
            engine_version=importlib.metadata.version("xllamacpp"),
            dtype=gguf.file_type(metadata),
            chat_template_hash=self._template.hash,
            licence=spec.licence or metadata.get("general.license"),
        )
        slots, context, cache = _sizes(spec.arguments, metadata)
        super().__init__(
            spec,
            home,
            launch=_launch(spec, path, policy.model, slots, context, cache),
            policy=policy,
            capabilities=Capabilities(continue_prefix=True, batch_invariant_seed=not cache),
            concurrency=4 * slots,
        )

    async def complete(self, request: Request) -> Completion:
        if request.route == "chat" and request.prefix:
            prompt = self._template.render(request.messages, add_generation_prompt=True)
            request = replace(request, route="completion", prompt=prompt, messages=())
        return await super().complete(request)


def _launch(spec: EngineSpec, path: Path, alias: str, slots: int, context: int, cache: int) -> Launch:
    def command(port: int) -> list[str]:
        options = {
            "--model": path.resolve(),
            "--alias": alias,
            "--port": port,
            "--threads": spec.threads,
            "--slots": slots,
            "--context": context,
            "--prefix-cache": cache,
        }
        return [sys.executable, "-P", str(_PROGRAM), *(str(part) for pair in options.items() for part in pair)]

    return Launch(
        "local",
        command,
        spec.environment,
        key_variable="TRACEMILL_LOCAL_KEY",
        start_timeout=spec.start_timeout,
        grace=3.0,
    )


def _sizes(arguments: list[str], metadata: dict[str, Any]) -> tuple[int, int, int]:
    """(slots, context per slot, MiB of prefix cache), at most the context that the model was trained with."""
    sizes = {"--slots": SLOTS, "--context": CONTEXT, "--prefix-cache": 0}
    mend = "give --slots N, --context N and --prefix-cache MIB alone"
    for name, value in zip(arguments[::2], [*arguments[1::2], ""], strict=False):
        if name not in sizes or not value.isdigit() or int(value) < 1:
            raise EngineError(f"unknown argument {name} {value}".rstrip(), where="engine.arguments", mend=mend)
        sizes[name] = int(value)
    trained = metadata.get(f"{metadata.get('general.architecture')}.context_length", sizes["--context"])
    return sizes["--slots"], min(sizes["--context"], trained), sizes["--prefix-cache"]
