"""A puzzle's spec rebuilds its entry, and wrong families and options are refused with the right ones."""

from __future__ import annotations

import pytest
from reasoning_gym.factory import create_dataset

from tracemill.schemas.errors import UsageError
from tracemill.schemas.recipe import SourceSpec
from tracemill.tasks.sources import load_problems

OPTIONS = {"min_terms": 2, "max_terms": 3}


def test_a_puzzle_is_rebuilt_from_its_spec() -> None:
    loaded = load_problems([SourceSpec(kind="reasoning_gym", family="chain_sum", size=20, seed=3, options=OPTIONS)])
    for problem in loaded.problems:
        spec = problem.spec
        assert set(spec) == {"family", "options", "seed", "index", "size"}
        entry = create_dataset(spec["family"], size=spec["size"], seed=spec["seed"], **spec["options"])[spec["index"]]
        assert (problem.prompt, problem.gold) == (entry["question"], entry["answer"])
        assert (problem.domain, problem.verifier, problem.licence) == ("puzzle/chain_sum", "puzzle", "Apache-2.0")
        assert problem.source_row == f"chain_sum:{spec['index']}"


def test_one_question_is_one_puzzle_whatever_index_made_it() -> None:
    options = {"min_terms": 2, "max_terms": 2, "min_digits": 1, "max_digits": 1}
    specs = [
        SourceSpec(kind="reasoning_gym", family="chain_sum", size=200, seed=seed, options=options) for seed in (1, 2)
    ]
    loaded = load_problems(specs)
    assert loaded.rows_in == 400 == len(loaded.problems) + len(loaded.drops)
    assert {drop.reason for drop in loaded.drops} == {"duplicate_problem"}
    assert len({problem.prompt for problem in loaded.problems}) == len(loaded.problems)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"family": "chainsum"}, "did you mean chain_sum"),
        ({}, "needs a family"),
        ({"family": "chain_sum", "options": {"terms": 2}}, "min_terms, max_terms"),
        ({"family": "chain_sum", "options": {"min_terms": -1}}, "min_terms must be positive"),
    ],
)
def test_a_wrong_family_or_option_is_a_usage_error(settings: dict[str, object], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        load_problems([SourceSpec(kind="reasoning_gym", size=2, **settings)])  # type: ignore[arg-type]
