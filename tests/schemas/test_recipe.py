"""A recipe refuses what it does not understand, and each of its keys is of the identity or tunable."""

from __future__ import annotations

import pytest
from pydantic import BaseModel, ValidationError

from tracemill.schemas.recipe import ImportRecipe, Recipe

IDENTITY = {
    "name",
    "problems",
    "round",
    "engine.kind",
    "engine.model",
    "engine.revision",
    "engine.dtype",
    "engine.licence",
    "engine.simulation",
    "template.name",
    "template.user",
    "template.system",
    "template.route",
    "template.shots",
    "template.prefill",
    "sampling.temperature",
    "sampling.top_p",
    "sampling.top_k",
    "sampling.min_p",
    "sampling.presence_penalty",
    "sampling.frequency_penalty",
    "sampling.stop",
    "sampling.logprobs",
    "sampling.seed",
    "strategy.kind",
    "strategy.parameters",
}


def recipe(**changes):
    return Recipe.model_validate({"name": "r", "problems": [{"kind": "gsm8k"}], **changes})


def leaves(value, path=""):
    if path in ("problems", "engine.simulation", "strategy.parameters", "template.shots") or not isinstance(
        value, dict
    ):
        return {path}
    return {leaf for key, item in value.items() for leaf in leaves(item, f"{path}.{key}" if path else key)}


def test_the_identity_is_exactly_what_decides_the_attempts():
    assert leaves(recipe().identity()) == IDENTITY


@pytest.mark.parametrize(
    "change",
    [
        {"sampling": {"max_tokens": 7}},
        {"strategy": {"n": 8}},
        {"limit": 3},
        {"shard_size": 5},
        {"shards_in_flight": 9},
        {"baseline": False},
        {"mining": {"beta": 2.0}},
        {"budget": {"usd": 1.0}},
        {"views": {"cap": 3}},
        {"verifiers": [{"kind": "answer"}]},
        {"verifier_workers": 2},
        {"orchestrator": "none"},
        {"engine": {"concurrency": 9, "base_url": "http://127.0.0.1:1/v1", "retries": 0, "threads": 2}},
    ],
)
def test_a_tunable_change_is_the_same_run(change):
    assert recipe(**change).identity_hash == recipe().identity_hash
    assert recipe(**change).recipe_hash != recipe().recipe_hash


@pytest.mark.parametrize(
    "change",
    [
        {"name": "other"},
        {"problems": [{"kind": "gsm8k", "split": "test"}]},
        {"round": 1},
        {"engine": {"model": "m"}},
        {"engine": {"kind": "simulated", "simulation": {"success": 0.5}}},
        {"template": {"system": "Be brief."}},
        {"template": {"shots": [["q", "a"]]}},
        {"sampling": {"temperature": 0.9}},
        {"sampling": {"seed": 1}},
        {"sampling": {"stop": ["\n"]}},
        {"strategy": {"kind": "star"}},
        {"strategy": {"parameters": {"depth": 1}}},
    ],
)
def test_an_identity_change_is_another_run(change):
    assert recipe(**change).identity_hash != recipe().identity_hash


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"temprature": 1}, ("temprature",)),
        ({"sampling": {"n": 3}}, ("sampling", "n")),
        ({"problems": [{"kind": "gsm8k", "sizes": 1}]}, ("problems", 0, "sizes")),
        ({"problems": []}, ("problems",)),
        ({"limit": "many"}, ("limit",)),
        ({"limit": 0}, ("limit",)),
        ({"strategy": {"n": 0}}, ("strategy", "n")),
        ({"sampling": {"top_p": 3}}, ("sampling", "top_p")),
        ({"sampling": {"temperature": -1}}, ("sampling", "temperature")),
        ({"sampling": {"max_tokens": 0}}, ("sampling", "max_tokens")),
        ({"engine": {"kind": "abacus"}}, ("engine", "kind")),
        ({"name": "../up"}, ("name",)),
        ({"views": {"pass_rate": [0.9, 0.1]}}, ("views",)),
    ],
)
def test_what_makes_no_sense_is_refused_at_its_key(change, where):
    with pytest.raises(ValidationError) as refused:
        recipe(**change)
    assert where in {error["loc"][: len(where)] for error in refused.value.errors()}


def test_greedy_sampling_of_several_is_refused():
    with pytest.raises(ValidationError, match="temperature 0"):
        recipe(sampling={"temperature": 0}, strategy={"n": 2})
    assert recipe(sampling={"temperature": 0}, strategy={"n": 1}).strategy.n == 1


@pytest.mark.parametrize("model", [Recipe, ImportRecipe])
def test_recipes_survive_json_and_cannot_be_changed(model: type[BaseModel]):
    first = recipe() if model is Recipe else ImportRecipe(name="i", files=["f"], format="openai")
    assert model.model_validate_json(first.model_dump_json()) == first
    assert model.model_validate(first.model_dump(mode="json")) == first
    with pytest.raises(ValidationError):
        first.name = "other"


@pytest.mark.parametrize(
    "engine", [{"environment": {"HF_TOKEN": "x"}}, {"arguments": ["--api-key=x"]}, {"environment": {"MY_SECRET": "x"}}]
)
def test_a_secret_is_refused_where_it_would_be_stored_and_published(engine):
    with pytest.raises(ValidationError, match="secret"):
        Recipe.model_validate({"name": "r", "problems": [{"kind": "gsm8k"}], "engine": engine})
