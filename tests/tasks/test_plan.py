"""Shards partition what is owed, in order, and their ids depend on their attempts alone."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from tracemill.schemas.recipe import Recipe
from tracemill.schemas.records import Policy, Problem
from tracemill.tasks.plan import SHARD_ATTEMPTS, Attempts, Owed, cut, shard_problems
from tracemill.tasks.template_library import build_template


def owed(problems: int, n: int) -> list[Owed]:
    made = [Problem(f"problem {index}", "answer", "test") for index in range(problems)]
    return [Owed(problem, index, f"a_{problem.problem_id}_{index}") for problem in made for index in range(n)]


@given(st.integers(0, 30), st.integers(1, 4), st.integers(1, 12))
def test_shards_partition_the_owed_attempts_in_order(problems: int, n: int, size: int) -> None:
    items = owed(problems, n)
    shards = list(cut(items, size))
    assert [item for shard in shards for item in shard.owed] == items
    assert all(len({item.problem.problem_id for item in shard.owed}) <= size for shard in shards)
    assert len({shard.shard_id for shard in shards}) == len(shards)


@given(st.integers(1, 20), st.integers(1, 6))
def test_whole_committed_shards_leave_the_other_shards_as_they_were(problems: int, size: int) -> None:
    items = owed(problems, 2)
    shards = list(cut(items, size))
    rest = [item for shard in shards[1:] for item in shard.owed]
    assert list(cut(rest, size)) == shards[1:]


def test_a_shard_is_bounded_where_a_problem_has_very_many_attempts() -> None:
    assert max(len(shard.owed) for shard in cut(owed(2, SHARD_ATTEMPTS + 5), 256)) <= SHARD_ATTEMPTS


def test_an_attempt_made_again_is_in_a_new_shard_each_time() -> None:
    items = owed(3, 1)
    ids = {next(cut(items, 256, {items[0].attempt_id}, invocation)).shard_id for invocation in (2, 3)}
    assert len(ids | {next(cut(items, 256)).shard_id}) == 3


def test_a_token_limit_is_no_part_of_an_attempt_and_a_seed_is(recipe_of: Callable[..., Recipe]) -> None:
    problem = Problem("What?", "answer", "test")

    def attempt(recipe: Recipe) -> str:
        attempts = Attempts.of(recipe, Policy("m", "e"), build_template(recipe.template))
        return attempts.attempt_id(problem, "0")

    base = attempt(recipe_of(max_tokens=10))
    assert attempt(recipe_of(max_tokens=99, n=7, limit=3)) == base
    assert attempt(recipe_of(sampling={"seed": 1})) != base
    assert attempt(recipe_of(round=1)) != base


def test_a_small_run_has_shards_enough_to_overlap_and_a_large_one_keeps_to_the_limit() -> None:
    assert [shard_problems(count, 256) for count in (1, 48, 284, 100_000)] == [8, 8, 36, 256]
    assert shard_problems(100_000, 40) == 40
