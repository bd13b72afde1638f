"""Labels of proofs from checked analyses, and the rewards of §2.32."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracemill.tasks.opinions.self_verification import SCORES, Analysis, generator_reward, proof_label, verifier_reward

ANALYSES = st.lists(
    st.builds(Analysis, st.sampled_from(SCORES), st.lists(st.booleans(), max_size=5).map(tuple)), max_size=8
)
SHARE = st.floats(0, 1)


@pytest.mark.parametrize(
    ("analyses", "least", "label"),
    [
        ([Analysis(1.0), Analysis(1.0)], 1, 1.0),
        ([Analysis(0.0, (True, True, False)), Analysis(0.5, (True,)), Analysis(1.0)], 2, 0.0),
        ([Analysis(0.0, (True, True, False)), Analysis(1.0)], 2, None),  # one valid doubt is too few, and too many
        ([Analysis(0.0, (False, False, True)), Analysis(1.0)], 1, 1.0),  # what is found is not there
        ([Analysis(0.5, (True, False)), Analysis(1.0)], 1, 1.0),  # half is no majority
        ([], 1, None),
    ],
)
def test_a_proof_is_labelled_by_the_analyses_that_hold(analyses, least, label):
    assert proof_label(analyses, least) == label


@given(ANALYSES, st.integers(1, 4), st.randoms())
def test_the_label_does_not_depend_on_the_order_and_comes_from_valid_analyses(analyses, least, rng):
    label = proof_label(analyses, least)
    mixed = analyses[:]
    rng.shuffle(mixed)
    assert proof_label(mixed, least) == label
    valid = [analysis.score for analysis in analyses if analysis.valid]
    if label is not None and label < 1:
        assert label == min(valid)
        assert len(valid) >= least
    elif label == 1:
        assert not valid


@given(ANALYSES, st.integers(1, 4))
def test_analyses_that_claim_nothing_or_do_not_hold_change_no_label_of_a_wrong_proof(analyses, least):
    label = proof_label(analyses, least)
    if label is not None and label < 1:
        assert proof_label([*analyses, Analysis(1.0), Analysis(0.0, (False, False, True))], least) == label


@given(SHARE, SHARE, SHARE)
def test_rewards_lie_in_0_to_1_and_nothing_is_paid_without_the_format(proof, analysis, meta):
    assert 0 <= generator_reward(True, proof, analysis, meta) <= 1
    assert generator_reward(False, proof, analysis, meta) == verifier_reward(False, proof, analysis) == 0
    assert verifier_reward(True, proof, proof) == 1
    assert generator_reward(True, 1, 1, 1) == pytest.approx(1)
    assert generator_reward(True, 1, analysis, 0) == pytest.approx(0.76)  # a good proof with an unsound analysis


def test_a_score_is_one_of_three():
    with pytest.raises(ValueError, match="one of"):
        Analysis(0.7)
