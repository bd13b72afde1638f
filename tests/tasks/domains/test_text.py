"""A chain of thought by steps: lossless steps, siblings together, exact limits, verified ends, nothing asked twice."""

from __future__ import annotations

from itertools import pairwise

import pytest

from tracemill.schemas.errors import UsageError
from tracemill.tasks.domains.base import Draw
from tracemill.tasks.domains.text import CODE_FAILED, Thoughts, code_of
from tracemill.tasks.domains.text_prompts import VOTES, proposals, vote_of
from tracemill.tasks.engines.base import Completion
from tracemill.tasks.search.values import Estimate, MonteCarlo


def scripted(asker, *texts, finish="stop"):
    left = list(texts)
    return asker(lambda request: Completion(left.pop(0), finish, 1, 3))


async def chain(domain, state=None, seed=1):
    """Walk first steps to an end."""
    state = state or Thoughts()
    while await domain.terminal(state) is None:
        (step,) = await domain.expand(state, 1, Draw(seed))
        state = step.state
    return state


async def test_steps_joined_are_the_text_that_the_model_said_in_one_go(simulated, text_of, problem):
    engine, asked = simulated()
    domain = text_of(asked)
    state = await chain(domain)
    assert len(state.steps) == 5
    assert all(step.endswith("\n\n") for step in state.steps[:-1])
    assert state.text.endswith("}.")
    first = asked.requests[0]
    assert engine._answer(first, 0.0).text == state.steps[0].rstrip("\n")


async def test_a_stop_cuts_one_step_and_the_next_request_goes_on_from_the_prefix(simulated, text_of):
    _, asked = simulated()
    await chain(text_of(asked))
    prefixes = [request.prefix for request in asked.requests]
    assert prefixes[0] == ""
    assert all(b.startswith(a) and b.endswith("\n\n") for a, b in pairwise(prefixes))
    assert all("\n\n" in request.sampling.stop for request in asked.requests)


async def test_the_same_search_is_served_from_what_was_paid(simulated, text_of):
    _, asked = simulated()
    domain = text_of(asked)
    state = await chain(domain)
    made = len(asked.requests)
    assert await chain(domain) == state
    assert len(asked.requests) == made


async def test_siblings_are_other_draws_of_one_place(simulated, text_of):
    _, asked = simulated(step_error=0.4)
    domain = text_of(asked)
    steps = await domain.expand(Thoughts(), 4, Draw(1))
    more = await domain.expand(Thoughts(), 2, Draw(1, first=4))
    assert len({step.action for step in [*steps, *more]}) == 6
    assert len({request.seed for request in asked.requests}) == 6
    assert len({request.attempt_id for request in asked.requests}) == 1


async def test_only_the_verifier_says_that_an_end_is_a_goal(asker, text_of):
    domain = text_of(scripted(asker, "it is \\boxed{42}", "it is \\boxed{41}"))
    right, wrong = await domain.expand(Thoughts(), 2, Draw(1))
    assert (await domain.terminal(right.state), await domain.terminal(wrong.state)) == (1.0, 0.0)
    assert await domain.terminal(Thoughts(("so far\n\n",))) is None


async def test_an_end_that_could_not_be_checked_is_marked_not_wrong(asker, text_of):
    from tracemill.schemas.enums import Outcome
    from tracemill.verifiers.base import Judgement

    asked = scripted(asker, "\\boxed{42}")
    domain = text_of(asked)

    async def broken(response, finish_reason):
        return Judgement(Outcome.ERROR, "the worker died")

    object.__setattr__(domain, "verify", broken)
    (step,) = await domain.expand(Thoughts(), 1, Draw(1))
    assert await domain.terminal(step.state) == 0.0
    assert step.state in domain.unchecked


async def test_no_step_says_more_than_its_draw_allows(simulated, text_of):
    _, asked = simulated(text_bytes=2000)
    domain = text_of(asked, step_tokens=50)
    (step,) = await domain.expand(Thoughts(), 1, Draw(1, max_tokens=7))
    assert step.tokens == 7
    assert step.state.finish is None
    assert not step.state.text.endswith("\n")  # cut in the middle: the next step goes on at once


async def test_a_step_that_says_nothing_ends_the_text(asker, text_of):
    domain = text_of(scripted(asker, "the end", ""))
    state = await chain(domain)
    assert state.finish == "stop"
    assert state.text == "the end\n\n"


async def test_the_last_step_runs_to_the_end(simulated, text_of):
    _, asked = simulated()
    domain = text_of(asked, max_steps=2)
    state = await chain(domain)
    assert len(state.steps) == 2
    assert "boxed" in state.text
    assert "\n\n" not in asked.requests[-1].sampling.stop


async def test_a_step_does_not_end_inside_a_code_fence(asker, text_of):
    domain = text_of(scripted(asker, "```python\na = 1", "b = 2\n```"))
    (step,) = await domain.expand(Thoughts(), 1, Draw(1))
    assert step.state.steps == ("```python\na = 1\n\nb = 2\n```\n\n",)
    assert step.tokens == 6


@pytest.mark.parametrize(
    ("segmentation", "stop", "close"),
    [("line", "\n", "\n"), ("heading", "\n## Step", "\n"), ("paragraph", "\n\n", "\n\n")],
)
async def test_each_segmentation_stops_and_puts_back_its_own_separator(asker, text_of, segmentation, stop, close):
    asked = scripted(asker, "a step")
    (step,) = await text_of(asked, segmentation=segmentation).expand(Thoughts(), 1, Draw(1))
    assert asked.requests[0].sampling.stop == (stop,)
    assert step.state.text == "a step" + close
    assert step.action == "a step"


async def test_steps_of_fixed_length_have_no_stop_and_end_with_the_text(asker, text_of):
    asked = asker(lambda request: Completion("xyz", "length" if not request.prefix else "stop", 1, 3))
    state = await chain(text_of(asked, segmentation="length", step_tokens=3))
    assert state == Thoughts(("xyz", "xyz"), "stop")
    assert asked.requests[0].sampling.stop == ()


async def test_where_the_engine_cannot_continue_the_steps_so_far_are_in_the_question(asker, text_of):
    asked = scripted(asker, "First.\n\nSecond.\n\nThird.", "It is \\boxed{42}.")
    domain = text_of(asked, continues=False)
    state = await chain(domain)
    assert state.steps == ("First.\n\n", "It is \\boxed{42}.")
    assert all(request.prefix == "" for request in asked.requests)
    assert "First." in asked.requests[1].messages[-1]["content"]
    assert "\n\n" not in asked.requests[0].sampling.stop


async def test_a_failed_request_is_no_step(asker, text_of):
    domain = text_of(asker(lambda request: Completion("", "error", error="refused")))
    assert await domain.expand(Thoughts(), 3, Draw(1)) == []


async def test_code_grows_with_the_steps_and_a_step_that_does_not_run_ends_there(asker, text_of):
    seen = []

    async def runs(code):
        seen.append(code)
        return "bad" not in code

    step = "```python\n{}\n```"
    domain = text_of(scripted(asker, step.format("a = 1"), step.format("bad"), step.format("b = a")), runs=runs)
    (first,) = await domain.expand(Thoughts(), 1, Draw(1))
    bad, good = await domain.expand(first.state, 2, Draw(1))
    assert seen == ["a = 1\n", "a = 1\n\nbad\n", "a = 1\n\nb = a\n"]
    assert (bad.state.finish, good.state.finish) == (CODE_FAILED, None)
    assert await domain.terminal(bad.state) == 0.0
    assert code_of(good.state.text) == "a = 1\n\nb = a\n"


async def test_rollouts_of_a_sound_prefix_agree_with_its_exact_value(simulated, text_of, problem):
    engine, asked = simulated(success=0.4, step_error=0.2, self_correction=0.1)
    domain = text_of(asked)
    (step,) = await domain.expand(Thoughts(), 1, Draw(1))
    exact = engine.value(problem, step.state.text)
    rewards = [(await domain.rollout(step.state, Draw(1, first=i))).reward for i in range(800)]
    assert sum(rewards) / 800 == pytest.approx(exact, abs=4 * (exact * (1 - exact) / 800) ** 0.5)


async def test_one_answer_may_propose_all_steps(asker, text_of):
    asked = scripted(asker, "1. add them\n2. count on\n- add them\n\n3) guess")
    steps = await text_of(asked, expansion="propose").expand(Thoughts(), 2, Draw(1))
    assert [step.action for step in steps] == ["add them", "count on"]
    assert sum(step.tokens for step in steps) == 3
    assert len(asked.requests) == 1


async def test_a_vote_is_the_last_of_three_words(asker, text_of):
    domain = text_of(scripted(asker, "It is likely not, no: impossible."))
    vote = await domain.vote(Thoughts(("x\n\n",)), Draw(1))
    assert vote.reward == VOTES["impossible"]
    assert vote.tokens == 3
    assert vote_of("unlikely") is None
    assert vote_of("Sure!") == "sure"


async def test_a_text_has_no_value_of_its_own_and_no_list_of_all_steps(asker, text_of):
    domain = text_of(scripted(asker))
    with pytest.raises(UsageError, match="no value of its own"):
        await domain.value(Thoughts(), Draw(1))
    with pytest.raises(UsageError, match="how many"):
        await domain.expand(Thoughts(), None, Draw(1))


async def test_duplicates_are_merged_by_normalised_text(text_of, asker):
    domain = text_of(scripted(asker))
    assert domain.key(Thoughts(("a  b\n",))) == domain.key(Thoughts(("a b", "\n\n")))
    assert domain.key(Thoughts(("a b",))) != domain.key(Thoughts(("a b",), "stop"))
    assert text_of(scripted(asker), same=lambda text: "k").key(Thoughts(("a",))) == "k"


async def test_a_shown_state_is_read_back(text_of, asker):
    domain = text_of(scripted(asker))
    for state in (Thoughts(), Thoughts(("ä\n\n", "b\x1f"), "stop")):
        assert domain.read(domain.show(state)) == state


def test_proposals_are_lines_without_bullets():
    assert proposals("* a\n(2) b\n\n12 - 3 = 9") == ["a", "b", "12 - 3 = 9"]


async def test_a_playout_that_failed_or_could_not_be_checked_counts_on_neither_side(asker, text_of):
    texts = iter(["\\boxed{42}", None, "\\boxed{41}", "\\boxed{42}"])

    def say(request):
        text = next(texts)
        return Completion("", "error", error="refused") if text is None else Completion(text, "stop", 1, 5)

    domain = text_of(asker(say))
    played = [await domain.rollout(Thoughts(), Draw(1, first=i)) for i in range(4)]
    estimate = MonteCarlo(4).fold(played)
    assert (estimate.rollouts, estimate.correct, estimate.tokens) == (3, 2, 15)
    assert estimate.value == pytest.approx(2 / 3)
    assert MonteCarlo(1).fold(played[1:2]) == Estimate(0.0, 0, 0, 0)
