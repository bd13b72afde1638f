import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracemill.schemas.enums import Level, Outcome
from tracemill.schemas.errors import UsageError
from tracemill.verifiers.base import Candidate
from tracemill.verifiers.consensus import check, consensus, consensus_verdicts, vote

ANY = consensus({"voters": 1})


def test_answers_vote_by_value_not_by_spelling():
    found = vote(["1/2", "0.5", r"\frac{1}{2}", "50%", "2", None])
    assert found.share == pytest.approx(4 / 5)
    assert not found.tied
    assert found.keys.count(found.winner) == 4
    assert found.margin == pytest.approx(3 / 5)


def test_nobody_votes_without_an_answer():
    found = vote([None, None, "nan", ""])
    assert (found.winner, found.share, found.tied) == (None, 0.0, False)


def test_a_tie_is_flagged_and_goes_to_the_first():
    found = vote(["7", "8", "8", "7"])
    assert found.tied
    assert found.winner == found.keys[0]


def test_one_unit_among_the_answers_is_everybody_s_unit():
    assert vote(["18", "18 cm", "18 cm", "17"]).share == pytest.approx(3 / 4)
    assert len(vote(["18 cm", "18 m"]).classes) == 2


def test_verdicts_are_an_opinion():
    subjects = [("t1", "p", "7"), ("t2", "q", "1"), ("t3", "p", "8"), ("t4", "p", "7.0"), ("t5", "p", None)]
    verdicts = consensus_verdicts(subjects, ANY)
    assert [v.subject_id for v in verdicts] == ["t1", "t2", "t3", "t4", "t5"]
    assert [v.judgement.outcome for v in verdicts] == [
        Outcome.CORRECT,
        Outcome.CORRECT,
        Outcome.INCORRECT,
        Outcome.CORRECT,
        Outcome.UNPARSED,
    ]
    assert all(v.level is Level.PSEUDO and not v.correct for v in verdicts)
    assert verdicts[0].judgement.score == pytest.approx(2 / 3)
    said = {"share": 2 / 3, "margin": 1 / 3, "voters": 3, "tied": False, "source": "consensus", "label": "7"}
    assert verdicts[2].judgement.evidence == said


@pytest.mark.parametrize(
    ("answers", "why"),
    [
        (["7"] * 15, "15 of 15 votes; 0.5 of at least 16"),
        (["7"] * 7 + ["8"] * 5 + ["9"] * 4, "7 of 16 votes"),
        (["7"] * 8 + ["8"] * 8, "tied"),
        ([None] * 40, "0 of 0 votes"),
    ],
)
def test_without_a_consensus_nobody_is_right_or_wrong(answers, why):
    verdicts = consensus_verdicts([(f"t{n}", "p", answer) for n, answer in enumerate(answers)])
    assert {v.judgement.outcome for v in verdicts} == {Outcome.UNPARSED}
    assert all("no consensus" in v.judgement.reason and why in v.judgement.reason for v in verdicts)
    assert all("label" not in v.judgement.evidence for v in verdicts)


def test_half_of_sixteen_is_a_consensus():
    verdicts = consensus_verdicts([(f"t{n}", "p", a) for n, a in enumerate(["7"] * 8 + ["8"] * 5 + ["9"] * 3)])
    assert [v.judgement.outcome for v in verdicts] == [Outcome.CORRECT] * 8 + [Outcome.INCORRECT] * 8


def test_one_response_is_held_against_the_vote_of_the_others():
    spec = {"answers": ["7"] * 12 + ["8"] * 4}
    assert check(Candidate("a", r"\boxed{7.0}", spec=spec), {}).outcome is Outcome.CORRECT
    assert check(Candidate("a", r"\boxed{9}", spec=spec), {}).outcome is Outcome.INCORRECT
    assert check(Candidate("a", r"\boxed{7}"), {}).outcome is Outcome.ERROR


@pytest.mark.parametrize("options", [{"share": 0}, {"share": 1.1}, {"voters": 0}, {"all": "yes"}, {"votes": 3}])
def test_impossible_options_are_refused(options):
    with pytest.raises(UsageError):
        consensus(options)


def test_the_same_votes_give_the_same_identity_and_others_another():
    one = consensus_verdicts([("t1", "p", "7"), ("t2", "p", "8")])
    same = consensus_verdicts([("t1", "p", "7"), ("t2", "p", "8.0")])
    more = consensus_verdicts([("t1", "p", "7"), ("t2", "p", "8"), ("t3", "p", "8")])
    assert [v.inputs_hash for v in one] == [v.inputs_hash for v in same]
    assert one[0].inputs_hash != more[0].inputs_hash


@given(st.lists(st.sampled_from(["1", "2", "3", None]), max_size=30), st.randoms())
def test_the_order_and_the_spelling_of_votes_do_not_change_the_counts(answers, rng):
    spelled = [
        None if a is None else rng.choice([a, f"{a}.0", f"${a}$", f"\\boxed{{{a}}}"[7:-1], f"{a}/1"]) for a in answers
    ]
    rng.shuffle(spelled)
    assert sorted(vote(answers).classes.items()) == sorted(vote(spelled).classes.items())


@pytest.mark.parametrize(
    ("distribution", "expected"),
    [
        ([0.4, 0.3, 0.2, 0.1], {1: 0.40, 4: 0.47, 16: 0.64, 64: 0.82, 256: 0.97}),
        ([0.3, 0.4, 0.2, 0.1], {1: 0.30, 4: 0.30, 16: 0.28, 64: 0.17, 256: 0.03}),
    ],
)
def test_majority_approaches_the_mode(distribution, expected):
    """Golden numbers of algorithms §2.2; the first answer is the correct one. Ties go to the first to appear: fair."""
    rng = random.Random(22)
    for k, share in expected.items():
        trials = 1500 if k <= 16 else 500
        wins = sum(
            vote(rng.choices(["10", "11", "12", "13"], distribution, k=k)).winner == "n:10" for _ in range(trials)
        )
        assert wins / trials == pytest.approx(share, abs=0.05)
