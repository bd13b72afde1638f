"""What is taken out before a row is published, and what is not."""

from __future__ import annotations

import json

import pytest

from tracemill.tasks.publishing.scrub import Scrubber, secrets

SCRUBBER = Scrubber(("/home/ann/runs",), ("annbox",))


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("/home/ann/data/p.jsonl:12", "p.jsonl:12"),
        ("openai/gsm8k", "openai/gsm8k"),
        ("data/p.jsonl", "data/p.jsonl"),
        ("C:\\Users\\ann\\p.csv", "p.csv"),
        ("on annbox", "on <removed>"),
        ("3/4 of 1/2", "3/4 of 1/2"),
    ],
)
def test_absolute_paths_become_their_last_part(text: str, clean: str) -> None:
    assert SCRUBBER.leaf(text) == clean


def test_a_recipe_loses_addresses_programs_environments_and_key_arguments() -> None:
    recipe = {
        "engine": {
            "base_url": "http://10.0.0.7:8000/v1",
            "executable": "/opt/vllm/bin/vllm",
            "environment": {"A": "b"},
            "arguments": ["--max-model-len", "4096", "--api-key", "abc", "--hf-token=xyz"],
            "model": "/models/qwen",
        },
        "sampling": {"temperature": 0.8, "stop": ["\n\n"]},
    }
    clean = json.loads(SCRUBBER.document(json.dumps(recipe)))
    assert clean["sampling"] == recipe["sampling"]
    assert clean["engine"] == {
        "base_url": None,
        "executable": None,
        "environment": None,
        "arguments": ["--max-model-len", "4096", "--api-key", "<removed>", "--hf-token=<removed>"],
        "model": "qwen",
    }


def test_only_long_values_of_variables_that_look_like_keys_are_secrets() -> None:
    environment = {"A_API_KEY": "12345678", "B_TOKEN": "short", "HF_TOKEN": "hf_12345678", "PATH": "/usr/bin:/bin"}
    assert set(secrets(environment)) == {"A_API_KEY", "HF_TOKEN"}
