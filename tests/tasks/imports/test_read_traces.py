"""Every recorded attempt is a trace or a drop, ids repeat on a second import, and problems are found, made or told missing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tracemill.schemas.errors import DataError, UsageError
from tracemill.schemas.recipe import ImportRecipe
from tracemill.schemas.tables import schema_of
from tracemill.tasks.imports import Imported, read_traces
from tracemill.tasks.imports.collect import BATCH

Import = Callable[..., Imported]
Jsonl = Callable[..., str]


def row(**columns: Any) -> dict[str, Any]:
    return {"prompt": "Say seven.", "output": "7", "gold": "7", **columns}


def reasons(found: Imported) -> Counter[tuple[str, str]]:
    return Counter((drop.stage, drop.reason) for drop in found.drops)


def test_the_table_is_the_traces_table_and_every_row_its_own(imported: Import) -> None:
    found = imported([row(), row(), row(output="seven\n\n7")], "columns")
    assert found.traces.schema.equals(schema_of("traces"), check_metadata=True)
    traces = found.traces.to_pylist()
    assert len({trace["trace_id"] for trace in traces}) == 3
    assert [trace["sample_index"] for trace in traces] == [0, 1, 2]
    assert traces[0]["text_hash"] == traces[1]["text_hash"]
    assert {trace["kind"] for trace in traces} == {"imported"}
    assert "".join(traces[2]["text"][s["start"] : s["end"]] for s in traces[2]["steps"]) == "seven\n\n7"
    assert traces[2]["segmenter"] == "paragraph"


def test_importing_again_gives_equal_tables_from_any_folder(jsonl: Jsonl) -> None:
    rows = [row(), row(output="8", model="m"), row(prompt="Say eight.", gold="8")]
    first, second = (
        read_traces(ImportRecipe(name="t", files=[jsonl(rows, f"{folder}/rows.jsonl")], format="columns"))
        for folder in ("one", "two")
    )
    assert first.traces.equals(second.traces)
    assert first.problems == second.problems


def test_files_of_one_name_do_not_share_identities(jsonl: Jsonl) -> None:
    files = [jsonl([row()], f"{folder}/rows.jsonl") for folder in ("one", "two")]
    found = read_traces(ImportRecipe(name="t", files=files, format="columns"))
    assert len(set(found.traces["trace_id"].to_pylist())) == 2
    assert len(found.problems) == 1


def test_a_pattern_stands_for_its_files_and_a_file_counts_once(jsonl: Jsonl, tmp_path: Path) -> None:
    files = [jsonl([row()], name) for name in ("a.jsonl", "b.jsonl")]
    pattern = str(tmp_path / "*.jsonl")
    assert read_traces(ImportRecipe(name="t", files=[pattern], format="columns")).rows_in == 2
    with pytest.raises(UsageError, match="named twice"):
        read_traces(ImportRecipe(name="t", files=[*files, pattern], format="columns"))


def test_a_problem_is_found_by_its_sources_own_id(imported: Import) -> None:
    problems = [{"id": "q1", "prompt": "Say seven.", "gold": "7"}, {"id": "q2", "prompt": "Say eight.", "gold": "8"}]
    rows = [
        {"problem_id": "q2", "output": "8", "gold": "8"},
        {"problem_id": "q1", "output": "7", "gold": "9"},
        {"problem_id": "q3", "output": "1"},
    ]
    found = imported(rows, "columns", problems=problems)
    by_id = {problem.problem_id: problem for problem in found.problems}
    assert [by_id[i].prompt for i in found.traces["problem_id"].to_pylist()] == ["Say eight.", "Say seven."]
    assert reasons(found) == {("load", "gold_conflict"): 1, ("import", "unknown_problem"): 1}
    assert by_id[found.traces["problem_id"][1].as_py()].gold == "7"


def test_a_problem_is_found_by_its_prompt_too(imported: Import) -> None:
    problems = [{"id": "q1", "prompt": "Say  seven.", "gold": "7", "licence": "MIT"}]
    found = imported([row(gold=None)], "columns", problems=problems)
    [problem] = found.problems
    assert (problem.licence, problem.gold, found.drops) == ("MIT", "7", [])


def test_ids_of_two_problems_are_not_guessed_between(imported: Import, jsonl: Jsonl) -> None:
    problems = [{"id": "q", "prompt": "Say seven.", "gold": "7"}, {"id": "q", "prompt": "Say eight.", "gold": "8"}]
    rows = [{"problem_id": "q", "output": "8"}, {"problem_id": "x", "prompt": "Say nine.", "output": "9", "gold": "9"}]
    found = imported(rows, "columns", problems=problems)
    assert reasons(found) == {("import", "ambiguous_problem"): 1}


def test_rows_without_prompt_or_problem_are_an_error_that_says_what_to_name(imported: Import) -> None:
    with pytest.raises(
        DataError,
        match=r"none of 1 rows is a trace \(1 unknown_problem\)(.|\n)*--columns \(in a recipe: map\) prompt=COLUMN",
    ):
        imported([{"problem_id": "q", "output": "8"}], "columns")


def test_a_gold_that_one_row_lacks_comes_from_another(imported: Import) -> None:
    found = imported([row(gold=None), row()], "columns")
    assert [problem.gold for problem in found.problems] == ["7"]
    assert found.drops == []


def test_a_gold_written_otherwise_is_no_conflict(imported: Import) -> None:
    assert imported([row(gold="1,200"), row(gold="1200.0")], "columns").drops == []
    assert reasons(imported([row(gold="1200"), row(gold="12")], "columns")) == {("load", "gold_conflict"): 1}


def test_an_index_that_no_table_holds_is_a_drop(imported: Import) -> None:
    found = imported([row(), row(sample=2**40), row(runs={"a": 1})], "columns")
    assert reasons(found) == {("import", "bad_row"): 2}


def test_traces_without_a_gold_are_kept_and_set_apart_from_verification(imported: Import) -> None:
    found = imported([row(gold=""), row(prompt="Say eight.")], "columns")
    assert found.traces.num_rows == 2
    assert reasons(found) == {("verify", "no_gold"): 1}
    assert found.drops[0].subject_id == found.traces["trace_id"][0].as_py()


def test_kinds_whose_answer_needs_execution_are_kept_and_named(imported: Import) -> None:
    rows = [row(kind="cot"), row(kind="program"), row(kind="script")]
    found = imported(rows, "columns", map={"kind": "kind", "skip_kinds": "program, script"})
    assert found.kinds == {"cot": 1, "program": 1, "script": 1}
    assert reasons(found) == {("verify", "needs_execution"): 2}
    assert [drop.subject_id for drop in found.drops] == found.traces["trace_id"].to_pylist()[1:]
    assert found.traces["strategy"][0].as_py() == '{"file":"rows.jsonl","import":"columns","kind":"cot"}'


def test_who_wrote_a_trace_is_the_row_else_the_recipe_else_unknown(imported: Import) -> None:
    assert [p.model for p in imported([row(model="m")], "columns", model="r").policies] == ["m"]
    assert [p.model for p in imported([row()], "columns", model="r").policies] == ["r"]
    [policy] = imported([row()], "columns").policies
    assert (policy.model, policy.engine) == ("unknown", "import")


@pytest.mark.parametrize(
    ("value", "repeats"), [(3, 3), (["a", "b"], 2), ([], 1), (None, 1), (0, 1), ("2", 2), ("often", 1)]
)
def test_repeats_are_a_number_or_the_length_of_a_list(imported: Import, value: Any, repeats: int) -> None:
    assert imported([row(runs=value)], "columns").traces["repeats"].to_pylist() == [repeats]


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.fixed_dictionaries(
            {
                "prompt": st.sampled_from(["Say seven.", "Say eight.", "", None, [1]]),
                "output": st.one_of(st.none(), st.text(max_size=20), st.just("\ud800"), st.just([1, 2])),
                "gold": st.sampled_from(["7", "8", "", None, {"target": 1}]),
                "sample": st.sampled_from([0, "1", None, "x", float("inf"), 2**70, []]),
            }
        ),
        max_size=10,
    )
)
def test_rows_in_equals_traces_and_import_drops(imported: Import, rows: list[dict[str, Any]]) -> None:
    found = imported([row(), *rows], "columns")
    dropped = sum(drop.stage == "import" for drop in found.drops)
    assert found.rows_in == len(rows) + 1 == found.traces.num_rows + dropped
    assert len(set(found.traces["trace_id"].to_pylist())) == found.traces.num_rows
    held = {problem.problem_id for problem in found.problems}
    assert set(found.traces["problem_id"].to_pylist()) <= held
    keys = [(drop.subject_id, drop.stage, drop.reason) for drop in found.drops]
    assert len(set(keys)) == len(keys)


def test_a_folder_stands_for_its_data_files(jsonl: Jsonl, tmp_path: Path) -> None:
    for name in ("set/a.jsonl", "set/b/a.jsonl", "set/.cache/c.jsonl"):
        jsonl([row()], name)
    found = read_traces(ImportRecipe(name="t", files=[str(tmp_path / "set")], format="columns"))
    assert len(set(found.traces["trace_id"].to_pylist())) == found.rows_in == 2


def test_more_rows_than_a_batch_are_one_table_in_order(imported: Import) -> None:
    found = imported([row(output=str(n)) for n in range(BATCH + 3)], "columns")
    assert found.traces["text"].to_pylist() == [str(n) for n in range(BATCH + 3)]
    assert found.traces["sample_index"].to_pylist() == list(range(BATCH + 3))


def test_an_unknown_format_lists_the_known_ones(imported: Import) -> None:
    with pytest.raises(UsageError, match=r"did you mean 'openai'\?.*columns, math_shepherd, nemo, openai, openr1"):
        imported([row()], "open-ai")


def test_a_format_of_ones_own_is_a_function(jsonl: Jsonl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own_format.py").write_text(
        "from tracemill.tasks.imports.recorded import Recorded\n"
        "def pairs(rows, recipe):\n"
        "    for row in rows:\n"
        "        yield Recorded(row=row, path=str(row.number), text=row.values['a'], prompt=row.values['q'], gold='7')\n"
    )
    monkeypatch.chdir(tmp_path)
    found = read_traces(ImportRecipe(name="t", files=[jsonl([{"q": "Say 7.", "a": "7"}])], format="own_format:pairs"))
    assert found.traces["text"].to_pylist() == ["7"]


def test_a_missing_file_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"gone\.jsonl: no such file"):
        read_traces(ImportRecipe(name="t", files=[str(tmp_path / "gone.jsonl")], format="columns"))


def test_an_imported_trace_has_the_answer_that_it_says(imported: Import) -> None:
    found = imported([row(output="So \\boxed{7}."), row(output="I cannot say. " * 40)], "columns")
    assert found.traces["answer"].to_pylist() == ["7", None]
