import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracemill.schemas.enums import Level, Outcome
from tracemill.schemas.errors import UsageError
from tracemill.verifiers.reward import (
    QWEN_TAG,
    SHEPHERD_TAG,
    Options,
    Unreadable,
    aggregate,
    judged,
    p_plus,
    reward,
    scores_in,
    shown,
)

STEPS = ["First 2 + 2 = 4.\n\n", "So it is 4.\n\n", r"\boxed{4}"]


def test_qwen_has_a_tag_after_every_step_and_its_own_system_prompt():
    (one,) = shown("2 + 2?", STEPS, Options())
    system, user, assistant = one.messages
    assert (user["content"], one.task) == ("2 + 2?", "token_classify")
    assert assistant["content"] == f"First 2 + 2 = 4.{QWEN_TAG}So it is 4.{QWEN_TAG}\\boxed{{4}}{QWEN_TAG}"
    assert "boxed" in system["content"]


def test_shepherd_has_its_tag_after_a_space_at_every_step_s_end():
    (one,) = shown("2 + 2?", STEPS, Options(format="shepherd"))
    assert one.prompt == "2 + 2? First 2 + 2 = 4. ки\nSo it is 4. ки\n\\boxed{4} ки"
    assert one.messages == ()


def test_rlhflow_asks_once_a_step_after_what_went_before():
    asked = shown("2 + 2?", STEPS, Options(format="rlhflow"))
    assert [len(one.messages) for one in asked] == [1, 3, 5]
    assert asked[0].messages[0]["content"] == "2 + 2? First 2 + 2 = 4."
    assert [turn["role"] for turn in asked[2].messages] == ["user", "assistant", "user", "assistant", "user"]
    assert asked[2].messages[3]["content"] == "+"


def test_an_outcome_model_sees_the_whole_response():
    (one,) = shown("2 + 2?", STEPS, Options(format="orm"))
    assert one.task == "classify"
    assert one.messages[1]["content"] == "First 2 + 2 = 4.\n\nSo it is 4.\n\n\\boxed{4}"


@given(st.lists(st.text(max_size=30), min_size=1, max_size=5), st.sampled_from(["qwen", "shepherd"]), st.data())
def test_a_step_cannot_bring_a_tag_of_its_own(texts, kind, data):
    tag = QWEN_TAG if kind == "qwen" else SHEPHERD_TAG
    steps = [data.draw(st.sampled_from([text, text + tag, f"{tag}{tag}{text}", f"<|im_end|>{text}"])) for text in texts]
    (one,) = shown(f"problem {tag}", steps, Options(format=kind))
    said = one.prompt or one.messages[-1]["content"]
    assert said.count(tag) == len(steps)
    assert "<|" not in said
    assert one.escaped >= 1


def test_scores_are_one_a_step_or_there_are_none():
    pair = [0.25, 0.75]
    assert scores_in([pair, pair], 2, Options()) == [0.75, 0.75]
    assert scores_in([pair, pair], 2, Options(format="shepherd")) == [0.25, 0.25]
    assert scores_in([1.5], 9, Options(format="orm")) == [1.5]
    for pooled, steps in [
        ([pair], 2),
        ([pair] * 3, 2),
        ([], 1),
        ([[3.0, -3.0]], 1),
        ([0.5], 1),
        ([[0.2, 0.3, 0.5]], 1),
    ]:
        with pytest.raises(Unreadable):
            scores_in(pooled, steps, Options())


def test_golden_aggregations():
    """Product in log space, min, last and mean (§2.8, verifiers §D.2)."""
    scores = [0.9, 0.5, 0.8]
    assert aggregate(scores, "min") == 0.5
    assert aggregate(scores, "product") == pytest.approx(0.36)
    assert aggregate(scores, "last") == 0.8
    assert aggregate(scores, "mean") == pytest.approx(2.2 / 3)
    assert aggregate([0.5] * 900, "product") == pytest.approx(0.5**900, rel=1e-9)
    assert aggregate([0.9, 0.0], "product") == 0.0


@given(st.lists(st.floats(0, 1), min_size=1, max_size=200))
def test_aggregations_lie_where_they_must(scores):
    low, product, mean = (aggregate(scores, how) for how in ("min", "product", "mean"))
    assert 0 <= product <= low + 1e-12
    assert low - 1e-12 <= mean <= max(scores) + 1e-12
    assert aggregate(scores, "last") == scores[-1]


def test_every_score_and_every_aggregation_is_in_the_evidence():
    found = judged([0.9, 0.4, 0.8], Options(aggregate="mean"))
    assert found.outcome is Outcome.CORRECT
    assert found.score == pytest.approx(0.7)
    assert found.evidence["steps"] == [0.9, 0.4, 0.8]
    assert {key: found.evidence[key] for key in ("min", "last")} == {"min": 0.4, "last": 0.8}
    assert judged([0.9, 0.4, 0.8], Options()).outcome is Outcome.INCORRECT


def test_p_plus():
    assert p_plus({"+": math.log(0.3), " +": math.log(0.3), "-": math.log(0.2)}) == pytest.approx(0.75)
    assert p_plus({"yes": -0.1}) is None


def test_a_reward_is_learned_and_impossible_options_are_refused():
    assert reward().level is Level.LEARNED
    for options in ({"format": "skywork"}, {"aggregate": "max"}, {"threshold": "high"}, {"tag": 1}):
        with pytest.raises(UsageError):
            reward(options)
