"""Splices: correct by construction, cut at a verified error, masked where a step may be wrong (algorithms §2.22)."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracemill.schemas.enums import SegmentKind
from tracemill.schemas.recipe import MiningSpec
from tracemill.tasks.labelling import Labeller
from tracemill.tasks.mining.build import mine
from tracemill.tasks.mining.markers import RESTARTING, RESUMING, marker
from tracemill.tasks.mining.splice import (
    DETOURS,
    EXTRA,
    Unspliceable,
    Wrong,
    control,
    detours,
    rambles,
    seam_surprisal,
    splice,
    states_answer,
)
from tracemill.tasks.queries import connect
from tracemill.tasks.reporting.listener import NullListener
from tracemill.tasks.segment import segment
from tracemill.tasks.steps.base import FirstError, Source, Steps
from tracemill.verifiers.extract import extract
from tracemill.verifiers.pool import VerifierPool


def steps_of(text: str, trace: str = "t_1") -> Steps:
    spans, segmenter = segment(text)
    return Steps(trace, text, tuple(spans), segmenter)


def wrong(
    step: int | None, *, length: int = 6, ground: int | None = None, name: str = "w", source: Source = Source.ARITHMETIC
) -> Wrong:
    lines = [f"{name} line {n} of the way." for n in range(length)]
    text = "\n\n".join([*lines, "So the answer is \\boxed{8}."])
    error = None if step is None else FirstError(step, source)
    return Wrong(steps_of(text, f"t_{name}"), error, True, step or 0 if ground is None else ground)


RIGHT = steps_of("right line 0.\n\nright line 1.\n\nSo the answer is \\boxed{7}.", "t_right")


@given(st.lists(st.integers(0, 5), min_size=1, max_size=DETOURS), st.integers(0, 10**6))
def test_every_splice_ends_in_the_right_trace_and_says_its_answer_alone(errors, seed):
    wrongs = [wrong(step, name=f"w{n}") for n, step in enumerate(errors)]
    made = splice(wrongs, RIGHT, Random(seed))
    assert made.text.endswith(RIGHT.text)
    assert extract(made.text).answer == "7"
    assert "\\boxed{8}" not in made.text
    assert made.trace_ids == (*(w.steps.trace_id for w in wrongs), "t_right")
    assert made.parameters["detours"] == len(errors)


@given(st.lists(st.integers(0, 5), min_size=1, max_size=DETOURS), st.integers(0, 10**6), st.integers(0, 3))
def test_segments_partition_the_text_and_loss_leaves_out_what_may_be_wrong(errors, seed, less):
    wrongs = [wrong(step, ground=max(0, step - less), name=f"w{n}") for n, step in enumerate(errors)]
    made = splice(wrongs, RIGHT, Random(seed))
    position = 0
    for part in made.segments:
        assert part.start == position < part.end
        position = part.end
    assert position == len(made.text)
    trained = {at for start, end in made.loss_spans for at in range(start, end)}
    for part in made.segments:
        inside = set(range(part.start, part.end))
        assert inside.isdisjoint(trained) if part.kind is SegmentKind.EXPLORE_BAD else inside <= trained
    for held in wrongs:
        for number, (start, end) in enumerate(held.steps.spans):
            said = held.steps.text[start:end].strip()
            places = [at for at in range(len(made.text)) if made.text.startswith(said, at)]
            for at in places:
                assert (at in trained) == (number < held.ground)
    assert sum(part.kind is SegmentKind.MARKER for part in made.segments) == len(errors)


@given(st.integers(0, 5), st.integers(0, 10**6))
def test_a_cut_is_at_or_after_the_error_and_not_long_after(step, seed):
    made = splice([wrong(step)], RIGHT, Random(seed))
    shown = max(n for n in range(6) if f"w line {n} " in made.text)
    assert step <= shown <= step + EXTRA
    assert made.parameters["cut"] == (
        "first_error" if shown == step and made.parameters["cut"] == "first_error" else "post_error"
    )


@pytest.mark.parametrize(
    ("held", "reason"),
    [
        (wrong(None), "no_verified_error"),
        (wrong(2, source=Source.JUDGE), "no_verified_error"),
        (wrong(6), "error_in_answer"),
        (
            Wrong(
                steps_of("<|code|>\nx = 1\n\ny = 2\n\nz = 3\n\nw = 4\n\nv = 5\n\nu = 6\n\nt = 7"),
                FirstError(1, Source.ARITHMETIC),
                True,
                1,
            ),
            "another_format",
        ),
    ],
)
def test_what_cannot_be_spliced_says_why(held, reason):
    with pytest.raises(Unspliceable, match=reason):
        splice([held], RIGHT, Random(0))


def test_code_is_closed_before_a_marker():
    text = "First.\n\nThen\n<|code|>\nx = 1\n\ny = 2\n<|execution|>\n3\n<|text|>\nso 3.\n\nMore.\n\nThe answer is \\boxed{8}."
    right = steps_of("Good <|code|>\n1\n<|execution|>\n7\n<|text|>\nSo \\boxed{7}.", "t_right")
    held = Wrong(steps_of(text), FirstError(1, Source.ARITHMETIC), True, 1)
    for seed in range(20):
        bad = next(
            part for part in splice([held], right, Random(seed)).segments if part.kind is SegmentKind.EXPLORE_BAD
        )
        assert bad.end
    made = splice([held], right, Random(1))
    before = made.text[: next(p.start for p in made.segments if p.kind is SegmentKind.MARKER)]
    assert before.rfind("<|text|>") > before.rfind("<|code|>")


def test_thoughts_are_opened_once_and_closed_once():
    right = steps_of("<think>\nright way\n\nyes\n</think>\n\n\\boxed{7}", "t_right")
    held = Wrong(
        steps_of("<think>\nwrong way\n\nbad step\n\nworse\n</think>\n\n\\boxed{8}"),
        FirstError(1, Source.ARITHMETIC),
        True,
        1,
    )
    made = splice([held], right, Random(0))
    assert (made.text.count("<think>"), made.text.count("</think>")) == (1, 1)
    assert extract(made.text).answer == "7"


def test_it_goes_on_from_a_prefix_that_both_share():
    head = "We add.\n\nThen we double.\n\n"
    right = steps_of(head + "That is 7.\n\nSo \\boxed{7}.", "t_right")
    held = Wrong(steps_of(head + "That is 9.\n\nSo \\boxed{9}."), FirstError(2, Source.ARITHMETIC), True, 2)
    made = splice([held], right, Random(0))
    assert made.parameters["resume"] == "last_good_step"
    assert made.text.count("We add.") == 1
    assert made.parameters["marker"] in RESUMING
    assert made.text.endswith("That is 7.\n\nSo \\boxed{7}.")
    two = splice([held, wrong(1)], right, Random(0))
    assert two.parameters["resume"] == "scratch"
    assert two.text.count("We add.") == 2
    assert two.parameters["marker"] in RESTARTING


def test_a_control_is_the_clean_trace():
    made = control(RIGHT)
    assert (made.text, made.loss_spans, made.parameters["detours"]) == (RIGHT.text, ((0, len(RIGHT.text)),), 0)
    assert made.stream_id != splice([wrong(1)], RIGHT, Random(0)).stream_id


def test_there_are_enough_markers_and_none_is_frequent():
    assert len(set(RESUMING)) == len(RESUMING) >= 50
    assert len(set(RESTARTING)) == len(RESTARTING) >= 50
    for resuming in (True, False):
        drawn = Counter(marker(Random(n), resuming) for n in range(2000))
        assert max(drawn.values()) / 2000 < 0.1
        assert len(drawn) > 100


def test_detours_follow_a_geometric_law():
    counts = Counter(detours(Random(n), 0.5, 10) for n in range(20_000))
    assert counts[1] / 20_000 == pytest.approx(0.5, abs=0.015)
    assert counts[2] / 20_000 == pytest.approx(0.25, abs=0.015)
    assert max(counts) == DETOURS
    assert detours(Random(0), 0.99, 2) <= 2


def test_a_trace_that_goes_on_after_its_answer_rambles():
    assert rambles("So \\boxed{7}. " + "But let me check again. " * 60)
    assert not rambles("Let me think. " * 100 + "So \\boxed{7}.")
    assert not rambles("def f(): return 7\n" * 100)
    assert states_answer("The answer is 7.")
    assert not states_answer("We have 7 apples")


def test_surprise_is_looked_for_right_behind_the_seams():
    made = splice([wrong(1)], RIGHT, Random(0))
    tokens = [(at, at + 1) for at in range(len(made.text))]
    seams = [segment.start for segment in made.segments[1:]]
    seam = seams[0]
    quiet = [0.5] * len(tokens)
    assert seam_surprisal(quiet, tokens, seams) == 0.5
    assert seam_surprisal([9.0 if at == seam + 3 else 0.5 for at, _ in tokens], tokens, seams) == 9.0
    assert seam_surprisal([9.0 if at == seam - 1 else 0.5 for at, _ in tokens], tokens, seams) == 0.5
    assert seam_surprisal(quiet, tokens, []) == 0.0


RIGHTS = [f"We add 3 and 4.\n\n3 + 4 = 7{mark}\n\nSo the answer is 7." for mark in (".", "!", " then.", " now.")]
WRONGS = [f"We add 3 and 4.\n\n3 + 4 = {n}.\n\nThen {n} it is.\n\nSo the answer is {n}." for n in (8, 9, 10, 11)]


@pytest.mark.parametrize("cheat", [False, True])
async def test_only_what_is_verified_again_counts_and_controls_are_as_many(maker, problem_of, cheat):
    run, problem = maker.start(), problem_of()
    found = maker.add(run, problem, [(t, "correct") for t in RIGHTS] + [(t, "incorrect") for t in WRONGS])
    spec = MiningSpec(make=["splices"], uses_per_trace=4)
    async with VerifierPool(1) as pool:
        labeller = Labeller(run, pool, [problem], [], NullListener())

        async def verify(texts: Any) -> Any:
            verdicts = await labeller.of_texts(texts)
            return verdicts[1:] if cheat else verdicts  # one that nobody verified

        await mine(run, spec, 0.0, verify)
    with connect([run]) as connection:
        rows = connection.sql("SELECT * FROM streams ORDER BY stream_id").to_arrow_table().to_pylist()
        outcome = dict(connection.execute("SELECT subject_id, outcome FROM final_verdict").fetchall())
    told = [row for row in rows if row["backtracks"]]
    clean = [row for row in rows if not row["backtracks"]]
    assert told
    assert sum(row["verified"] for row in told) == len(clean)
    for row in rows:
        assert row["linearizer"] == "splice"
        if row["verified"]:
            assert outcome[row["stream_id"]] == "correct"
        for segment_ in row["segments"]:
            if segment_["kind"] == "explore_bad":
                assert segment_["node_id"] in found[4:]
        assert row["trace_ids"][-1] in found[:4]
        assert json.loads(row["parameters"])["on_policy"] is True
    assert {row["text"] for row in clean} <= set(RIGHTS)


def test_the_text_of_a_splice_depends_on_its_traces_and_the_seed_alone(maker, problem_of, spec):
    async def verify(texts: Any) -> Any:
        return []

    def made(name: str, others: int) -> set[str]:
        run = maker.start(name)
        for number in range(others):
            maker.add(run, problem_of(f"other {number}"), [("a b c", "correct"), ("a b d", "incorrect")])
        maker.add(run, problem_of(), [(t, "correct") for t in RIGHTS] + [(t, "incorrect") for t in WRONGS])
        asyncio.run(mine(run, spec(make=["splices"]), 0.0, verify))
        with connect([run]) as connection:
            return {
                row[0] for row in connection.execute("SELECT text FROM streams WHERE text LIKE '%3 + 4%'").fetchall()
            }

    assert made("one", 0) == made("two", 7)
