"""Proof search as a recipe asks for it: the tree, the streams and the proof, judged by the verifier alone."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest
from tests.tasks.domains.test_lean import PROBLEM, Toy

from tracemill.schemas.enums import Outcome
from tracemill.schemas.errors import UsageError
from tracemill.tasks.engines.base import Completion, Sampling
from tracemill.tasks.strategies.base import Context
from tracemill.tasks.strategies.registry import PARAMETERS
from tracemill.tasks.strategies.tactic_search import search_with
from tracemill.tasks.templates import Template, render
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


class Asked:
    """An engine that says ``answers`` in turn about every state, and remembers what it was asked."""

    def __init__(self, *answers):
        self.answers, self.prompts, self.paths = answers, [], []

    async def __call__(self, template, path, *, variables=None, draw=0, sampling=None):
        self.prompts.append(render(template, PROBLEM, variables).messages[-1]["content"])
        self.paths.append((path, draw))
        return self.answers[draw % len(self.answers)], 0


PROPOSED = Completion("constructor\nright\nexact sorry", "stop", logprob_sum=-1.0, completion_tokens=10)


@pytest.mark.parametrize("search", ["best_first", "mcts"])
async def test_an_engine_proposes_tactics_where_the_recipe_says_so(search):
    engine = Asked(PROPOSED, Completion("exact hp\nassumption", "stop"))
    given = context_of(Outcome.CORRECT, search=search, propose="engine", proposals=2)
    made = await search_with(replace(given, generate=engine), Toy)
    (tree,) = made.rows["trees"]
    assert tree["status"] == "solved"
    assert "sorry" not in json.dumps([made.rows["nodes"], made.rows["edges"]])
    assert "⊢ p ∧ (q ∨ p)" in engine.prompts[0]
    assert engine.paths[:2] == [(engine.paths[0][0], 0), (engine.paths[0][0], 1)]
    priors = {edge["action"]: edge["prior"] for edge in made.rows["edges"]}
    weight = math.exp(-0.1)
    assert priors["constructor"] == pytest.approx(math.log(weight / 2 / (1 + weight)))


async def test_an_engine_that_only_says_nonsense_proves_nothing_and_with_the_portfolio_it_is_proved():
    engine = Asked(Completion("I think that this is true.\nsorry", "stop"))
    for proposer, status in (("engine", "exhausted"), ("both", "solved")):
        given = context_of(Outcome.CORRECT, propose=proposer)
        made = await search_with(replace(given, generate=engine), Toy)
        assert made.rows["trees"][0]["status"] == status


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"search": "dfs"}, "no proof search 'dfs'"),
        ({"cals": 3}, "no parameter 'cals'"),
        ({"propose": "oracle"}, "nobody called 'oracle'"),
    ],
)
async def test_a_wrong_parameter_is_one_clear_error(given, said):
    with pytest.raises(UsageError, match=said):
        await search_with(context_of(Outcome.CORRECT, **given), Toy)


def test_its_parameters_are_known_before_anything_is_done():
    assert {"search", "finishing", "calls", "streams", "by", "iterations"} <= PARAMETERS["tactic_search"]
