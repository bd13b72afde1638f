"""A judge over a run: what it is asked, what is recorded, and what becomes of a judge that lies, fails or says nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tracemill.schemas.errors import EngineError, UsageError
from tracemill.schemas.recipe import VerifierSpec
from tracemill.schemas.records import Problem
from tracemill.tasks.opinions import asking
from tracemill.tasks.opinions.registry import build_opinion
from tracemill.tasks.queries import connect
from tracemill.tasks.store import RunStore
from tracemill.tasks.verify_file import verify_file
from tracemill.verifiers.canaries.judge import MASTER_KEYS

OPEN = Problem("Name the winner.", "judge", "hand")
GOLD = Problem("1 + 1?", "answer", "hand", gold="2")


def verdicts(path: str) -> list[dict[str, Any]]:
    return [row for row in RunStore.open(path).read("verdicts").to_pylist() if row["verifier"] == "judge"]


async def test_p_yes_is_the_score_and_the_level_is_learned(bench: Any, said: Any, standin: Any, opine: Any) -> None:
    path = bench.run([(OPEN, [said(None, text=r"I say \boxed{Alice}")])]).path
    assert await opine(path, [OPEN], "judge", standin("--yes", "0.8")) == 1
    (row,) = verdicts(path)
    assert (row["outcome"], row["level"], row["score"]) == ("correct", "learned", pytest.approx(0.8))
    with connect([RunStore.open(path)]) as connection:
        final = connection.execute("SELECT outcome, pseudo_outcome FROM final_verdict").fetchall()
    assert final == [(None, "correct")]  # never correct in a default view


async def test_a_judge_that_always_says_yes_accepts_no_master_key(
    bench: Any, said: Any, standin: Any, opine: Any, tmp_path: Path
) -> None:
    path = bench.run([(OPEN, [said(None, text=key) for key in MASTER_KEYS])]).path
    log = tmp_path / "log"
    assert await opine(path, [OPEN], "judge", standin("--yes", "1.0", "--log", str(log))) == len(MASTER_KEYS)
    assert {row["outcome"] for row in verdicts(path)} == {"unparsed"}
    assert log.read_text() == ""  # nothing was even asked


async def test_what_a_rule_has_decided_is_not_asked(
    bench: Any, said: Any, by_rule: Any, standin: Any, opine: Any
) -> None:
    attempts = [
        said("3", [by_rule("incorrect")], text=r"\boxed{3}"),
        said("2", [by_rule("correct")], text=r"\boxed{2}"),
    ]
    attempts.append(said("two-ish", [by_rule("unparsed")], text=r"\boxed{\sqrt{\heartsuit}}"))
    path = bench.run([(GOLD, attempts)]).path
    assert await opine(path, [GOLD], "judge", standin("--yes", "1.0")) == 1
    assert [row["subject_id"] for row in verdicts(path)] == [bench.traces[GOLD.prompt, 2]]
    (commit,) = RunStore.open(path).commits("judge")
    assert commit.funnel is not None
    assert (commit.funnel.rows_in, dict(commit.funnel.dropped)) == (3, {"decided_by_rule": 2})


async def test_critiques_are_kept_with_their_verdict_and_whether_they_agree(
    bench: Any, said: Any, by_rule: Any, standin: Any, opine: Any
) -> None:
    attempts = [said("3", [by_rule("incorrect")], text=r"\boxed{3}"), said(None, text=r"\boxed{\sqrt{\heartsuit}}")]
    path = bench.run([(GOLD, attempts)]).path
    options = {"mode": "critiques", "n": 5, "rule": "majority", "decided": True}
    assert await opine(path, [GOLD], "judge", standin("--yes", "0.9"), **options) == 2
    run = RunStore.open(path)
    critiques = run.read("critiques").to_pylist()
    assert len(critiques) == 10
    by_subject = {row["subject_id"]: row for row in critiques}
    ruled = bench.traces[GOLD.prompt, 0]
    assert by_subject[ruled]["label"] == "incorrect"
    assert by_subject[ruled]["agrees"] is (by_subject[ruled]["verdict"] == "incorrect")
    assert by_subject[bench.traces[GOLD.prompt, 1]]["label"] is None
    evidence = json.loads(verdicts(path)[0]["evidence"])
    assert evidence["yes"] + evidence["no"] == 5


async def test_every_request_can_be_rebuilt_from_the_tables(bench: Any, said: Any, standin: Any, opine: Any) -> None:
    path = bench.run([(OPEN, [said(None, text=r"SECRET \boxed{Alice}")])]).path
    await opine(path, [OPEN], "judge", standin("--yes", "0.8"))
    with connect([RunStore.open(path)]) as connection:
        template, variables, seed = connection.execute(
            "SELECT t.template, q.variables, q.seed FROM requests q JOIN templates t USING (template_id) "
            "JOIN samplings s USING (sampling_id)"
        ).fetchall()[0]
        assert connection.execute("SELECT count(*) FROM policies WHERE model = 'standin'").fetchall() == [(1,)]
    assert "Alice" in json.loads(variables)["request"]
    assert "SECRET" not in variables
    assert json.loads(template)["user"] == "{{request}}"
    assert seed is not None


async def test_equal_questions_are_asked_once_and_nothing_is_asked_twice(
    bench: Any, said: Any, standin: Any, opine: Any, tmp_path: Path
) -> None:
    texts = [r"\boxed{Alice}", r"So it is \boxed{Alice}", r"\boxed{Bob}"]
    path = bench.run([(OPEN, [said(None, text=text) for text in texts])]).path
    log = tmp_path / "log"
    url = standin("--yes", "0.8", "--log", str(log))
    assert await opine(path, [OPEN], "judge", url) == 3
    assert len(log.read_text().splitlines()) == 2
    assert await opine(path, [OPEN], "judge", url) == 0
    assert await opine(path, [OPEN], "judge", url, threshold=0.9) == 3  # another judge
    assert {row["outcome"] for row in verdicts(path)} == {"correct", "incorrect"}


async def test_a_judge_that_dies_in_the_middle_stops_the_stage_and_loses_no_committed_shard(
    bench: Any, said: Any, standin: Any, opine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asking, "SHARD", 2)
    monkeypatch.setattr(asking, "IN_FLIGHT", 1)
    path = bench.run([(OPEN, [said(None, text=rf"\boxed{{Alice {n}}}") for n in range(8)])]).path
    with pytest.raises(EngineError):
        await opine(path, [OPEN], "judge", standin("--yes", "0.8", "--crash-after", "5"))
    good = [row["subject_id"] for row in verdicts(path) if row["outcome"] == "correct"]
    assert len(good) == 4
    assert await opine(path, [OPEN], "judge", standin("--yes", "0.8")) == 4  # what failed is asked again
    good = [row["subject_id"] for row in verdicts(path) if row["outcome"] == "correct"]
    assert len(good) == len(set(good)) == 8


async def test_a_prompt_that_fails_is_an_error_and_no_verdict_on_the_answer(
    bench: Any, said: Any, standin: Any, opine: Any
) -> None:
    path = bench.run([(OPEN, [said(None, text=r"\boxed{poison ivy}"), said(None, text=r"\boxed{Alice}")])]).path
    url = standin("--yes", "0.8")
    for _ in range(2):  # an error again adds nothing
        await opine(path, [OPEN], "judge", url)
        assert sorted(row["outcome"] for row in verdicts(path)) == ["correct", "error"]


async def test_an_engine_without_alternatives_is_told_what_to_do(
    bench: Any, said: Any, standin: Any, opine: Any
) -> None:
    path = bench.run([(OPEN, [said(None, text=r"\boxed{Alice}")])]).path
    with pytest.raises(UsageError, match="mode: critiques"):
        await opine(path, [OPEN], "judge", standin("--yes", "0.8", "--no-top-logprobs"))


@pytest.mark.parametrize(
    ("options", "where"),
    [
        ({}, "verifiers.judge.options.engine"),
        ({"engine": {"kind": "openai", "api_key": "sk-1"}}, "verifiers.judge.options.engine.api_key"),
    ],
)
def test_a_judge_that_is_not_named_rightly_is_refused(options: dict[str, Any], where: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        build_opinion(VerifierSpec(kind="judge", options=options), str(tmp_path))
    assert caught.value.where == where


def test_candidates_of_a_file_are_judged_too(standin: Any, tmp_path: Path) -> None:
    lines = [
        {"id": "a", "response": r"\boxed{Alice}", "question": "Who?"},
        {"id": "key", "response": "Solution"},
        {"id": "gold", "response": r"\boxed{3}", "gold": "2"},
    ]
    (tmp_path / "said.jsonl").write_text("\n".join(map(json.dumps, lines)) + "\nbroken")
    engine = {"kind": "openai", "model": "standin", "base_url": standin("--yes", "0.9")}
    found: list[Any] = []
    counts = verify_file(str(tmp_path / "said.jsonl"), "judge", options={"engine": engine}, sink=found.extend)
    assert [v.judgement.outcome for v in found] == ["correct", "unparsed", "incorrect", "error"]
    assert {v.level for v in found} == {"learned"}
    assert counts["correct"] == 1
