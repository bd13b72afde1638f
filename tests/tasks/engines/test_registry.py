"""From the recipe to an engine, without importing the servers that are not asked for."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tracemill.schemas.errors import UsageError
from tracemill.schemas.recipe import EngineSpec
from tracemill.tasks.engines.registry import build_engine


@pytest.mark.parametrize("missing", ["model", "base_url"])
def test_an_endpoint_needs_an_address_and_a_model(missing: str) -> None:
    given = {"model": "m", "base_url": "http://127.0.0.1:1/v1"}
    del given[missing]
    with pytest.raises(UsageError, match=missing):
        build_engine(EngineSpec(kind="openai", **given), "")


def test_the_policy_is_known_before_the_start_and_leaves_the_address_out() -> None:
    one, other = (
        build_engine(EngineSpec(kind="openai", model="m", base_url=url), "")
        for url in ("http://127.0.0.1:1/v1", "https://example.invalid/v1/")
    )
    assert one.policy.policy_id == other.policy.policy_id
    assert one.policy.model == "m"


def test_servers_are_imported_only_where_they_are_asked_for() -> None:
    code = (
        "import sys; from tracemill.tasks.engines.registry import build_engine;"
        "from tracemill.schemas.recipe import EngineSpec; build_engine(EngineSpec(kind='simulated'), '');"
        "sys.exit(any(f'tracemill.tasks.engines.{n}' in sys.modules for n in ('local', 'vllm', 'openai', 'replay')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
