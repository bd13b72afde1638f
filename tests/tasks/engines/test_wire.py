"""The mapping to and from the protocol, over every shape that servers send."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracemill.tasks.engines.base import Completion, Request, Sampling
from tracemill.tasks.engines.retry import Fault, Kind
from tracemill.tasks.engines.wire import Prices, cleaned, clipped, decode, encode, error_message

CHAT = Request("a", "chat", Sampling(), 7, messages=({"role": "user", "content": "why?"},))
TEXT = Request("a", "completion", Sampling(), 7, prompt="why?")
SCORED = Sampling(logprobs=True)


def sent(request: Request) -> Any:
    return json.loads(encode(request, "m"))


def chat(message: Any, finish: Any = "stop", **more: Any) -> bytes:
    return json.dumps({"choices": [{"message": message, "finish_reason": finish, **more}]}).encode()


def said(message: Any, finish: Any = "stop", request: Request = CHAT) -> Completion:
    return decode(chat(message, finish), request, Prices())


def test_a_chat_body_holds_what_was_asked_and_no_defaults() -> None:
    assert sent(CHAT) == {
        "model": "m",
        "max_tokens": 2048,
        "temperature": 0.8,
        "top_p": 1.0,
        "seed": 7,
        "messages": [{"role": "user", "content": "why?"}],
    }


def test_every_parameter_that_is_set_is_sent() -> None:
    sampling = Sampling(
        temperature=0.0,
        top_k=5,
        min_p=0.0,
        presence_penalty=0.1,
        frequency_penalty=-0.1,
        stop=("\n", '"'),
        logprobs=True,
    )
    body = sent(replace(TEXT, sampling=sampling))
    assert body["prompt"] == "why?"
    assert body["logprobs"] == 1
    assert (body["temperature"], body["top_k"], body["min_p"], body["stop"]) == (0.0, 5, 0.0, ["\n", '"'])
    assert sent(replace(CHAT, sampling=sampling))["logprobs"] is True


def test_a_prefix_is_the_last_message_or_the_end_of_the_prompt() -> None:
    body = sent(replace(CHAT, prefix="Because"))
    assert body["messages"][-1] == {"role": "assistant", "content": "Because"}
    assert body["continue_final_message"] is True
    assert body["add_generation_prompt"] is False
    assert sent(replace(TEXT, prefix=" Because"))["prompt"] == "why? Because"


@given(st.text(alphabet=st.characters(), max_size=60), st.integers(0, 2**31 - 1))
def test_any_prompt_is_sent_as_it_is(prompt: str, seed: int) -> None:
    body = sent(replace(CHAT, seed=seed, messages=({"role": "user", "content": prompt},)))
    assert body["messages"][0]["content"] == prompt
    assert body["seed"] == seed
    assert sent(replace(TEXT, prompt=prompt))["prompt"] == prompt


@pytest.mark.parametrize("key", ["reasoning_content", "reasoning"])
def test_separate_reasoning_is_put_back_before_the_content(key: str) -> None:
    assert said({"content": "\n\n4", key: "2+2"}).text == "<think>2+2</think>\n\n4"


def test_reasoning_that_was_cut_stays_open() -> None:
    assert said({"content": None, "reasoning_content": "2+"}, "length").text == "<think>2+"


def test_reasoning_after_an_open_think_prefix_is_not_opened_twice() -> None:
    begun = replace(CHAT, prefix="<think>\nFirst")
    assert said({"content": "4", "reasoning": " 2+2"}, request=begun).text == " 2+2</think>4"


def test_content_in_parts_null_content_and_a_refusal_are_text() -> None:
    assert (
        said({"content": [{"type": "text", "text": "a"}, {"type": "image"}, {"type": "text", "text": "b"}]}).text
        == "ab"
    )
    assert said({"content": None}).text == ""
    assert said({"content": None, "refusal": "no"}).text == "no"


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("stop", "stop"),
        ("length", "length"),
        ("end_turn", "stop"),
        ("max_tokens", "length"),
        (None, "unknown"),
        ("new", "unknown"),
        (3, "unknown"),
    ],
)
def test_finish_reasons_are_mapped(theirs: Any, ours: str) -> None:
    assert said({"content": "x"}, theirs).finish_reason == ours


@pytest.mark.parametrize(
    ("theirs", "kind"), [("content_filter", Kind.REJECTED), ("abort", Kind.SERVER), ("error", Kind.SERVER)]
)
def test_a_completion_that_was_stopped_from_outside_is_a_fault(theirs: str, kind: Kind) -> None:
    with pytest.raises(Fault) as caught:
        said({"content": "half"}, theirs)
    assert caught.value.kind is kind


@pytest.mark.parametrize(
    ("code", "kind"), [(429, Kind.OVERLOAD), (502, Kind.OVERLOAD), (400, Kind.REJECTED), ("x", Kind.REJECTED)]
)
def test_an_error_with_status_200_is_a_fault(code: Any, kind: Kind) -> None:
    with pytest.raises(Fault, match="upstream") as caught:
        decode(json.dumps({"error": {"message": "upstream broke", "code": code}}).encode(), CHAT, Prices())
    assert caught.value.kind is kind


LEGACY = {"token_logprobs": [None, -0.5, -2.0], "tokens": ["a", "b", "c"]}
SHAPED = {"content": [{"token": "b", "logprob": -0.5}, {"token": "c", "logprob": -2.0}]}


@pytest.mark.parametrize("shape", [LEGACY, SHAPED])
def test_both_shapes_of_log_probabilities_on_both_routes(shape: Any) -> None:
    text = json.dumps({"choices": [{"text": "x", "logprobs": shape}]}).encode()
    for data, request in ((text, TEXT), (chat({"content": "x"}, logprobs=shape), CHAT)):
        completion = decode(data, replace(request, sampling=SCORED), Prices())
        assert (completion.logprob_sum, completion.logprob_min) == (-2.5, -2.0)
        assert decode(data, request, Prices()).logprob_sum is None


PLACES = [{"a": -0.5, "b": -1.5, "c": -9.0}, {"c": -2.0, "d": -9999.0, "e": -4.0}, {"f": float("-inf"), "g": -1.0}]


@pytest.mark.parametrize(
    "shape",
    [
        {"token_logprobs": [-0.5, -2.0, -1.0], "top_logprobs": PLACES},
        {"content": [{"token": "b", "logprob": -0.5, "top_logprobs": [{"token": t, "logprob": v} for t, v in p.items()]}
                     for p in PLACES]},
    ],
)  # fmt: skip
def test_a_tokens_confidence_is_the_mean_over_its_likeliest_candidates(shape: Any) -> None:
    sampling = Sampling(confidence=2)
    text = json.dumps({"choices": [{"text": "x", "logprobs": shape}]}).encode()
    for data, request in ((text, TEXT), (chat({"content": "x"}, logprobs=shape), CHAT)):
        found = decode(data, replace(request, sampling=sampling), Prices())
        assert found.confidence == (1.0, 3.0, 1.0)  # §2.30; what cannot be is no candidate
        assert (found.top, found.logprob_sum) == (None, None)
        assert decode(data, request, Prices()).confidence is None
    assert sent(replace(TEXT, sampling=sampling))["logprobs"] == 2
    body = sent(replace(CHAT, sampling=sampling))
    assert (body["logprobs"], body["top_logprobs"]) == (True, 2)


def test_asking_for_confidence_is_another_sampling_and_not_asking_is_the_same_as_ever() -> None:
    assert "confidence" not in Sampling().identity()
    assert Sampling(confidence=20).sampling_id != Sampling().sampling_id


def test_usage_details_are_kept_and_priced() -> None:
    body = json.loads(chat({"content": "x"}))
    body["usage"] = {
        "prompt_tokens": 1000,
        "completion_tokens": 500,
        "prompt_tokens_details": {"cached_tokens": 64},
        "completion_tokens_details": {"reasoning_tokens": 32},
    }
    completion = decode(json.dumps(body).encode(), CHAT, Prices(2.0, 8.0))
    assert (completion.cached_tokens, completion.reasoning_tokens) == (64, 32)
    assert completion.cost_usd == pytest.approx(0.002 + 0.004)
    assert decode(json.dumps(body).encode(), CHAT, Prices()).cost_usd is None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(
            ["choices", "message", "content", "text", "usage", "prompt_tokens", "finish_reason", "logprobs", "error", "code",
             "token_logprobs", "logprob", "top_logprobs", "reasoning", "prompt_tokens_details", "cached_tokens"]
        ),
        inner,
        max_size=4,
    ),
    max_leaves=12,
)  # fmt: skip


@given(JSON, st.booleans())
def test_any_json_is_a_completion_or_a_fault(payload: Any, inside: bool) -> None:
    data = json.dumps({"choices": [payload]} if inside else payload).encode()
    for request in (replace(CHAT, sampling=SCORED), replace(TEXT, sampling=SCORED)):
        try:
            completion = decode(data, request, Prices(1, 1))
            shown = completion.text
        except Fault as fault:
            shown = fault.message.replace("\n", "\0")
        shown.encode()
        assert "\0" not in shown
    error_message(data).encode()


@given(st.text(alphabet=st.characters(), max_size=60))
def test_cleaning_gives_storable_text_of_the_same_length_and_is_idempotent(text: str) -> None:
    clean = cleaned(text)
    clean.encode()
    assert "\0" not in clean
    assert len(clean) == len(text)
    assert cleaned(clean) == clean
    if "\0" not in text and not any("\ud800" <= c <= "\udfff" for c in text):
        assert clean == text


@given(st.text(alphabet=st.characters(), max_size=2000))
def test_clipped_is_one_short_line(text: str) -> None:
    line = clipped(text, 100)
    assert len(line) <= 100
    line.encode()
    assert not set(line) & set("\n\r\x00\x1b\u2028")


GIVEN = Request("a", "scoring", Sampling(max_tokens=1), seed=0, tokens=(5, 9, 9))


def scored(*places: Any) -> bytes:
    choice = {"index": 0, "text": "x", "finish_reason": "length", "prompt_logprobs": list(places)}
    return json.dumps({"choices": [choice], "usage": {"prompt_tokens": 3, "completion_tokens": 1}}).encode()


def test_given_tokens_are_sent_as_they_are_and_their_own_log_probabilities_taken() -> None:
    body = json.loads(encode(GIVEN, "m"))
    assert body == {"model": "m", "prompt": [5, 9, 9], "max_tokens": 1, "temperature": 0.0, "prompt_logprobs": 0}
    likelier = {"7": {"logprob": -0.1}, "9": {"logprob": -2.5}}
    completion = decode(scored(None, likelier, {"9": {"logprob": float("-inf")}}), GIVEN, Prices(1.0, 0.0))
    assert json.loads(completion.text) == [-2.5, -9999.0]
    assert (completion.prompt_tokens, completion.completion_tokens, completion.cost_usd) == (3, 0, 3e-6)


@pytest.mark.parametrize(
    "places",
    [
        [None, {"9": {"logprob": -1.0}}],  # fewer than were sent
        [None, {"8": {"logprob": -1.0}}, {"9": {"logprob": -1.0}}],  # of another token
        [None, {"9": {"logprob": 0.5}}, {"9": {"logprob": -1.0}}],
        [None, {"9": {}}, {"9": {"logprob": -1.0}}],
        [None, None, {"9": {"logprob": -1.0}}],
    ],
)
def test_scores_of_anything_but_the_tokens_that_were_sent_are_garbage(places: list[Any]) -> None:
    with pytest.raises(Fault) as caught:
        decode(scored(*places), GIVEN, Prices())
    assert caught.value.kind is Kind.GARBAGE


def test_a_server_that_passes_over_the_question_is_told_from_one_that_answers() -> None:
    answer = {"choices": [{"index": 0, "text": "x", "finish_reason": "length"}]}
    with pytest.raises(Fault, match="no log-probabilities of the prompt"):
        decode(json.dumps(answer).encode(), GIVEN, Prices())


def test_a_scoring_request_is_keyed_by_its_tokens() -> None:
    assert GIVEN.key("p") != replace(GIVEN, tokens=(5, 9, 8)).key("p")
    assert GIVEN.key("p") == replace(GIVEN, attempt_id="b").key("p")
