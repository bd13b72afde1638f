"""What a model makes of mined texts: the figures by a scorer of known probabilities, asked once, and what they let through."""

from __future__ import annotations

import asyncio
import math
from typing import Any

import pytest

from tracemill.schemas.errors import UsageError
from tracemill.schemas.recipe import EngineSpec, MiningSpec, ScorerSpec
from tracemill.tasks.engines.base import Completion, Request
from tracemill.tasks.engines.simulated import NEW, SEEN, SimulatedEngine
from tracemill.tasks.mining.build import mine
from tracemill.tasks.mining.checks import checks_of, kept_out, surprising
from tracemill.tasks.mining.collapse import FAILED, PASSED, SURPRISAL, UNMEASURED
from tracemill.tasks.mining.scores import OTHER, OWN, SEAM, Scorer, build_scorer, score, surprisals, wanted
from tracemill.tasks.queries import connect
from tracemill.tasks.reporting.listener import NullListener
from tracemill.tasks.store import RunStore

pytest.importorskip("tokenizers")

NAMED = {"scorer": {"engine": {"kind": "simulated"}, "tokenizer": "local"}}


class Counted(SimulatedEngine):
    """Counts what it is asked; a text that ``refuses`` or ``fails`` says so to, is."""

    def __init__(self, refuses: int = 0, fails: int = 0) -> None:
        super().__init__(EngineSpec(kind="simulated"))
        self.asked = 0
        self.refuses, self.fails = refuses, fails

    async def complete(self, request: Request) -> Completion:
        self.asked += 1
        if self.asked <= self.refuses:
            return Completion("", "error", error="too long", refused=True)
        if self.asked <= self.fails:
            return Completion("", "error", error="connection lost")
        return await super().complete(request)


def scorer_of(spec: MiningSpec, engine: Any) -> Scorer:
    assert spec.scorer is not None
    return Scorer(engine, build_scorer(spec.scorer, "").tokenizer)


def scored(run: RunStore, spec: MiningSpec, engine: Any) -> int:
    return asyncio.run(score(run, spec, scorer_of(spec, engine), NullListener()))


def statuses(run: RunStore, spec: MiningSpec) -> tuple[dict[str, str], dict[str, list[str]]]:
    with connect([run]) as connection:
        checks = checks_of(connection, spec)
    return {check.name: check.status for check in checks}, kept_out(checks, spec)


@pytest.fixture
def named(spec):
    return spec(**NAMED)


@pytest.fixture
def run(mined, named):
    return mined(named)


def test_the_likelihoods_are_those_of_the_scorer_behind_the_template_of_its_tokenizer(run, named):
    """A token that stands before in the conversation costs 0.25 nats here, another 3."""
    engine = Counted()
    scored(run, named, engine)
    tokenizer = build_scorer(named.scorer, "").tokenizer
    rows = {(r["subject_id"], r["kind"], r["given_id"]): r for r in run.read("scores").to_pylist()}
    texts = list(wanted(run, named.seed, named.scorer.sample))
    assert {text.kind for text in texts} == {OWN, OTHER, SEAM}
    assert set(rows) == {text.key for text in texts}
    for text in texts:
        before = tokenizer.render(text.before, add_generation_prompt=True)
        tokens = tokenizer.encode(before + text.text)
        count = len(tokens) - len(tokenizer.encode(before))
        new = len(set(tokens)) - len(set(tokens[:-count]))
        row = rows[text.key]
        assert row["tokens"] == count
        assert row["nll"] == pytest.approx(-new * NEW - (count - new) * SEEN)
        assert row["seam"] == ((-NEW if new else -SEEN) if text.kind == SEAM else None)


def test_each_correction_stands_behind_its_own_attempt_and_behind_one_at_another_problem(run, named):
    traces = {row["trace_id"]: row for row in run.read("traces").to_pylist()}
    pairs = {row["pair_id"]: row for row in run.read("pairs").to_pylist()}
    texts = [text for text in wanted(run, 0, 256) if text.kind != SEAM]
    assert len(texts) == 2 * sum(row["kind"] == "ic" for row in pairs.values())
    for text in texts:
        pair = pairs[text.subject_id]
        right = traces[pair["right_id"]]
        assert text.text == right["text"]
        assert text.before[-2]["content"] == traces[text.given_id]["text"]
        assert (text.given_id == pair["wrong_id"]) == (text.kind == OWN)
        assert (traces[text.given_id]["problem_id"] == right["problem_id"]) == (text.kind == OWN)
    few = [text.key for text in wanted(run, 0, 3) if text.kind != SEAM]
    assert len(few) == 6
    assert [text.key for text in wanted(run, 0, 3) if text.kind != SEAM] == few


def test_without_a_scorer_both_are_unmeasured_and_with_one_they_pass_or_fail(run, named):
    before, barred = statuses(run, named)
    assert (before["ignore_index"], before["seam_surprisal"]) == (UNMEASURED, UNMEASURED)
    assert "ignore_index is unmeasured" in barred["pairs"]
    scored(run, named, Counted())
    after, barred = statuses(run, named)
    assert after["seam_surprisal"] == PASSED
    assert "splices" not in barred
    # Attempts at these problems are alike to a word, so what was tried says nothing of what is right.
    assert after["ignore_index"] == FAILED
    assert barred["pairs"][0].startswith("ignore_index is ")


def test_corrections_that_hang_on_their_attempt_are_published(maker, problem_of, named):
    """Here a right attempt repeats the words of its wrong one, which occur at no other problem."""
    words = ("anvil", "birch", "cobalt", "dune", "ember", "fjord")
    run = maker.start()
    for n, word in enumerate(words):
        texts = [f"The {word} has {k}.\n\nThe {word} and {k} more.\n\nSo the answer is" for k in (3, 4, 5)]
        maker.add(
            run,
            problem_of(f"{n}: 3 + 4?"),
            [(f"{t} 7.", "correct") for t in texts] + [(f"{t} 8.", "incorrect") for t in texts],
        )

    async def none(texts):
        return []

    asyncio.run(mine(run, named, 0.0, none))
    scored(run, named, Counted())
    found, barred = statuses(run, named)
    assert found["ignore_index"] == PASSED
    assert "pairs" not in barred


def test_what_was_scored_is_not_asked_again_and_what_failed_is(run, named):
    first = Counted(fails=5)
    count = scored(run, named, first)
    assert first.asked <= count  # equal texts are asked once
    failed = count - run.read("scores").num_rows
    assert failed >= 5
    second = Counted()
    assert scored(run, named, second) == failed
    assert second.asked <= failed
    third = Counted()
    assert scored(run, named, third) == third.asked == 0
    assert {row["route"] for row in run.read("requests").to_pylist()} == {"scoring"}
    funnels = [commit.funnel for commit in run.commits("score")]
    assert sum(f.rows_out for f in funnels) == count
    assert sum(f.dropped.get("failed", 0) for f in funnels) == failed


def test_a_text_that_the_engine_refuses_stays_unscored_and_is_not_asked_again(run, named):
    count = scored(run, named, Counted(refuses=4))
    rows = run.read("scores").to_pylist()
    assert len(rows) == count
    assert sum(row["nll"] is None for row in rows) >= 4
    assert scored(run, named, Counted()) == 0


def test_naming_a_scorer_mines_nothing_anew(run, named, spec):
    commits = len(run.commits())
    asyncio.run(mine(run, spec(), 0.0, None))
    assert len(run.commits()) == commits


def test_splices_of_a_surprising_seam_and_those_not_scored_are_left_out(run, named, monkeypatch):
    with connect([run]) as connection:
        assert surprising(connection) == frozenset()  # nobody was asked
    few = named.model_copy(update={"scorer": named.scorer.model_copy(update={"sample": 2})})
    scored(run, few, Counted())
    chosen = {text.subject_id for text in wanted(run, 0, 2) if text.kind == SEAM}
    splices = {row["stream_id"] for row in run.read("streams").to_pylist() if row["backtracks"]}
    with connect([run]) as connection:
        assert surprising(connection) == splices - chosen
    assert len(splices) > 2
    monkeypatch.setattr("tracemill.tasks.engines.simulated.NEW", -SURPRISAL - 1)
    scored(run, named, Counted())
    with connect([run]) as connection:
        assert surprising(connection) == splices - {
            row["subject_id"] for row in run.read("scores").to_pylist() if (row["seam"] or math.inf) <= SURPRISAL
        }


def test_surprisals_are_those_of_the_last_tokens():
    assert surprisals([-1.0, -2.0, -3.0], [(0, 1), (1, 4)]) == [2.0, 3.0]


@pytest.mark.parametrize(
    ("named", "says"),
    [
        ({"engine": {"kind": "local"}, "tokenizer": "local"}, "local engine gives no log-probabilities"),
        ({"engine": {"kind": "none"}, "tokenizer": "local"}, "none engine gives no log-probabilities"),
        ({"engine": {"kind": "simulated"}}, "whose tokens"),
    ],
)
def test_who_cannot_score_is_refused_before_anything_is_asked(named, says):
    if named["engine"]["kind"] == "local":
        pytest.importorskip("xllamacpp")
    with pytest.raises(UsageError, match=says) as caught:
        build_scorer(ScorerSpec.model_validate(named), "")
    assert str(caught.value.where).startswith("mining.scorer")
    assert caught.value.mend
