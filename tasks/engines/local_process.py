"""The child process that hosts the embedded model: a llama.cpp server on the loopback, until it is ended.

Run by path as a program of its own; it imports nothing of ours, so it starts in well under a second and none of our
state is in it. The key comes from the environment and leaves it at once.
"""

from __future__ import annotations

import argparse
import os
import signal

import xllamacpp


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", required=True)
    parser.add_argument("--alias", required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--slots", type=int, default=8)
    parser.add_argument("--context", type=int, default=4096, help="tokens per slot")
    parser.add_argument("--prefix-cache", type=int, default=0, help="MiB of earlier prompts to keep")
    return parser.parse_args()


def settings(options: argparse.Namespace, api_key: str) -> xllamacpp.CommonParams:
    params = xllamacpp.CommonParams()
    params.model.path = options.model
    params.model_alias = {options.alias}
    params.hostnames = ["127.0.0.1"]
    params.port = options.port
    params.api_keys = [api_key]
    params.cpuparams.n_threads = options.threads
    params.cpuparams_batch.n_threads = options.threads
    params.n_parallel = options.slots
    params.n_ctx = options.slots * options.context
    params.kv_unified = False  # with cache_prompt: else a text depends on what else is in the batch
    params.cache_prompt = options.prefix_cache > 0
    params.cache_ram_mib = options.prefix_cache  # its default keeps up to 8 GB of old prompts
    params.sampling.top_k = 0
    params.sampling.min_p = 0.0
    params.n_threads_http = 8 * options.slots + 8  # a health probe must not queue behind completions
    params.endpoint_slots = False
    params.ui = False
    params.offline = True
    params.fit_params = False
    params.warmup = False
    params.enable_reasoning = 0
    return params


def main() -> None:
    options = parse()
    signals = {signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    server = xllamacpp.Server(settings(options, os.environ.pop("TRACEMILL_LOCAL_KEY", "")))
    print(f"listening at {server.listening_address}", flush=True)
    signal.sigwait(signals)
    os._exit(0)


if __name__ == "__main__":
    main()
