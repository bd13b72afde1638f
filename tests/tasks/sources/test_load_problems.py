"""Rows in = problems + drops, each problem once, and an error that names file, row and column where a mapping is wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tracemill.schemas.errors import DataError, UsageError
from tracemill.schemas.recipe import SourceSpec
from tracemill.schemas.records import Drop, Problem
from tracemill.tasks.sources import Loaded, load_problems

Jsonl = Callable[..., str]


def from_file(path: str, **settings: Any) -> Loaded:
    return load_problems([SourceSpec(kind="file", path=path, **settings)])


def reasons(loaded: Loaded) -> dict[str, str]:
    return {drop.subject_id: drop.reason for drop in loaded.drops}


def test_the_usual_names_of_columns_need_no_map(jsonl: Jsonl) -> None:
    row = {"id": 7, "question": "What is 2 + 2?", "answer": 4.0, "solution": "Two and two.", "license": "MIT"}
    [problem] = from_file(jsonl([row])).problems
    assert (problem.prompt, problem.gold, problem.verifier) == ("What is 2 + 2?", "4", "answer")
    assert (problem.source_row, problem.licence, problem.reference_solution) == ("7", "MIT", "Two and two.")
    assert (problem.cluster_id, problem.source) == (problem.problem_id, "rows.jsonl")


def test_a_map_leads_to_any_column_nested_ones_and_the_verifiers_inputs(jsonl: Jsonl) -> None:
    row = {"task": {"text": "Make 24."}, "nums": [1, 2, 3, 4], "goal": 24, "kind_of_task": "puzzles"}
    columns = {"prompt": "task.text", "spec.numbers": "nums", "spec.target": "goal", "domain": "kind_of_task"}
    [problem] = from_file(jsonl([row]), map=columns, verifier="countdown").problems
    assert problem.prompt == "Make 24."
    assert problem.spec == {"numbers": [1, 2, 3, 4], "target": 24}
    assert (problem.domain, problem.verifier) == ("puzzles", "countdown")


def test_a_prompt_of_messages_is_what_the_user_says(jsonl: Jsonl) -> None:
    turns = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "How many legs has an ant?"}]
    row = {"prompt": turns, "reward_model": {"ground_truth": "6"}}
    [problem] = from_file(jsonl([row])).problems
    assert (problem.prompt, problem.gold) == ("How many legs has an ant?", "6")


def test_choices_are_kept_and_tell_problems_apart(jsonl: Jsonl) -> None:
    rows = [{"question": "Which is even?", "options": options, "answer": "A"} for options in (["2", "3"], ["4", "5"])]
    first, second = from_file(jsonl(rows)).problems
    assert first.choices == ("2", "3")
    assert first.problem_id != second.problem_id


def test_every_bad_row_is_a_drop_with_its_reason(jsonl: Jsonl) -> None:
    path = jsonl(
        [
            {"id": "kept", "prompt": "One?", "gold": "1"},
            {"id": "no-prompt", "prompt": "  ", "gold": "1"},
            {"id": "no-gold", "prompt": "Two?", "gold": ""},
            {"id": "nan", "prompt": "Three?", "gold": float("nan")},
            {"id": "again", "prompt": "One?\n", "gold": "1"},
            {"id": "conflict", "prompt": "One?", "gold": "2"},
            {"id": "list", "prompt": "Four?", "gold": ["1", "2"]},
        ]
    )
    with open(path, "a") as file:
        file.write("{broken\n")
    loaded = from_file(path)
    assert [problem.source_row for problem in loaded.problems] == ["kept"]
    assert reasons(loaded) == {
        "no-prompt": "empty_prompt",
        "no-gold": "empty_gold",
        "nan": "empty_gold",
        "again": "duplicate_problem",
        "conflict": "gold_conflict",
        "rows.jsonl:7": "bad_row",
        "rows.jsonl:8": "bad_row",
    }
    assert {drop.stage for drop in loaded.drops} == {"load"}
    assert loaded.rows_in == 8
    assert loaded.ids["again"] == loaded.ids["kept"] == loaded.problems[0].problem_id


def test_inputs_that_json_cannot_hold_are_a_drop(jsonl: Jsonl) -> None:
    rows = [{"prompt": "One?", "x": 1.5}, {"prompt": "Two?", "x": float("nan")}]
    loaded = from_file(jsonl(rows), map={"spec.x": "x"}, verifier="countdown")
    assert reasons(loaded) == {"rows.jsonl:2": "bad_row"}


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.lists(
        st.fixed_dictionaries(
            {
                "prompt": st.sampled_from(["One?", "Two?", "", " One? "]),
                "gold": st.sampled_from(["1", "2", "", None, [1, 2]]),
            }
        ),
        min_size=1,
        max_size=12,
    )
)
def test_rows_in_equals_problems_and_drops(jsonl: Jsonl, rows: list[dict[str, Any]]) -> None:
    try:
        loaded = from_file(jsonl([{"prompt": "Always there?", "gold": "yes"}, *rows]))
    except DataError as error:  # pragma: no cover - a failure worth reading
        pytest.fail(str(error))
    assert loaded.rows_in == len(rows) + 1 == len(loaded.problems) + len(loaded.drops)
    assert len({problem.problem_id for problem in loaded.problems}) == len(loaded.problems)


def test_a_problem_that_any_source_holds_out_is_held_out(jsonl: Jsonl) -> None:
    row = {"question": "A shared question, word for word?", "answer": "1"}
    train, test = jsonl([row], "train.jsonl"), jsonl([row], "test.jsonl")
    loaded = load_problems([SourceSpec(kind="gsm8k", path=train), SourceSpec(kind="gsm8k", path=test)])
    assert [problem.split for problem in loaded.problems] == ["test"]
    assert [drop.reason for drop in loaded.drops] == ["duplicate_problem"]


def test_one_id_on_two_problems_leads_to_neither(jsonl: Jsonl) -> None:
    rows = [{"id": 1, "prompt": "One?", "gold": "1"}]
    other = [{"id": 1, "prompt": "Two?", "gold": "2"}]
    specs = [
        SourceSpec(kind="file", path=jsonl(rows, "a.jsonl")),
        SourceSpec(kind="file", path=jsonl(other, "b.jsonl")),
    ]
    assert load_problems(specs).ids == {"1": None}


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"gold": "anwser"}, ["row 1", "column 'anwser'", "did you mean 'answer'?", "question, answer"]),
        ({"prompt": "task.text"}, ["row 1", "column 'task.text'"]),
    ],
)
def test_a_mapped_column_that_is_not_there_names_file_row_and_column(
    jsonl: Jsonl, columns: dict[str, str], said: list[str]
) -> None:
    path = jsonl([{"question": "One?", "answer": "1"}])
    with pytest.raises(DataError) as caught:
        from_file(path, map=columns)
    for words in [path, *said]:
        assert words in str(caught.value)


def test_a_file_without_a_prompt_column_says_what_was_tried(jsonl: Jsonl) -> None:
    with pytest.raises(DataError, match=r"no column for 'prompt' \(tried prompt, question, problem.*\n.*text, label"):
        from_file(jsonl([{"text": "One?", "label": "1"}]))


def test_a_map_key_that_is_not_ours_is_a_usage_error(jsonl: Jsonl) -> None:
    with pytest.raises(UsageError, match="did you mean 'prompt'"):
        from_file(jsonl([{"q": "One?"}]), map={"promt": "q"})


def test_a_file_whose_every_row_is_dropped_is_an_error_with_the_reasons(jsonl: Jsonl) -> None:
    with pytest.raises(DataError, match=r"all 2 rows were dropped \(1 empty_gold, 1 empty_prompt\)"):
        from_file(jsonl([{"prompt": "One?", "gold": ""}, {"prompt": "", "gold": "1"}]))


def test_a_split_selects_rows_that_name_theirs_and_is_given_to_rows_that_do_not(jsonl: Jsonl) -> None:
    rows = [{"prompt": f"{name}?", "gold": "1", "split": name} for name in ("train", "test", "dev")]
    path = jsonl(rows)
    assert [(p.prompt, p.split) for p in from_file(path).problems] == [
        ("train?", "train"),
        ("test?", "test"),
        ("dev?", "validation"),
    ]
    assert [p.prompt for p in from_file(path, split="dev").problems] == ["dev?"]
    bare = jsonl([{"prompt": "One?", "gold": "1"}], "bare.jsonl")
    assert [p.split for p in from_file(bare, split="test").problems] == ["test"]
    with pytest.raises(DataError, match="dev, test, train"):
        from_file(path, split="nope")


def test_a_folder_is_read_by_the_splits_in_its_file_names(jsonl: Jsonl, tmp_path: Path) -> None:
    jsonl([{"prompt": "One?", "gold": "1"}], "set/train-00000.jsonl")
    jsonl([{"prompt": "Two?", "gold": "2"}], "set/test-00000.jsonl")
    folder = str(tmp_path / "set")
    assert {p.prompt: p.split for p in from_file(folder).problems} == {"One?": "train", "Two?": "test"}
    assert [p.prompt for p in from_file(folder, split="test").problems] == ["Two?"]
    with pytest.raises(DataError, match=r"test-00000\.jsonl, train-00000\.jsonl"):
        from_file(folder, split="validation")


def test_an_unknown_source_lists_the_known_ones() -> None:
    with pytest.raises(UsageError, match=r"did you mean 'gsm8k'\?.*reasoning_gym.*module:function"):
        load_problems([SourceSpec(kind="gsm8")])


def test_a_source_of_ones_own_is_a_function(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own_source.py").write_text(
        "from tracemill.schemas.records import Drop, Problem\n"
        "def numbers(spec):\n"
        "    for n in range(spec.size):\n"
        "        yield Problem(prompt=f'Say {n}.', verifier='answer', source='own', gold=str(n))\n"
        "    yield Drop('last', 'load', 'bad_row')\n"
        "def wrong(spec):\n"
        "    yield {'prompt': 'Say 1.'}\n"
        "def none(spec):\n"
        "    return []\n"
    )
    monkeypatch.chdir(tmp_path)
    loaded = load_problems([SourceSpec(kind="own_source:numbers", size=3)])
    assert ([p.gold for p in loaded.problems], len(loaded.drops), loaded.rows_in) == (["0", "1", "2"], 1, 4)
    with pytest.raises(DataError, match="gave a dict, not a Problem"):
        load_problems([SourceSpec(kind="own_source:wrong")])
    with pytest.raises(DataError, match="gave no rows"):
        load_problems([SourceSpec(kind="own_source:none")])


def test_problems_come_in_the_order_of_their_rows(jsonl: Jsonl) -> None:
    def prompts() -> Iterator[str]:
        path = jsonl([{"prompt": f"Number {n}?", "gold": str(n)} for n in range(150)])
        return (problem.prompt for problem in from_file(path).problems)

    assert list(prompts()) == [f"Number {n}?" for n in range(150)]


def test_records_of_a_plugin_count_like_any_other() -> None:
    assert isinstance(Drop("x", "load", "bad_row"), Drop)
    assert Problem("One?", "answer", "own").problem_id == Problem("One? ", "answer", "other").problem_id
