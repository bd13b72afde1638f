"""Canaries of the reading of reward models: a wrong separator or pooler gives plausible numbers, and must give no score."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tracemill.verifiers.base import Candidate, Judgement
from tracemill.verifiers.canaries.base import Suite, suite_of
from tracemill.verifiers.reward import read_check


def suite() -> Suite:
    """Answers in the shape of vLLM's pooling route, for each format."""
    good, bad = [0.05, 0.95], [0.95, 0.05]
    accepted = [
        _candidate("qwen: all steps good", "qwen", 3, [good, good, good]),
        _candidate("shepherd: all steps good", "shepherd", 2, [bad, bad]),
        _candidate("qwen: in bfloat16", "qwen", 1, [[0.0486, 0.9531]]),
        _candidate("orm: a flat number", "orm", 4, [0.9]),
        _candidate("orm: a number in a row", "orm", 4, [[0.9]]),
    ]
    refused = [
        _candidate("qwen: one bad step", "qwen", 3, [good, bad, good]),
        _candidate("shepherd: read the wrong way round", "shepherd", 2, [good, good]),
        _candidate("one score too few", "qwen", 3, [good, good]),
        _candidate("one score too many", "qwen", 3, [good, good, good, good]),
        _candidate("a score a token", "qwen", 2, [good] * 37),
        _candidate("no scores", "qwen", 2, []),
        _candidate("logits in place of probabilities", "qwen", 2, [[-3.5, 4.1], [-2.0, 3.0]]),
        _candidate("three labels", "qwen", 1, [[0.0, 0.05, 0.95]]),
        _candidate("a number a step in place of a pair", "qwen", 2, [0.95, 0.95]),
        _candidate("an embedding", "orm", 1, [0.9, 0.8, 0.7]),
        _candidate("nothing", "qwen", 1, None),
    ]
    return suite_of(accepted, refused, _read)


def _read(candidate: Candidate, config: Mapping[str, Any]) -> Judgement:
    return read_check(candidate, {"format": candidate.spec["format"]})


def _candidate(name: str, kind: str, steps: int, pooled: Any) -> Candidate:
    return Candidate(name, "", spec={"format": kind, "steps": steps, "pooled": pooled})
