"""What the views hold, and why the rest is not in them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from tracemill.schemas.errors import StoreError, UsageError
from tracemill.schemas.recipe import ViewsSpec
from tracemill.schemas.tables import schema_of
from tracemill.tasks.queries import connect
from tracemill.tasks.store import RunStore
from tracemill.tasks.templates import Template
from tracemill.tasks.views import build_views, current_drops_files
from tracemill.tasks.views.write import Generation, view_files


def spec(**changes: Any) -> ViewsSpec:
    return ViewsSpec.model_validate(changes)


def test_sft_holds_only_traces_that_a_rule_verifier_called_correct(maker, problem_of, view, reasons) -> None:
    run = maker.start()
    attempts = [
        {"text": "good", "outcome": "correct"},
        {"text": "bad", "outcome": "incorrect"},
        {"text": "hung", "outcome": "timeout"},
        {"text": "ours", "outcome": "error"},
        {"text": "odd", "outcome": "unparsed"},
        {"text": "unknown"},
        {"text": "liked", "outcome": "correct", "level": "learned"},
        {"text": "split", "outcome": "correct", "verdicts": [("second", "incorrect", "rule")]},
        {"text": "cut", "outcome": "correct", "finish_reason": "length"},
        {"text": "", "finish_reason": "error", "error": "500"},
        {"text": "", "outcome": "incorrect"},
        {"text": "short", "outcome": "correct", "drop": ("sample", "superseded")},
        {"text": "program", "drop": ("verify", "needs_execution")},
    ]
    found = maker.add(run, problem_of(), attempts)
    build_views(run, spec())
    assert [row["trace_id"] for row in view(run, "sft")["train"]] == [found[0]]
    assert [reasons(run, "sft").get(trace) for trace in found[1:]] == [
        "incorrect", "timeout", "verifier_error", "unparsed", "unverified", "unverified", "disputed", "truncated",
        "error", "empty", "superseded", "needs_execution",
    ]  # fmt: skip
    everything = {row["trace_id"] for row in view(run, "all")["train"]}
    assert everything == set(found) - {found[11]}
    mixed = {row["trace_id"]: row["verdict"] for row in view(run, "unverified_mix")["train"]}
    assert set(mixed) == {found[i] for i in (0, 1, 2, 3, 4, 5, 6, 7, 12)}
    assert mixed[found[7]] == "disputed"
    assert mixed[found[6]] is None


def test_messages_are_the_template_of_the_problem_and_the_trace(maker, problem_of, view) -> None:
    run, problem = maker.start(), problem_of()
    maker.add(run, problem, [("so 7</think>", "correct")])
    build_views(run, spec())
    row = view(run, "sft")["train"][0]
    assert row["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": f"{problem.prompt}\n\nThink."},
        {"role": "assistant", "content": "<think>so 7</think>"},
    ]
    assert (row["model"], row["verifier"], row["gold"], row["licence"], row["pass_rate"]) == (
        "tiny-model", "answer", "7", "cc0-1.0", 1.0,
    )  # fmt: skip


def test_a_template_that_needs_more_than_the_problem_drops_its_rows_alone(maker, problem_of, view, reasons) -> None:
    run, asking = maker.start(), Template("custom", user="{{problem}} {{draft}}")
    run.commit("template", "t", {"templates": pa.Table.from_pylist([asking.row()], schema=schema_of("templates"))})
    needs = {"text": "1+1=2", "outcome": "correct", "template_id": asking.template_id}
    lost, kept = maker.add(run, problem_of(), [needs, ("2+2=4", "correct")])
    maker.add(run, problem_of(1), [needs])
    build_views(run, spec())
    for name in ("sft", "all", "unverified_mix"):
        assert [row["trace_id"] for row in view(run, name)["train"]] == [kept]
        assert reasons(run, name)[lost] == "prompt_needs_variables"
    asked = {row["problem_id"]: row for row in view(run, "rl")["train"]}
    assert len(asked) == 2
    assert asked[problem_of(1).problem_id]["template_id"] is None
    assert asked[problem_of(1).problem_id]["prompt"] == [{"role": "user", "content": problem_of(1).prompt}]


def test_an_imported_conversation_keeps_its_earlier_turns(maker, problem_of, view) -> None:
    run = maker.start()
    turns = [
        {"role": "user", "content": "hello"},
        {"role": "assistant", "content": "hi"},
        {"role": "user", "content": "3+4?"},
        {"role": "assistant", "content": "7"},
        {"role": "user", "content": "thanks"},
    ]
    attempt = {"text": "<think>add</think>7", "outcome": "correct", "kind": "imported", "messages": turns}
    maker.add(run, problem_of(), [attempt])
    build_views(run, spec())
    said = view(run, "sft")["train"][0]["messages"]
    assert [m["content"] for m in said] == ["hello", "hi", "3+4?", "<think>add</think>7"]


def test_rationalised_traces_have_a_split_of_their_own(maker, problem_of, view) -> None:
    run = maker.start()
    attempts = [{"text": "first", "outcome": "correct"}, {"text": "told", "outcome": "correct", "kind": "rationalised"}]
    plain, told = maker.add(run, problem_of(), attempts)
    build_views(run, spec())
    rows = view(run, "sft")
    assert [r["trace_id"] for r in rows["train"]] == [plain]
    assert [r["trace_id"] for r in rows["rationalised"]] == [told]


def test_test_problems_and_their_near_duplicates_stay_out(maker, problem_of, view, reasons) -> None:
    run = maker.start()
    held = maker.add(run, problem_of(1, split="test", cluster_id="c"), [("a", "correct")])
    near = maker.add(run, problem_of(2, cluster_id="c"), [("b", "correct")])
    free = maker.add(run, problem_of(3, cluster_id="d"), [("c", "correct")])
    build_views(run, spec())
    for name in ("sft", "all", "unverified_mix"):
        assert [row["trace_id"] for row in view(run, name)["train"]] == free
        assert reasons(run, name) == {held[0]: "test_split", near[0]: "near_test_split"}
    assert len(view(run, "rl")["train"]) == 1
    build_views(run, spec(include_test=True))
    rows = view(run, "sft")
    assert {row["trace_id"] for row in rows["test"]} == {*held, *near}
    assert [row["trace_id"] for row in rows["train"]] == free


def test_the_cap_keeps_different_reasoning(maker, problem_of, view, reasons) -> None:
    run = maker.start()
    texts = ["3+4=7 fine", "so 3 + 4 = 7, then", "4+3=7", "1+6=7 and more", "2+5=7"]
    found = maker.add(run, problem_of(), [(text, "correct") for text in texts])
    build_views(run, spec(cap=3))
    kept = {row["trace_id"] for row in view(run, "sft")["train"]}
    why = reasons(run, "sft")
    assert len(kept) == 3
    assert len(kept & {found[0], found[1]}) <= 1
    assert sorted(why.values()) == ["duplicate_reasoning", "over_cap"]
    assert len(view(run, "all")["train"]) == 5


def test_rl_says_how_often_which_policy_solved_a_problem(maker, problem_of, view, reasons) -> None:
    run = maker.start()
    maker.add(run, problem_of(1), [("a", "correct"), ("b", "incorrect"), ("c", "incorrect"), ("d", "error")])
    easy, untried, goldless = problem_of(2), problem_of(3), problem_of(4, gold=None)
    maker.add(run, easy, [("a", "correct")])
    maker.add(run, untried, [])
    maker.add(run, goldless, [])
    build_views(run, spec(pass_rate=(0.2, 0.8)))
    (row,) = view(run, "rl")["train"]
    assert (row["n"], row["c"], row["pass_rate"], row["model"]) == (3, 1, pytest.approx(1 / 3), "tiny-model")
    assert row["prompt"][-1]["role"] == "user"
    assert reasons(run, "rl") == {
        easy.problem_id: "pass_rate_too_high",
        untried.problem_id: "no_pass_rate",
        goldless.problem_id: "no_gold",
    }


def test_every_trace_is_in_a_view_or_has_one_reason(maker, problem_of, view, reasons) -> None:
    run = maker.start()
    for number in range(4):
        maker.add(run, problem_of(number), [(f"2+2=4 {i}", ["correct", "incorrect"][i % 2]) for i in range(6)])
    funnels = build_views(run, spec(cap=1))
    for funnel in funnels:
        name = funnel.stage.removeprefix("view:")
        inside = [row for rows in view(run, name).values() for row in rows]
        assert funnel.rows_in == len(inside) + len(reasons(run, name)) == funnel.rows_out + sum(funnel.dropped.values())


def test_a_view_without_rows_has_its_files(maker, view) -> None:
    run = maker.start()
    build_views(run, spec(validation=0.5))
    assert view(run, "sft") == {"train": [], "validation": []}
    assert view(run, "rl") == {"train": [], "validation": []}


def test_building_again_without_a_change_does_nothing(maker, problem_of) -> None:
    run = maker.start()
    maker.add(run, problem_of(), [("a", "correct")])
    first = build_views(run, spec())
    paths = {path: (run_path(run, path).stat().st_ino) for files in view_files(run.path).values() for path in files}
    assert build_views(run, spec()) == first
    assert paths == {path: run_path(run, path).stat().st_ino for path in paths}
    assert len(run.commits("views")) == 1


def run_path(run: RunStore, name: str) -> Path:
    return Path(run.path) / name


def test_only_the_newest_build_counts_also_when_an_old_one_comes_back(maker, problem_of) -> None:
    run = maker.start()
    maker.add(run, problem_of(), [("1+1=2", "correct"), ("2+2=4", "correct"), ("no", "incorrect")])
    for cap, dropped in ((1, 2), (2, 1), (1, 2)):
        build_views(run, spec(cap=cap, names=["sft"]))
        with connect([run]) as connection:
            query = "SELECT count(*) FROM drops WHERE stage = 'view:sft'"
            assert connection.execute(query).fetchone() == (dropped,)
        paths = [f"{run.path}/{path}" for path in current_drops_files(run)]
        assert duckdb.connect().execute("SELECT count(*) FROM read_parquet(?)", [paths]).fetchone() == (dropped,)
    assert set(view_files(run.path)) == {"sft"}


def test_a_killed_build_leaves_the_old_files_and_the_next_mends(maker, problem_of, view, monkeypatch) -> None:
    run = maker.start()
    maker.add(run, problem_of(1), [("a", "correct")])
    build_views(run, spec())
    maker.add(run, problem_of(2), [("b", "correct")])

    def die(self: Generation) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Generation, "swap", die)
        patched.setattr(Generation, "discard", lambda self: None)
        with pytest.raises(KeyboardInterrupt):
            build_views(run, spec())
    assert len(view(run, "sft")["train"]) == 1
    build_views(run, spec())
    assert len(view(run, "sft")["train"]) == 2
    assert len(run.commits("views")) == 2
    assert not list(run_path(run, "views").glob(".*"))


def test_a_full_disk_keeps_the_old_views(maker, problem_of, view, monkeypatch) -> None:
    run = maker.start()
    maker.add(run, problem_of(1), [("a", "correct")])
    build_views(run, spec())
    maker.add(run, problem_of(2), [("b", "correct")])

    def full(self: Generation) -> None:
        raise StoreError("no space left to write")

    with monkeypatch.context() as patched:
        patched.setattr(Generation, "close", full)
        with pytest.raises(StoreError, match="no space"):
            build_views(run, spec())
    assert len(view(run, "sft")["train"]) == 1
    assert not list(run_path(run, "views").glob(".*"))


def test_a_build_keeps_clusters_whole(maker, problem_of, view) -> None:
    run = maker.start()
    for number in range(12):
        split = {1: "validation", 2: "test"}.get(number, "train")
        maker.add(run, problem_of(number, cluster_id=f"c{number % 5}", split=split), [(f"t{number}", "correct")])
    build_views(run, spec(validation=0.4, include_test=True))
    for name in view_files(run.path):
        rows = view(run, name)
        clusters = [{row["cluster_id"] for row in part} for part in rows.values()]
        assert sum(map(len, clusters)) == len(set().union(*clusters)) == 5
        assert {row["cluster_id"] for row in rows["test"]} == {"c2"}
        assert "c1" in {row["cluster_id"] for row in rows["validation"]}


def test_tokenized_forms_train_on_the_trace_alone(maker, problem_of, view, monkeypatch) -> None:
    run = maker.start()
    turns = [
        {"role": r, "content": c} for r, c in [("user", "a"), ("assistant", "b"), ("user", "c"), ("assistant", "d")]
    ]
    (trace,) = maker.add(
        run, problem_of(), [{"text": "d", "outcome": "correct", "kind": "imported", "messages": turns}]
    )
    monkeypatch.setattr("tracemill.tasks.views.tokenized.load_tokenizer", lambda name: Letters())
    funnels = build_views(run, spec(tokenizer="letters"))
    (row,) = view(run, "sft_tokenized")["train"]
    assert row["input_ids"] == [ord(c) for c in "ab.cd."]
    assert row["labels"] == [-100] * 4 + [ord("d"), ord(".")]
    assert (row["trace_id"], row["tokenizer"], row["template_hash"]) == (trace, "letters", "hash")
    assert {"view:sft_tokenized", "view:all_tokenized", "view:unverified_mix_tokenized"} <= {f.stage for f in funnels}


def test_a_conversation_that_the_chat_template_refuses_is_dropped_alone(
    maker, problem_of, view, reasons, monkeypatch
) -> None:
    run = maker.start()
    refused, _ = maker.add(run, problem_of(), [("no!", "correct"), ("yes", "correct")])
    monkeypatch.setattr("tracemill.tasks.views.tokenized.load_tokenizer", lambda name: Letters())
    build_views(run, spec(tokenizer="letters"))
    assert len(view(run, "sft_tokenized")["train"]) == 1
    assert reasons(run, "sft_tokenized") == {refused: "chat_template_refuses"}


def test_a_tokenizer_without_a_chat_template_is_refused_before_anything_is_written(maker, monkeypatch) -> None:
    run, bare = maker.start(), Letters()
    bare.template_hash = None
    monkeypatch.setattr("tracemill.tasks.views.tokenized.load_tokenizer", lambda name: bare)
    with pytest.raises(UsageError, match="no chat template"):
        build_views(run, spec(tokenizer="letters"))
    assert view_files(run.path) == {}


class Letters:
    """A tokenizer whose tokens are letters; an assistant's turn ends with a full stop."""

    name = "letters"
    template_hash: str | None = "hash"

    def tokenize_chat(self, messages: Any) -> tuple[list[int], list[int]]:
        return self.tokenize_chats([messages])[0]

    def tokenize_chats(self, conversations: Any) -> list[tuple[list[int], list[int]]]:
        made = []
        for messages in conversations:
            ids, labels = [], []
            for message in messages:
                if "!" in message["content"]:
                    raise UsageError("refused")
                assistant = message["role"] == "assistant"
                said = [ord(c) for c in message["content"] + ("." if assistant else "")]
                ids += said
                labels += said if assistant else [-100] * len(said)
            made.append((ids, labels))
        return made


def test_a_problem_that_is_flagged_is_in_no_training_view(maker, problem_of, view, reasons) -> None:
    run = maker.start()
    (flagged,) = maker.add(run, problem_of(0), [{"text": "7", "outcome": "correct"}])
    maker.add(run, problem_of(1), [("7", "correct")])
    flag = {"subject_id": problem_of(0).problem_id, "stage": "problem", "reason": "flaky", "detail": "twice"}
    run.commit("verify", "flag", {"drops": pa.Table.from_pylist([flag], schema=schema_of("drops"))})
    build_views(run, ViewsSpec())
    assert [row["problem_id"] for row in view(run, "sft")["train"]] == [problem_of(1).problem_id]
    assert [row["problem_id"] for row in view(run, "rl")["train"]] == [problem_of(1).problem_id]
    assert len(view(run, "all")["train"]) == 2
    assert reasons(run, "sft") == {flagged: "problem_flaky"}
    assert reasons(run, "rl") == {problem_of(0).problem_id: "problem_flaky"}
