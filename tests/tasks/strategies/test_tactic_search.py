"""Proof search as a recipe asks for it: the tree, the streams and the proof, judged by the verifier alone."""

from __future__ import annotations

import json

import pytest
from tests.tasks.domains.test_lean import PROBLEM, Toy

from tracemill.schemas.enums import Outcome
from tracemill.schemas.errors import UsageError
from tracemill.tasks.engines.base import Sampling
from tracemill.tasks.strategies.base import Context
from tracemill.tasks.strategies.registry import PARAMETERS
from tracemill.tasks.strategies.tactic_search import search_with
from tracemill.tasks.templates import Template
from tracemill.verifiers.base import Judgement


async def nobody(*arguments, **more):
    raise AssertionError("no engine is asked")


def context_of(outcome, **parameters):
    async def verify(response, finish_reason):
        return Judgement(outcome, "test")

    return Context(PROBLEM, 0, Template("t"), Sampling(), nobody, verify, parameters, policy_id="m_1")


@pytest.mark.parametrize("search", ["best_first", "mcts"])
async def test_the_attempt_is_the_proof_and_the_tree_is_stored(search):
    asked = context_of(Outcome.CORRECT, search=search, streams=["stream_of_search", "astro"])
    made = await search_with(asked, Toy)
    (draft,) = made.drafts
    assert draft.completion.text.startswith(PROBLEM.spec["statement"] + " := by\n  constructor\n")
    (tree,) = made.rows["trees"]
    assert (tree["status"], draft.tree_id) == ("solved", tree["tree_id"])
    assert json.loads(tree["parameters"])["domain"] == "lean"
    assert {stream["linearizer"] for stream in made.rows["streams"]} == {
        "stream_of_search",
        "direct",
        "astro",
        "shortcut",
    }
    assert all(stream["verified"] for stream in made.rows["streams"])
    assert (await search_with(asked, Toy)).rows == made.rows


async def test_without_a_verified_proof_nothing_is_said_to_be_one():
    made = await search_with(context_of(Outcome.INCORRECT), Toy)
    assert made.rows["trees"][0]["status"] == "exhausted"
    assert not any(stream["verified"] for stream in made.rows["streams"])
    assert "constructor" in made.drafts[0].completion.text


async def test_calls_are_a_limit():
    made = await search_with(context_of(Outcome.CORRECT, calls=3), Toy)
    assert made.rows["trees"][0]["status"] != "solved"


@pytest.mark.parametrize(
    ("given", "said"), [({"search": "dfs"}, "no proof search 'dfs'"), ({"cals": 3}, "no parameter 'cals'")]
)
async def test_a_wrong_parameter_is_one_clear_error(given, said):
    with pytest.raises(UsageError, match=said):
        await search_with(context_of(Outcome.CORRECT, **given), Toy)


def test_its_parameters_are_known_before_anything_is_done():
    assert {"search", "finishing", "calls", "streams", "by", "iterations"} <= PARAMETERS["tactic_search"]
