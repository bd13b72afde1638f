import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracemill.schemas.errors import UsageError
from tracemill.verifiers.base import Candidate, Judgement, Verifier
from tracemill.verifiers.pool import VerifierPool
from tracemill.verifiers.recheck import differ, is_chosen, is_flaky, verify_checked


@pytest.fixture
def changing(outside, tmp_path):
    import changing

    return Verifier("changing", "1", changing.check, {"state": str(tmp_path / "state")})


async def checked(verifier, responses, share):
    async with VerifierPool(1) as pool:
        return await verify_checked(pool, verifier, [Candidate(r, r) for r in responses], share)


async def test_a_row_on_which_two_runs_differ_is_error_and_says_what_each_said(changing):
    steady, flip = await checked(changing, ["steady", "flip"], 1.0)
    assert steady.judgement.outcome == "correct"
    assert flip.judgement.outcome == "error"
    assert is_flaky(flip)
    assert not is_flaky(steady)
    assert flip.judgement.evidence == {"flaky": ["correct: time 1", "incorrect: time 2"]}


async def test_nothing_is_asked_twice_at_a_share_of_nothing(changing, tmp_path):
    (flip,) = await checked(changing, ["flip"], 0.0)
    assert flip.judgement.outcome == "correct"
    assert (tmp_path / "state").read_text() == "f"


async def test_a_failure_of_ours_is_no_disagreement(changing):
    (mends,) = await checked(changing, ["mends"], 1.0)
    assert mends.judgement.outcome == "error"
    assert not is_flaky(mends)


async def test_a_share_outside_0_to_1_is_refused(changing):
    with pytest.raises(UsageError, match=r"must lie in \[0, 1\]"):
        await checked(changing, ["steady"], 1.5)


@given(st.floats(0, 1), st.floats(0, 1))
def test_the_choice_is_by_inputs_alone_and_grows_with_the_share(low, high):
    hashes = [Candidate(str(n), f"response {n}").inputs_hash for n in range(50)]
    low, high = sorted((low, high))
    fewer, more = ({h for h in hashes if is_chosen(h, share)} for share in (low, high))
    assert fewer <= more


def test_about_one_in_a_hundred_is_chosen():
    chosen = sum(is_chosen(Candidate("a", f"response {n}").inputs_hash, 0.01) for n in range(20_000))
    assert 150 < chosen < 250


def test_verdicts_differ_by_outcome_alone():
    verifier = Verifier("v", "1", lambda c, o: True)
    one, two, lost = (verifier.verdict("a", "i", Judgement(o, o)) for o in ("correct", "timeout", "error"))
    assert differ(one, two)
    assert not differ(one, one)
    assert not differ(one, lost)
