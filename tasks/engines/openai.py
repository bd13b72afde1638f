"""Somebody else's endpoint, with a key from the environment alone."""

from __future__ import annotations

import os
from typing import Self

from yarl import URL

from tracemill.schemas.errors import UsageError
from tracemill.schemas.recipe import EngineSpec
from tracemill.schemas.records import Policy
from tracemill.tasks.engines.base import Capabilities
from tracemill.tasks.engines.client import HttpEngine
from tracemill.tasks.engines.wire import Prices


class OpenAiEngine(HttpEngine):
    """``spec.base_url`` and ``spec.model`` are needed; the key is read from ``spec.api_key_env`` when the engine is made.

    An endpoint that says it is vLLM can continue a started answer and score a given text; what others do with these differs
    (llama.cpp's server passes over the second in silence), so it is not tried.
    """

    def __init__(self, spec: EngineSpec) -> None:
        for key, value, example in (
            ("base_url", spec.base_url, "http://127.0.0.1:8000/v1"),
            ("model", spec.model, "the name that the endpoint lists under /models"),
        ):
            if not value:
                raise UsageError(f"engine kind 'openai' needs {key}", where=f"engine.{key}", mend=f"set it: {example}")
        model, address = str(spec.model), str(spec.base_url)
        super().__init__(
            Policy(model=model, engine="openai", revision=spec.revision, dtype=spec.dtype, licence=spec.licence),
            address,
            name="openai",
            api_key=os.environ.get(spec.api_key_env, ""),
            key_name=spec.api_key_env,
            concurrency=spec.concurrency,
            request_timeout=spec.request_timeout,
            retries=spec.retries,
            prices=Prices(spec.price_in, spec.price_out),
            trust_env=URL(address).host not in ("127.0.0.1", "localhost", "::1"),
        )

    async def __aenter__(self) -> Self:
        await super().__aenter__()
        is_vllm = self.owner == "vllm"
        self.capabilities = Capabilities(continue_prefix=is_vllm, prompt_logprobs=is_vllm)
        return self
