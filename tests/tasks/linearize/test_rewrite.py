"""A rewrite is kept only where it says the same, paragraph for paragraph (§2.20)."""

from __future__ import annotations

from itertools import pairwise

import pytest
from tests.tasks.linearize.conftest import text_domain
from tests.tasks.linearize.test_prose import small

from tracemill.schemas.enums import SegmentKind
from tracemill.tasks.linearize import astro, journey
from tracemill.tasks.linearize.rewrite import accepted, recall_of

DRAFT = journey.write(small(), text_domain())


def reworded(text: str) -> str:
    return "\n\n".join(f"Well: {part}" for part in text.split("\n\n"))


def test_a_rewrite_keeps_the_segments_of_the_draft():
    found = accepted(DRAFT, reworded(DRAFT.text)).stream
    assert found is not None
    assert found.linearizer == "journey_rewrite"
    assert found.segments[0].start == 0
    assert found.segments[-1].end == len(found.text)
    assert found.segments[-1].kind is SegmentKind.FINAL
    assert "boxed{42}" in found.text[found.segments[-1].start :]
    assert all(a.end == b.start for a, b in pairwise(found.segments))
    assert {s.node_id for s in found.segments if s.kind is SegmentKind.EXPLORE_BAD} == {
        s.node_id for s in DRAFT.segments if s.kind is SegmentKind.EXPLORE_BAD
    }


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda t: t.replace("So 7.", "So."), "rewrite_lost_steps"),
        (lambda t: t.split("\n\n", 1)[1], "rewrite_paragraphs"),
        (lambda t: t.replace("42", "43"), "rewrite_lost_steps"),
        (lambda t: t.replace("Take a.", "Take a, since it gives 42."), "rewrite_leaks_answer"),
    ],
)
def test_a_rewrite_that_does_not_say_the_same_is_dropped(change, reason):
    assert accepted(DRAFT, change(DRAFT.text)).reason == reason


def test_a_lost_answer_is_seen_even_where_little_recall_is_asked():
    assert accepted(DRAFT, DRAFT.text.replace("42", "43"), recall=0.0).reason == "rewrite_lost_answer"


def test_the_answer_is_looked_for_where_the_draft_reaches_its_goal_not_in_the_phrase_after_it():
    draft = astro.write(small(), text_domain())
    assert "42" not in draft.text.rpartition("\n\n")[2]
    assert accepted(draft, draft.text.replace("{42}", "{41}"), recall=0.0).reason == "rewrite_lost_answer"
    assert accepted(draft, reworded(draft.text)).stream is not None


def test_recall_counts_a_number_as_often_as_it_stands():
    assert recall_of("3 and 3", "3") == 0.5
    assert recall_of("nothing", "") == 1.0
