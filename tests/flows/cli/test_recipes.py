"""Reading recipes: every mistake is named by its key, and nothing is guessed or repeated that may be a secret."""

from __future__ import annotations

from pathlib import Path

import pytest

from tracemill.flows.recipes import load_recipe, shipped, validated
from tracemill.schemas.errors import UsageError
from tracemill.schemas.recipe import ImportRecipe

RECIPE = """\
name: mine
problems:
  - {kind: file, path: p.jsonl}
  - {kind: file, path: q.jsonl}
strategy: {n: 2}
"""


@pytest.fixture
def recipe(tmp_path: Path) -> str:
    path = tmp_path / "mine.yaml"
    path.write_text(RECIPE)
    return str(path)


def refusal(name: str, *overrides: str) -> str:
    with pytest.raises(UsageError) as caught:
        load_recipe(name, overrides)
    assert caught.value.exit_code == 2
    return str(caught.value)


@pytest.mark.parametrize("name", shipped())
def test_every_shipped_recipe_is_valid(name: str) -> None:
    assert load_recipe(name).problems


def test_overrides_reach_nested_keys_and_list_items(recipe: str) -> None:
    loaded = load_recipe(recipe, ["strategy.n=8", "problems.1.path=r.jsonl", "sampling.stop=[a, b]", "limit=3"])
    assert (loaded.strategy.n, loaded.problems[1].path, loaded.sampling.stop, loaded.limit) == (
        8,
        "r.jsonl",
        ["a", "b"],
        3,
    )


def test_an_override_may_hold_an_equals_sign(recipe: str) -> None:
    assert load_recipe(recipe, ["template.user='{{problem}} 1+1=2'"]).template.user == "{{problem}} 1+1=2"


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("strategy.n=0", "strategy.n: must be greater than or equal to 1, not 0"),
        ("sampling.top_p=3", "sampling.top_p: must be less than or equal to 1, not 3"),
        ("strateggy.n=2", "strateggy: unknown key; did you mean strategy?"),
        ("sampling.temprature=1", "sampling.temprature: unknown key; did you mean temperature?"),
        ("problems.0.pth=x", "problems.0.pth: unknown key; did you mean path?"),
        ("engine.kind=vlm", "engine.kind: must be 'local', 'vllm'"),
        ("strategy.n=many", "'many'"),
        ("problems=[]", "problems:"),
        ("name=a b", "name:"),
        ("problems.7.path=x", "no item '7' in a list of 2"),
        ("strategy.n.x=1", "strategy.n holds a single value"),
        ("nonsense", "not key=value"),
        ("limit=[", "not YAML"),
    ],
)
def test_a_mistake_is_named_with_what_is_allowed(recipe: str, override: str, said: str) -> None:
    assert said in refusal(recipe, override)


def test_several_mistakes_are_told_at_once(recipe: str) -> None:
    said = refusal(recipe, "strategy.n=0", "sampling.top_p=3", "limit=0")
    assert all(key in said for key in ("strategy.n", "sampling.top_p", "limit"))


def test_many_mistakes_fit_on_one_screen(recipe: str) -> None:
    assert len(refusal(recipe, *(f"key{n}=1" for n in range(100))).splitlines()) <= 12


def test_the_value_of_an_unknown_key_is_not_repeated(recipe: str) -> None:
    assert "sk-planted" not in refusal(recipe, "engine.api_key=sk-planted")


def test_a_duplicate_key_is_refused_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "twice.yaml"
    path.write_text(RECIPE + "strategy: {n: 3}\n")
    assert f"{path}:6:1: duplicate key 'strategy'" in refusal(str(path))


@pytest.mark.parametrize(
    "text", ["name: [a\n", "- a\n", "", "name: !!python/object/apply:os.system [true]\n", "a: *b\n"]
)
def test_what_is_not_a_recipe_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    assert str(path) in refusal(str(path))


def test_a_near_miss_of_a_shipped_name_is_guessed() -> None:
    assert "did you mean 'demo'?" in refusal("dmeo")


def test_a_missing_file_is_said_to_be_missing() -> None:
    assert "no such file" in refusal("nowhere/x.yaml")


def test_import_recipes_are_validated_in_the_same_way() -> None:
    with pytest.raises(UsageError, match="files"):
        validated(ImportRecipe, {"name": "x", "files": [], "format": "openai"}, where="here")
