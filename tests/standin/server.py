"""A stand-in for a served model: speaks the OpenAI protocol, answers at once and always the same, and fails on demand.

What must stay true: a text is a pure function of the prompt and the seed, so an answer can be told from another run's; a
text is continued consistently (prefix + rest is the whole text); every request is logged before it is answered, so that a
test can count what was paid twice. It takes vLLM's own flags, and ignores those that it does not know, to stand in for its
executable. The first line on standard output is {"port": ..., "pid": ...}.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import math
import os
import random
import re
import sys
import time
from typing import Any

from aiohttp import web

CHARACTERS_PER_TOKEN = 4
SUM = re.compile(r"[Ww]hat is (-?\d+) \+ (-?\d+)")
POOL = " ".join(f"word{n % 97} and then" for n in range(6000))


def arguments(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--model", default="standin")
    parser.add_argument("--served-model-name", default=None)
    parser.add_argument("--api-key", default=os.environ.get("VLLM_API_KEY", ""))
    parser.add_argument("--owner", default="vllm", help="owned_by in /v1/models")
    parser.add_argument("--latency-ms", type=float, default=0.0)
    parser.add_argument("--jitter", type=float, default=0.0, help="share of the latency that varies, 0 to 1")
    parser.add_argument("--fail-rate", type=float, default=0.0)
    parser.add_argument("--fail-status", type=int, default=500)
    parser.add_argument("--retry-after", default=None, help="sent with a failure")
    parser.add_argument("--fail-first", type=int, default=0, help="fail so many requests, then no more")
    parser.add_argument("--crash-after", type=int, default=0, help="die on the spot at this request")
    parser.add_argument("--hang-after", type=int, default=0, help="answer nothing more from this request on")
    parser.add_argument("--start-delay", type=float, default=0.0)
    parser.add_argument("--garbage-every", type=int, default=0)
    parser.add_argument("--drop-every", type=int, default=0, help="close the connection without an answer")
    parser.add_argument("--reply-bytes", type=int, default=256)
    parser.add_argument("--answers", type=float, default=None, help="chance of a right sum, decided by the seed")
    parser.add_argument("--reasoning", action="store_true", help="reasoning_content beside the content")
    parser.add_argument("--capacity", type=int, default=0, help="more at once than this get status 429")
    parser.add_argument("--yes", type=float, default=None, help="chance that a judge says yes, by the seed")
    parser.add_argument("--judge-steps", action="store_true", help="name the first step whose sum is false, as a judge")
    parser.add_argument("--no-top-logprobs", action="store_true", help="as a server that gives no alternatives")
    parser.add_argument(
        "--no-prompt-logprobs", action="store_true", help="pass over prompt_logprobs, as llama.cpp does"
    )
    parser.add_argument("--signs", action="store_true", help="+ or - after a step, as RLHFlow's models say it")
    parser.add_argument("--max-length", type=int, default=0, help="tokens that a prompt to /pooling may have")
    parser.add_argument("--lose-scores", type=int, default=0, help="so many scores fewer than steps from /pooling")
    parser.add_argument("--echo-key", action="store_true", help="say the Authorization header in every error")
    parser.add_argument("--log", default=None)
    known, _ = parser.parse_known_args([a for a in argv if a != "serve"])
    return known


def whole_text(prompt: str, seed: int, options: argparse.Namespace) -> str:
    """The text that answers ``prompt`` under ``seed``, before any limit."""
    digest = hashlib.blake2b(f"{seed}\0{prompt}".encode("utf-8", "surrogatepass"), digest_size=16).digest()
    at = int.from_bytes(digest[:4], "big") % (len(POOL) // 2)
    last = "done."
    if options.answers is not None:
        sums = SUM.findall(prompt)
        right = sum(map(int, sums[-1])) if sums else 0
        chance = int.from_bytes(digest[4:8], "big") / 2**32
        last = f"\\boxed{{{right if chance < options.answers else right + 1 + digest[8] % 9}}}"
    size = max(0, options.reply_bytes - len(last) - 20)
    body = POOL[at : at + size] if size <= len(POOL) // 2 else (POOL * (size // len(POOL) + 2))[at : at + size]
    return f"{digest[:8].hex()}: {body}\n\n{last}"


def pooled(body: dict[str, Any], lose: int) -> tuple[list[Any], str]:
    """What vLLM's pooling answers, in its shape, and the text that it read.

    A step with the word "wrong" is bad. Qwen's step tag gives [bad, good] a step; Math-Shepherd's [good, bad]; the task
    ``classify`` one number.
    """
    messages = body.get("messages")
    text = "".join(f"<|{m['role']}|>{m['content']}" for m in messages) if messages else str(body.get("input", ""))
    if body.get("task") == "classify":
        return [-2.5 if "wrong" in text else 3.25], text
    tag, good_first = ("<extra_0>", False) if "<extra_0>" in text else (" \u043a\u0438", True)
    rows = []
    for step in text.split(tag)[:-1]:
        good = 0.0625 if "wrong" in step else 0.9375
        rows.append([good, 1 - good] if good_first else [1 - good, good])
    return rows[: len(rows) - lose], text


class Standin:
    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.model = options.served_model_name or options.model
        self.count = 0
        self.running = 0
        self.random = random.Random(0)
        self.log = open(options.log, "a", buffering=1) if options.log else None  # noqa: SIM115

    async def models(self, request: web.Request) -> web.Response:
        if not self.allowed(request):
            return self.error(request, 401, "invalid key")
        row = {"id": self.model, "object": "model", "owned_by": self.options.owner, "max_model_len": 32768}
        return web.json_response({"object": "list", "data": [row]})

    async def health(self, request: web.Request) -> web.Response:
        if self.options.hang_after and self.count >= self.options.hang_after:
            await asyncio.sleep(3600)
        return web.Response()

    async def version(self, request: web.Request) -> web.Response:
        return web.json_response({"version": "0.0.0+standin"})

    async def metrics(self, request: web.Request) -> web.Response:
        return web.Response(text=f"vllm:num_requests_running {self.running}\nvllm:request_success_total {self.count}\n")

    async def chat(self, request: web.Request) -> web.StreamResponse:
        return await self.answer(request, chat=True)

    async def completion(self, request: web.Request) -> web.StreamResponse:
        return await self.answer(request, chat=False)

    async def pooling(self, request: web.Request) -> web.StreamResponse:
        if not self.allowed(request):
            return self.error(request, 401, "invalid key")
        body = json.loads(await request.read())
        self.count += 1
        if self.count <= self.options.fail_first:
            return self.error(request, self.options.fail_status, "failing as told")
        rows, text = pooled(body, self.options.lose_scores)
        tokens = len(text) // CHARACTERS_PER_TOKEN
        if self.options.max_length and tokens > self.options.max_length:
            most = self.options.max_length
            return self.error(request, 400, f"This model's maximum context length is {most} tokens, not {tokens}.")
        item = {"index": 0, "object": "pooling", "data": rows}
        usage = {"prompt_tokens": tokens, "total_tokens": tokens, "completion_tokens": 0, "prompt_tokens_details": None}
        head = {"id": "pool-1", "object": "list", "created": 0, "model": self.model}
        return web.json_response({**head, "data": [item], "usage": usage})

    async def answer(self, request: web.Request, *, chat: bool) -> web.StreamResponse:
        if not self.allowed(request):
            return self.error(request, 401, "invalid key")
        raw = await request.read()
        try:
            body = json.loads(raw)
        except ValueError:
            return self.error(request, 400, "the body is not JSON")
        prompt, prefix = split(body, chat)
        seed = int(body.get("seed") or 0)
        self.count += 1
        count, options = self.count, self.options
        if self.log is not None:
            line = {
                "n": count,
                "pid": os.getpid(),
                "seed": seed,
                "prompt": hashlib.sha256(prompt.encode("utf-8", "surrogatepass")).hexdigest()[:32],
                "prefix": len(prefix),
                "body": hashlib.sha256(raw).hexdigest(),
                "said": prompt[-2000:] if options.yes is not None else "",
                "time": time.time(),
            }
            self.log.write(json.dumps(line) + "\n")
        if options.crash_after and count >= options.crash_after:
            os._exit(9)
        if "lethal" in prompt:
            os._exit(9)
        if options.hang_after and count >= options.hang_after:
            await asyncio.sleep(3600)
        if body.get("model") != self.model:
            return self.error(request, 404, f"The model `{body.get('model')}` does not exist.")
        if "poison" in prompt:
            return self.error(request, 400, "this prompt cannot be answered: \x00\x1b[31m" + "too long " * 200)
        if options.capacity and self.running >= options.capacity:
            return self.error(request, 429, "too many requests")
        if count <= options.fail_first or (options.fail_rate and self.random.random() < options.fail_rate):
            return self.error(request, options.fail_status, "failing as told")
        if options.drop_every and count % options.drop_every == 0:
            assert request.transport is not None
            request.transport.abort()
            return web.Response()
        if options.garbage_every and count % options.garbage_every == 0:
            return web.Response(text="<html>not what you asked for", content_type="text/html")
        self.running += 1
        try:
            if options.latency_ms:
                varied = 1.0 - options.jitter * self.random.random()
                await asyncio.sleep(options.latency_ms * varied / 1000.0)
        finally:
            self.running -= 1
        return web.Response(body=self.reply(body, prompt, prefix, seed, chat), content_type="application/json")

    def verdict(self, body: dict[str, Any], prompt: str, seed: int) -> bytes:
        """A judge's answer: one word where that is all there is room for, else a critique that ends in its verdict."""
        digest = hashlib.blake2b(f"{seed}\0{prompt}".encode("utf-8", "surrogatepass"), digest_size=4).digest()
        yes = self.options.yes
        short = (body.get("max_tokens") or 0) <= 4
        said = yes >= 0.5 if short else int.from_bytes(digest, "big") / 2**32 < yes
        word = "Yes" if said else "No"
        choice: dict[str, Any] = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant"}}
        choice["message"]["content"] = word if short else f"Let me look at it, draw {seed}.\n\nVerdict: {word}"
        if body.get("top_logprobs") and not self.options.no_top_logprobs:
            given = {"Yes": yes * 0.9, " yes": yes * 0.1, "No": 1 - yes}
            rows = [{"token": t, "logprob": math.log(p)} for t, p in given.items() if p > 0]
            chosen = {"token": word, "logprob": rows[0]["logprob"], "top_logprobs": rows}
            choice["logprobs"] = {"content": [chosen]}
        usage = {"prompt_tokens": len(prompt) // CHARACTERS_PER_TOKEN, "completion_tokens": 1 if short else 12}
        return json.dumps({"id": "c", "model": self.model, "choices": [choice], "usage": usage}).encode()

    def first_wrong_step(self, prompt: str) -> bytes:
        """A judge's answer about numbered steps: the first whose sum is false."""
        steps = re.findall(r"\[step (\d+)\] (?:[^\[]*?)(\d+) \+ (\d+) = (\d+)", prompt)
        wrong = next((number for number, a, b, c in steps if int(a) + int(b) != int(c)), "none")
        message = {"role": "assistant", "content": f"I worked out {len(steps)} sums.\n\nFirst wrong step: {wrong}"}
        choice = {"index": 0, "finish_reason": "stop", "message": message}
        usage = {"prompt_tokens": len(prompt) // CHARACTERS_PER_TOKEN, "completion_tokens": 12}
        return json.dumps({"id": "c", "model": self.model, "choices": [choice], "usage": usage}).encode()

    def sign(self, body: dict[str, Any], prompt: str) -> bytes:
        """- where the last turn has the word "wrong"."""
        good = 0.0625 if "wrong" in prompt.rpartition("\0")[2] else 0.9375
        rows = [{"token": t, "logprob": math.log(p)} for t, p in ((" +", good), ("-", 1 - good))]
        word = "+" if good > 0.5 else "-"
        chosen = {"token": word, "logprob": math.log(max(good, 1 - good)), "top_logprobs": rows}
        choice = {"index": 0, "finish_reason": "length", "message": {"role": "assistant", "content": word}}
        choice["logprobs"] = {"content": [chosen]}
        usage = {"prompt_tokens": len(prompt) // CHARACTERS_PER_TOKEN, "completion_tokens": 1}
        return json.dumps({"id": "c", "model": self.model, "choices": [choice], "usage": usage}).encode()

    def scores(self, tokens: list[int]) -> bytes:
        """vLLM's answer to prompt_logprobs 0: null, then each token by its id. A token seen before is likelier than a new one."""
        places: list[Any] = [None]
        for place, token in enumerate(tokens[1:], 1):
            value = -0.25 if token in tokens[:place] else -3.0
            places.append({str(token): {"logprob": value, "rank": 1, "decoded_token": "t"}})
        choice: dict[str, Any] = {"index": 0, "text": "w", "logprobs": None, "finish_reason": "length"}
        if not self.options.no_prompt_logprobs:
            choice["prompt_logprobs"] = places
        usage = {"prompt_tokens": len(tokens), "completion_tokens": 1}
        return json.dumps({"id": "c", "model": self.model, "choices": [choice], "usage": usage}).encode()

    def reply(self, body: dict[str, Any], prompt: str, prefix: str, seed: int, chat: bool) -> bytes:
        if isinstance(body.get("prompt"), list):
            return self.scores(body["prompt"])
        if body.get("top_logprobs") and self.options.signs:
            return self.sign(body, prompt)
        if self.options.yes is not None and chat:
            return self.verdict(body, prompt, seed)
        if self.options.judge_steps:
            return self.first_wrong_step(prompt)
        text = whole_text(prompt, seed, self.options)
        rest = text[len(prefix) :] if text.startswith(prefix) else text
        finish = "stop"
        for stop in body.get("stop") or ():
            if stop in rest:
                rest = rest[: rest.index(stop)]
        most = (body.get("max_tokens") or body.get("max_completion_tokens") or 1 << 30) * CHARACTERS_PER_TOKEN
        if len(rest) > most:
            rest, finish = rest[:most], "length"
        tokens = -(-len(rest) // CHARACTERS_PER_TOKEN)
        choice: dict[str, Any] = {"index": 0, "finish_reason": finish}
        if chat:
            choice["message"] = {"role": "assistant", "content": rest}
            if self.options.reasoning:
                choice["message"]["reasoning_content"] = "thinking about it"
        else:
            choice["text"] = rest
        if body.get("logprobs"):
            values = [-((n % 7) + 1) / 8 for n in range(tokens)]
            shaped: list[dict[str, Any]] = [{"token": "t", "logprob": v} for v in values]
            legacy: dict[str, Any] = {"token_logprobs": values}
            top = body.get("top_logprobs") if chat else body["logprobs"]
            if top and not self.options.no_top_logprobs:
                places = [{f"t{i}": v - i / 4 for i in range(top)} for v in values]
                legacy["top_logprobs"] = places
                for token, place in zip(shaped, places, strict=True):
                    token["top_logprobs"] = [{"token": t, "logprob": v} for t, v in place.items()]
            choice["logprobs"] = {"content": shaped} if chat else legacy
        usage = {
            "prompt_tokens": len(prompt) // CHARACTERS_PER_TOKEN,
            "completion_tokens": tokens,
            "prompt_tokens_details": {"cached_tokens": len(prefix) // CHARACTERS_PER_TOKEN},
        }
        return json.dumps({"id": "c", "model": self.model, "choices": [choice], "usage": usage}).encode()

    def allowed(self, request: web.Request) -> bool:
        key = self.options.api_key
        return not key or request.headers.get("Authorization") == f"Bearer {key}"

    def error(self, request: web.Request, status: int, message: str) -> web.Response:
        if self.options.echo_key:
            message = f"you sent {request.headers.get('Authorization')}: {message}"
        headers = {"Retry-After": self.options.retry_after} if self.options.retry_after else {}
        return web.json_response({"error": {"message": message, "code": status}}, status=status, headers=headers)


def split(body: dict[str, Any], chat: bool) -> tuple[str, str]:
    """The prompt as one text, and the prefix that is to be continued."""
    if not chat:
        prompt = str(body.get("prompt", ""))
        mark = prompt.rfind("\x1e")  # a test marks where its prefix begins
        return (prompt, "") if mark < 0 else (prompt[: mark + 1], prompt[mark + 1 :])
    messages = list(body.get("messages") or ())
    prefix = ""
    if body.get("continue_final_message") and messages:
        prefix = messages.pop()["content"]
    return "\0".join(f"{m['role']}\0{m['content']}" for m in messages), prefix


async def serve(options: argparse.Namespace) -> None:
    if options.start_delay:
        await asyncio.sleep(options.start_delay)
    standin = Standin(options)
    app = web.Application(client_max_size=1 << 28)
    app.router.add_get("/health", standin.health)
    app.router.add_get("/version", standin.version)
    app.router.add_get("/metrics", standin.metrics)
    app.router.add_get("/v1/models", standin.models)
    app.router.add_post("/v1/chat/completions", standin.chat)
    app.router.add_post("/v1/completions", standin.completion)
    app.router.add_post("/pooling", standin.pooling)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, options.host, options.port, backlog=4096)
    await site.start()
    port = runner.addresses[0][1]
    print(json.dumps({"port": port, "pid": os.getpid()}), flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    try:
        asyncio.run(serve(arguments(sys.argv[1:])))
    except KeyboardInterrupt:
        sys.exit(130)
