"""No attack is accepted: a sample by default, a hundred thousand in the long form."""

from itertools import islice

import pytest

from tracemill.schemas.enums import Outcome
from tracemill.verifiers.base import Candidate
from tracemill.verifiers.pool import verify_all
from tracemill.verifiers.registry import build_verifier


def judged(attacks, count, seed):
    made = list(islice(attacks(seed), count))
    assert len({(a.gold, a.response) for a in made}) == count
    candidates = [Candidate(str(i), attack.response, attack.gold) for i, attack in enumerate(made)]
    verdicts = verify_all(build_verifier("answer", time_limit=5), candidates, 2)
    return made, [verdict.judgement.outcome for verdict in verdicts]


def test_no_near_miss_hedge_or_wrapper_is_accepted(attacks):
    made, outcomes = judged(attacks, 2500, 1)
    assert [a for a, outcome in zip(made, outcomes, strict=True) if outcome is Outcome.CORRECT] == []
    assert Outcome.ERROR not in outcomes


@pytest.mark.full
def test_none_of_a_hundred_thousand_attacks_is_accepted(attacks):
    made, outcomes = judged(attacks, 110_000, 2)
    assert [a for a, outcome in zip(made, outcomes, strict=True) if outcome is Outcome.CORRECT] == []


def test_the_right_answer_in_the_same_wrappings_is_accepted(attacks):
    made = list(islice(attacks(3), 3000))
    golds = {attack.gold for attack in made if ", said plainly" in attack.kind}
    candidates = [Candidate(gold, rf"So it is \boxed{{{gold}}}.", gold) for gold in sorted(golds)]
    verdicts = verify_all(build_verifier("answer"), candidates, 2)
    assert {v.judgement.outcome for v in verdicts} == {Outcome.CORRECT}
