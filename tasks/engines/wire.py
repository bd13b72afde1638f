"""Between our requests and completions and the bytes of the OpenAI-compatible protocol. Pure.

What must stay true: one request is one body with one choice; a sampling parameter that is None is not sent; the text that
comes back is what the model said, its think block included, and always storable (no NUL, no lone surrogate); what a
server sends is never trusted to have the right shape.
"""

from __future__ import annotations

import heapq
import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from tracemill.schemas.enums import FinishReason
from tracemill.schemas.ids import canonical_json
from tracemill.tasks.engines.base import Completion, Request, Route, Sampling
from tracemill.tasks.engines.retry import Fault, Kind

#: Where each route is, from the address that ends in ``/v1``. vLLM's pooling route stands beside that, not below it.
PATHS: Final[Mapping[Route, str]] = {
    "chat": "chat/completions",
    "completion": "completions",
    "pooling": "../pooling",
    "scoring": "completions",
}

#: What vLLM wants beside a last assistant message that is to be continued.
CONTINUE_FINAL_MESSAGE: Final[Mapping[str, Any]] = {"continue_final_message": True, "add_generation_prompt": False}

_LONGEST_MESSAGE: Final = 400
_IMPOSSIBLE: Final = -9999.0
_UNSTORABLE: Final = re.compile("[\x00\ud800-\udfff]")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]+")
_OPEN, _CLOSE = "<think>", "</think>"
_FINISH: Final = {
    "stop": FinishReason.STOP,
    "eos": FinishReason.STOP,
    "end_turn": FinishReason.STOP,
    "stop_sequence": FinishReason.STOP,
    "tool_calls": FinishReason.STOP,
    "length": FinishReason.LENGTH,
    "max_tokens": FinishReason.LENGTH,
    None: FinishReason.UNKNOWN,
}


@dataclass(frozen=True, slots=True)
class Prices:
    """US dollars per million tokens. Both zero: not priced, and a completion's cost is None."""

    prompt: float = 0.0
    completion: float = 0.0

    def cost(self, prompt_tokens: int | None, completion_tokens: int | None) -> float | None:
        if not (self.prompt or self.completion) or prompt_tokens is None or completion_tokens is None:
            return None
        return (prompt_tokens * self.prompt + completion_tokens * self.completion) / 1e6


def encode(
    request: Request,
    model: str,
    *,
    continuation: Mapping[str, Any] = CONTINUE_FINAL_MESSAGE,
    token_limit: str = "max_tokens",
) -> bytes:
    """The body of ``request``. ``continuation`` is sent beside a chat prefix, ``token_limit`` names that parameter."""
    if request.route == "pooling":
        return _pooling(request, model)
    if request.route == "scoring":
        return _scoring(request, model)
    head = _head(
        request.sampling, model, request.route, token_limit, max(request.top_logprobs, request.sampling.confidence)
    )
    if request.route == "completion":
        return f'{head},"seed":{request.seed},"prompt":{json.dumps(request.prompt + request.prefix)}}}'.encode()
    messages: list[Mapping[str, str]] = list(request.messages)
    more = ""
    if request.prefix:
        messages.append({"role": "assistant", "content": request.prefix})
        more = "".join(f",{json.dumps(key)}:{json.dumps(value)}" for key, value in continuation.items())
    return f'{head},"seed":{request.seed}{more},"messages":{json.dumps(messages)}}}'.encode()


def _pooling(request: Request, model: str) -> bytes:
    """No limit on the tokens is sent: what does not fit must be refused, not cut."""
    body: dict[str, Any] = {"model": model, "encoding_format": "float"}
    if request.task:
        body["task"] = request.task
    if request.messages:
        body["messages"] = [dict(message) for message in request.messages]
    else:
        body["input"] = request.prompt
    return json.dumps(body).encode()


def _scoring(request: Request, model: str) -> bytes:
    """vLLM's completions route with ``prompt_logprobs``; 0 asks for the prompt's own tokens alone. One token is generated,
    the fewest that there can be, and dropped."""
    body = {"model": model, "prompt": list(request.tokens), "max_tokens": 1, "temperature": 0.0, "prompt_logprobs": 0}
    return json.dumps(body).encode()


@lru_cache(maxsize=64)
def _head(sampling: Sampling, model: str, route: Route, token_limit: str, top: int) -> str:
    """The part of the body that every request of a run shares, without its closing brace."""
    body: dict[str, Any] = {
        "model": model,
        (token_limit if route == "chat" else "max_tokens"): sampling.max_tokens,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "top_k": sampling.top_k,
        "min_p": sampling.min_p,
        "presence_penalty": sampling.presence_penalty,
        "frequency_penalty": sampling.frequency_penalty,
        "stop": list(sampling.stop) or None,
        "logprobs": (True if route == "chat" else max(1, top)) if sampling.logprobs or top else None,
        "top_logprobs": top or None if route == "chat" else None,
    }
    return json.dumps({key: value for key, value in body.items() if value is not None})[:-1]


def decode(
    data: bytes, request: Request, prices: Prices, latency_ms: float | None = None, replica: str | None = None
) -> Completion:
    """The completion in a response body. Raises ``Fault``: garbage where it is not one, else what the body says is wrong."""
    try:
        payload = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise Fault(Kind.GARBAGE, f"the server's answer is not JSON: {clipped(_text(data))}") from error
    if request.route == "pooling":
        return _scores(payload, prices, latency_ms, replica)
    choice = _choice(payload)
    if request.route == "scoring":
        return _scored(payload, choice, request, prices, latency_ms, replica)
    text, reason = _said(choice, request), choice.get("finish_reason")
    if reason == "content_filter":
        raise Fault(Kind.REJECTED, "stopped by the server's content filter")
    if reason in ("abort", "error"):
        raise Fault(Kind.SERVER, f"the server broke the completion off (finish_reason {reason})")
    finish = _FINISH.get(reason if isinstance(reason, str) else None, FinishReason.UNKNOWN)
    usage = _mapping(payload.get("usage"))
    prompt_tokens, completion_tokens = _count(usage, "prompt_tokens"), _count(usage, "completion_tokens")
    total, least = _logprobs(choice.get("logprobs")) if request.sampling.logprobs else (None, None)
    return Completion(
        text=cleaned(text),
        finish_reason=finish.value,
        prompt_tokens=prompt_tokens,
        completion_tokens=completion_tokens,
        cached_tokens=_count(_mapping(usage.get("prompt_tokens_details")), "cached_tokens"),
        reasoning_tokens=_count(_mapping(usage.get("completion_tokens_details")), "reasoning_tokens"),
        logprob_sum=total,
        logprob_min=least,
        cost_usd=prices.cost(prompt_tokens, completion_tokens),
        latency_ms=latency_ms,
        replica=replica,
        top=_top(choice.get("logprobs")) if request.top_logprobs else None,
        confidence=_confidences(choice.get("logprobs"), request.sampling.confidence),
    )


def _scores(payload: Any, prices: Prices, latency_ms: float | None, replica: str | None) -> Completion:
    """The one item of a pooling answer as canonical JSON: a list of numbers, or a list of such lists, one a step or token."""
    data = _mapping(payload).get("data")
    if not (isinstance(data, list) and len(data) == 1 and isinstance(_mapping(data[0]).get("data"), list)):
        raise Fault(Kind.GARBAGE, "the server's answer has no pooled data")
    pooled = data[0]["data"]
    if not all(_is_number(v) or (isinstance(v, list) and all(map(_is_number, v))) for v in pooled):
        raise Fault(Kind.GARBAGE, "the server's pooled data is not numbers")
    return _numbers(pooled, payload, 0, prices, latency_ms, replica)


def _scored(
    payload: Mapping[str, Any],
    choice: Mapping[str, Any],
    request: Request,
    prices: Prices,
    latency_ms: float | None,
    replica: str | None,
) -> Completion:
    """One number for each token of the prompt but the first, by its own id, so that no other tokens' are taken for them."""
    places = choice.get("prompt_logprobs")
    if not isinstance(places, list):
        raise Fault(Kind.GARBAGE, "the server's answer has no log-probabilities of the prompt")
    if len(places) != len(request.tokens):
        raise Fault(
            Kind.GARBAGE, f"log-probabilities of {len(places)} tokens came for {len(request.tokens)} of the prompt"
        )
    values = []
    for token, place in zip(request.tokens[1:], places[1:], strict=True):
        value = _mapping(_mapping(place).get(str(token))).get("logprob")
        if not isinstance(value, int | float) or isinstance(value, bool) or math.isnan(value) or value > 0:
            raise Fault(Kind.GARBAGE, "a token of the prompt has no log-probability in the server's answer")
        values.append(max(float(value), _IMPOSSIBLE))
    return _numbers(values, payload, 1, prices, latency_ms, replica)


def _numbers(
    values: list[Any],
    payload: Mapping[str, Any],
    generated: int,
    prices: Prices,
    latency_ms: float | None,
    replica: str | None,
) -> Completion:
    """Numbers about a text as the completion of a request that wants no text; ``generated`` tokens are paid for all the same."""
    prompt_tokens = _count(_mapping(payload.get("usage")), "prompt_tokens")
    return Completion(
        text=canonical_json(values),
        finish_reason=FinishReason.STOP.value,
        prompt_tokens=prompt_tokens,
        completion_tokens=0,
        cost_usd=prices.cost(prompt_tokens, generated),
        latency_ms=latency_ms,
        replica=replica,
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _choice(payload: Any) -> Mapping[str, Any]:
    if not isinstance(payload, dict):
        raise Fault(Kind.GARBAGE, "the server's answer is not a JSON object")
    choices = payload.get("choices")
    if isinstance(choices, list) and choices and isinstance(choices[0], dict):
        return choices[0]
    if payload.get("error"):  # some gateways report an upstream error with status 200
        code = _mapping(payload["error"]).get("code")
        retried = isinstance(code, int) and (code == 429 or code >= 500)
        raise Fault(Kind.OVERLOAD if retried else Kind.REJECTED, error_message(json.dumps(payload).encode()))
    raise Fault(Kind.GARBAGE, "the server's answer has no choices")


def _said(choice: Mapping[str, Any], request: Request) -> str:
    if request.route == "completion":
        text = choice.get("text")
        if not isinstance(text, str):
            raise Fault(Kind.GARBAGE, "the server's choice has no text")
        return text
    message = choice.get("message")
    if not isinstance(message, dict):
        raise Fault(Kind.GARBAGE, "the server's choice has no message")
    content = message.get("content")
    if isinstance(content, list):  # content in parts
        content = "".join(part["text"] for part in content if isinstance(_mapping(part).get("text"), str))
    if content is None:
        refusal = message.get("refusal")
        content = refusal if isinstance(refusal, str) else ""
    if not isinstance(content, str):
        raise Fault(Kind.GARBAGE, "the server's message has no text")
    reasoning = message.get("reasoning_content") or message.get("reasoning")
    if not isinstance(reasoning, str):
        return content
    begun = request.prefix.rfind(_OPEN) > request.prefix.rfind(_CLOSE)
    cut = not content and choice.get("finish_reason") == "length"
    return f"{'' if begun else _OPEN}{reasoning}{'' if cut else _CLOSE}{content}"


def _logprobs(logprobs: Any) -> tuple[float | None, float | None]:
    """Sum and least of the chosen tokens' log-probabilities, from either shape, whatever the route."""
    shape = _mapping(logprobs)
    values: Iterable[Any] = ()
    if isinstance(shape.get("content"), list):
        values = (_mapping(token).get("logprob") for token in shape["content"])
    elif isinstance(shape.get("token_logprobs"), list):
        values = shape["token_logprobs"]
    numbers = [float(value) for value in values if isinstance(value, int | float) and math.isfinite(value)]
    return (math.fsum(numbers), min(numbers)) if numbers else (None, None)


def _top(logprobs: Any) -> Mapping[str, float] | None:
    """Token to log-probability in the place of the first token, from either shape; None where the server gives none."""
    pairs = next(_candidates(logprobs), [])
    found = {token: float(value) for token, value in pairs if isinstance(token, str) and _is_number(value)}
    return found or None


def _confidences(logprobs: Any, k: int) -> tuple[float, ...] | None:
    """-mean log p of the ``k`` likeliest candidates in the place of each token (DeepConf, algorithms §2.30); None where the
    server gives none, or k is 0. A candidate that cannot be (vLLM writes -9999 for minus infinity) is left out.
    """
    found = []
    for pairs in _candidates(logprobs) if k else ():
        values = heapq.nlargest(k, (float(v) for _, v in pairs if _is_number(v) and v > _IMPOSSIBLE))
        if values:
            found.append(0.0 - math.fsum(values) / len(values))
    return tuple(found) or None


def _candidates(logprobs: Any) -> Iterator[list[tuple[Any, Any]]]:
    """(token, log-probability) of the candidates in each place, from either shape."""
    shape = _mapping(logprobs)
    content, legacy = shape.get("content"), shape.get("top_logprobs")
    if isinstance(content, list):
        for place in content:
            listed = _mapping(place).get("top_logprobs")
            rows = [_mapping(row) for row in listed] if isinstance(listed, list) else []
            yield [(row.get("token"), row.get("logprob")) for row in rows]
    elif isinstance(legacy, list):
        for place in legacy:
            yield list(_mapping(place).items())


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _count(usage: Mapping[str, Any], key: str) -> int | None:
    value = usage.get(key)
    return value if type(value) is int and 0 <= value < 2**63 else None


def cleaned(text: str) -> str:
    """``text`` with each NUL and lone surrogate replaced by U+FFFD, which every table and file can hold."""
    return _UNSTORABLE.sub("\ufffd", text) if "\x00" in text or not _encodable(text) else text


def _encodable(text: str) -> bool:
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def clipped(text: str, length: int = _LONGEST_MESSAGE) -> str:
    """``text`` on one line without control characters, at most ``length`` characters."""
    line = _CONTROL.sub(" ", text[: 8 * length]).strip()
    return line if len(line) <= length else f"{line[: length - 1]}…"


def error_message(data: bytes) -> str:
    """What a server's error body says, on one line; '' where it says nothing."""
    try:
        payload = json.loads(data)
    except (ValueError, RecursionError):
        return clipped(_text(data))
    said = payload
    for key in ("error", "message", "detail"):
        said = said.get(key, said) if isinstance(said, dict) else said
    return clipped(said if isinstance(said, str) else json.dumps(said, ensure_ascii=False))


def unsupported_parameter(data: bytes) -> str | None:
    """The name of the parameter that the server says it does not support, by the error's own code."""
    try:
        error = _mapping(_mapping(json.loads(data)).get("error"))
    except (ValueError, RecursionError):
        return None
    parameter = error.get("param")
    return parameter if error.get("code") == "unsupported_parameter" and isinstance(parameter, str) else None


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")
