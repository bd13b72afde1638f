"""The built-in mappings, on rows of our own in each known shape, and on the real sets where they are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from tracemill.schemas.errors import DataError, UsageError
from tracemill.schemas.recipe import SourceSpec
from tracemill.schemas.records import Problem
from tracemill.tasks.sources import load_problems
from tracemill.tasks.sources.math import last_boxed
from tracemill.tasks.sources.minif2f import statement_of

Jsonl = Callable[..., str]


def one(kind: str, path: str) -> Problem:
    [problem] = load_problems([SourceSpec(kind=kind, path=path)]).problems
    return problem


def test_gsm8k_takes_the_gold_from_its_mark(jsonl: Jsonl) -> None:
    row = {"question": "A crate holds 600 nuts. How many do two hold?", "answer": "600 * 2 = 1200\n#### 1,200"}
    problem = one("gsm8k", jsonl([row]))
    assert (problem.gold, problem.reference_solution) == ("1200", "600 * 2 = 1200")
    assert (problem.licence, problem.verifier, problem.split) == ("MIT", "answer", "train")


def test_gsm8k_takes_the_gold_from_its_own_column(jsonl: Jsonl) -> None:
    row = {"id": "x-1", "question": "Half of eight?", "answer": "4", "solution": "8 / 2 = 4\n#### 4"}
    problem = one("gsm8k", jsonl([row], "test.jsonl"))
    assert (problem.gold, problem.source_row, problem.split) == ("4", "x-1", "test")
    assert problem.reference_solution == row["solution"]


@pytest.mark.parametrize(
    ("name", "split"), [("train.jsonl", "train"), ("test5000.jsonl", "test"), ("math500.jsonl", "test")]
)
def test_math_takes_the_gold_from_the_last_box(jsonl: Jsonl, name: str, split: str) -> None:
    row = {
        "problem": "Halve $x$.",
        "solution": "First \\boxed{1}, then \\boxed{\\frac{x}{2}}.",
        "type": "Intermediate Algebra",
    }
    problem = one("math", jsonl([row], name))
    assert (problem.gold, problem.domain, problem.split) == ("\\frac{x}{2}", "math/intermediate_algebra", split)


@pytest.mark.parametrize(
    ("text", "inside"),
    [
        ("\\boxed{1} and \\boxed{ {a} b }", "{a} b"),
        ("\\boxed{\\{1, 2\\}}", "\\{1, 2\\}"),
        ("\\boxed{1", None),
        ("none", None),
    ],
)
def test_the_last_box_is_found_by_matching_braces(text: str, inside: str | None) -> None:
    assert last_boxed(text) == inside


def test_aqua_takes_the_letters_off_its_choices(jsonl: Jsonl) -> None:
    row = {"question": "Which is prime?", "options": ["A)4", "B) 5", "C)6"], "correct": "B", "rationale": "5 is."}
    problem = one("aqua", jsonl([row], "dev.jsonl"))
    assert (problem.choices, problem.gold, problem.split) == (("4", "5", "6"), "B", "validation")


def test_an_aqua_answer_that_is_no_choice_is_a_drop(jsonl: Jsonl) -> None:
    good = {"question": "Which is prime?", "options": ["A)4", "B)5"], "answer": "B"}
    loaded = load_problems([SourceSpec(kind="aqua", path=jsonl([good, {**good, "answer": "Q"}]))])
    assert [(drop.reason, drop.detail) for drop in loaded.drops] == [
        ("bad_row", "answer 'Q' is not the letter of one of 2 choices")
    ]


@pytest.mark.parametrize(("task", "split"), [(10, "train"), (11, "test"), (510, "test"), (511, "train")])
def test_mbpp_tasks_11_to_510_are_held_out(jsonl: Jsonl, task: int, split: str) -> None:
    row = {
        "task_id": task,
        "text": "Write a function that doubles.",
        "code": "def double(n): return 2 * n",
        "test_setup_code": "import math",
        "test_list": ["assert double(2) == 4"],
    }
    problem = one("mbpp", jsonl([row]))
    assert problem.spec == {"tests": ["assert double(2) == 4"], "setup": "import math"}
    assert (problem.verifier, problem.split) == ("code", split)
    assert "assert double(2) == 4" in problem.prompt


def test_humaneval_is_a_test_set_and_runs_its_check(jsonl: Jsonl) -> None:
    row = {
        "task_id": "X/0",
        "prompt": "def one():\n",
        "entry_point": "one",
        "canonical_solution": "    return 1\n",
        "test": "def check(candidate):\n    assert candidate() == 1\n",
    }
    problem = one("humaneval", jsonl([row]))
    assert problem.spec == {"tests": row["test"], "entry_point": "one"}
    assert (problem.verifier, problem.split, problem.gold) == ("code", "test", None)


def test_minif2f_parts_a_file_into_header_and_statement(jsonl: Jsonl) -> None:
    lean = "import Mathlib\n\nopen Nat\n\ntheorem two_le (n : Nat) (h : n = 2) :\n  2 <= n := by sorry"
    problem = one("minif2f", jsonl([{"name": "two_le", "split": "valid", "lean": lean}]))
    assert problem.spec == {
        "header": "import Mathlib\n\nopen Nat",
        "statement": "theorem two_le (n : Nat) (h : n = 2) :\n  2 <= n",
    }
    assert (problem.verifier, problem.split, problem.source_row) == ("lean", "validation", "two_le")


@pytest.mark.parametrize("body", [":= by sorry", ":= sorry", ":= by\n  sorry\n", ":=", ":= by"])
def test_a_lean_statement_goes_without_its_body(body: str) -> None:
    assert statement_of(f"theorem a : (fun x := x) 1 = 1 {body}")[1] == "theorem a : (fun x := x) 1 = 1"


def test_code_contests_has_cases_in_either_form(jsonl: Jsonl) -> None:
    cases = {"input": ["1 2\n"], "output": ["3\n"]}
    row = {
        "name": "sum",
        "description": "Add.",
        "public_tests": cases,
        "private_tests": {"input": ["2 2\n"], "output": ["4\n"]},
        "generated_tests": {"input": [], "output": []},
        "time_limit": {"seconds": 1, "nanos": 500_000_000},
        "solutions": {"language": [2, 3], "solution": ["int main", "print(sum(map(int, input().split())))"]},
    }
    problem = one("code_contests", jsonl([row]))
    assert problem.verifier == "code"
    assert problem.spec == {"cases": [["1 2\n", "3\n"], ["2 2\n", "4\n"]], "time_limit": 1.5}
    assert problem.reference_solution == "print(sum(map(int, input().split())))"
    short = one("code_contests", jsonl([{"problem": "Add.", "tests": {"inputs": ["1\n"], "outputs": ["1\n"]}}]))
    assert short.spec == {"cases": [["1\n", "1\n"]]}


@pytest.mark.parametrize("kind", ["gsm8k", "math", "aqua", "mbpp", "humaneval", "code_contests", "minif2f"])
def test_a_column_that_a_shape_needs_and_the_file_lacks_is_an_error(jsonl: Jsonl, kind: str) -> None:
    path = jsonl([{"other": "x"}])
    with pytest.raises(DataError, match=r"row 1, column '.*\n.*the row has: other") as caught:
        load_problems([SourceSpec(kind=kind, path=path)])
    assert path in str(caught.value)


def test_a_known_shape_takes_no_map(jsonl: Jsonl) -> None:
    with pytest.raises(UsageError, match="takes no map"):
        load_problems([SourceSpec(kind="gsm8k", path=jsonl([{"q": "x"}]), map={"prompt": "q"})])


def test_a_column_that_a_later_row_lacks_is_a_drop(jsonl: Jsonl) -> None:
    path = jsonl([{"question": "One?", "answer": "1"}, {"question": "Two?"}])
    loaded = load_problems([SourceSpec(kind="gsm8k", path=path)])
    assert [(drop.subject_id, drop.reason) for drop in loaded.drops] == [("rows.jsonl:2", "bad_row")]


@pytest.mark.parametrize(
    ("kind", "name", "rows", "splits", "dropped"),
    [
        ("gsm8k", "gsm8k/test.jsonl.gz", 1319, {"test": 1319}, {}),
        ("math", "math/math500.jsonl.gz", 500, {"test": 500}, {}),
        ("math", "math/train_answers.jsonl.gz", 7474, {"train": 7469}, {"empty_gold": 4, "duplicate_problem": 1}),
        ("aqua", "aqua/dev_test.jsonl.gz", 508, {"test": 254, "validation": 254}, {}),
        ("mbpp", "mbpp/full974.jsonl.gz", 974, {"test": 500, "train": 474}, {}),
        ("humaneval", "humaneval/problems.jsonl.gz", 164, {"test": 164}, {}),
        ("code_contests", "code_contests/rllm_test.jsonl.gz", 165, {"train": 165}, {}),
        ("minif2f", "minif2f_lean4/statements.jsonl.gz", 488, {"test": 244, "validation": 244}, {}),
        ("file", "gsm_hard/test.jsonl.gz", 1319, {"train": 1319}, {}),
    ],
)
def test_real_sets_load_whole(
    shared: Callable[[str], str], kind: str, name: str, rows: int, splits: dict[str, int], dropped: dict[str, int]
) -> None:
    loaded = load_problems([SourceSpec(kind=kind, path=shared(name))])
    assert loaded.rows_in == rows == len(loaded.problems) + len(loaded.drops)
    assert Counter(problem.split for problem in loaded.problems) == splits
    assert Counter(drop.reason for drop in loaded.drops) == dropped
    largest = Counter(problem.cluster_id for problem in loaded.problems).most_common(1)[0][1]
    assert largest <= 10


def as_dict(problem: Problem) -> dict[str, Any]:
    return problem.row()


def test_rows_fit_the_problems_table(jsonl: Jsonl) -> None:
    import pyarrow as pa

    from tracemill.schemas.tables import schema_of

    problem = one("gsm8k", jsonl([{"question": "Half of \ud800 eight?", "answer": "4"}]))
    assert pa.Table.from_pylist([as_dict(problem)], schema=schema_of("problems")).num_rows == 1
