"""Ids as the policy has them, conversations as its template has them, and labels on what the assistant says alone.

That the ids are the embedded model's own is tested against its server, in ``engines/test_local.py``.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tracemill.schemas.errors import DataError, TracemillError, UsageError
from tracemill.tasks.tokenizer import IGNORED, ChatTemplate, Tokenizer, load_tokenizer

pytest.importorskip("tokenizers")

CHATML = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
#: A think tag in the generation prompt, as several reasoning models have it.
THINKING = CHATML.replace("<|im_start|>assistant\n{% endif %}", "<|im_start|>assistant\n<think>\n{% endif %}")
#: An empty thought before every answer, as Qwen3 without thinking.
EMPTY_THOUGHT = CHATML.replace(
    "{{ m.content }}", "{% if m.role == 'assistant' %}<think>\n\n</think>\n\n{% endif %}{{ m.content }}"
)
TRIMMING = CHATML.replace("{{ m.content }}", "{{ m.content | trim }}")
#: What was thought is dropped from every turn: nothing faithful can be trained on.
DROPPING = CHATML.replace("{{ m.content }}", "{{ m.content.split('</think>')[-1] }}")


@pytest.fixture(scope="module")
def local() -> Tokenizer:
    return load_tokenizer("local")


@pytest.fixture
def with_template(local: Tokenizer) -> Any:
    return lambda template: Tokenizer("test", local._encoder, ChatTemplate(template, {}, "test"))


def user(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


def assistant(text: str) -> dict[str, str]:
    return {"role": "assistant", "content": text}


def trained(tokenizer: Tokenizer, messages: list[dict[str, str]]) -> str:
    """The text of the positions that count towards the loss."""
    ids, labels = tokenizer.tokenize_chat(messages)
    assert len(ids) == len(labels)
    assert all(label in (IGNORED, i) for i, label in zip(ids, labels, strict=True))
    text: str = tokenizer._encoder.decode([label for label in labels if label != IGNORED], skip_special_tokens=False)
    return text


def test_the_template_is_the_models_own(local: Tokenizer) -> None:
    text = local.render([user("What is {{2}}+2?")], add_generation_prompt=True)
    assert text.endswith("<|im_start|>user\nWhat is {{2}}+2?<|im_end|>\n<|im_start|>assistant\n")
    assert text.startswith("<|im_start|>system\nYou are a helpful AI assistant named SmolLM")
    assert local.template_hash == "872be49dbb638044"  # sha256 of the template in the model's file


def test_the_whole_conversation_is_encoded_once(local: Tokenizer) -> None:
    messages = [user("2+2?"), assistant(" is 4."), user("3+3?"), assistant("\n6\n")]
    ids, _ = local.tokenize_chat(messages)
    assert ids == local.encode(local.render(messages))


@pytest.mark.parametrize("template", [None, CHATML, THINKING, EMPTY_THOUGHT])
@pytest.mark.parametrize("said", ["4", "a", "so\n\n4 ", "日本語 🙂 é", "<think>\nhm\n</think>\n\n4", "x" * 50])
def test_labels_are_on_what_the_assistant_says_and_the_end_of_its_turn(
    template: str | None, said: str, local: Tokenizer, with_template: Any
) -> None:
    tokenizer = local if template is None else with_template(template)
    one = [user("What is 2+2? assistant"), assistant(said)]
    assert trained(tokenizer, one) == f"{said}<|im_end|>"
    assert trained(tokenizer, [*one, user(said), assistant("Yes")]) == f"{said}<|im_end|>Yes<|im_end|>"


def test_a_token_that_begins_before_the_turn_is_not_trained_on(local: Tokenizer) -> None:
    messages = [user("2+2?"), assistant("  4")]  # the header's line break and the spaces are one token
    assert trained(local, messages) == "4<|im_end|>"


def test_a_template_that_trims_trains_on_the_trimmed_turn(with_template: Any) -> None:
    assert trained(with_template(TRIMMING), [user("2+2?"), assistant(" 4\n")]) == "4<|im_end|>"


def test_an_empty_turn_trains_on_its_end_alone(local: Tokenizer) -> None:
    assert trained(local, [user("2+2?"), assistant("")]) == "<|im_end|>"


def test_a_conversation_without_an_assistant_has_no_labels(local: Tokenizer) -> None:
    _, labels = local.tokenize_chat([user("2+2?")])
    assert set(labels) == {IGNORED}


def test_a_template_that_rewrites_the_assistant_is_refused(with_template: Any) -> None:
    with pytest.raises(UsageError, match="rewrites what the assistant says in message 1") as caught:
        with_template(DROPPING).tokenize_chat([user("2+2?"), assistant("<think>hm</think>4")])
    assert caught.value.mend


PLAIN = st.text(st.characters(exclude_categories=("Cs",)), max_size=60).filter(lambda text: "<|" not in text)


@settings(max_examples=150, deadline=None)
@given(turns=st.lists(st.tuples(PLAIN, PLAIN), min_size=1, max_size=3))
def test_labels_decode_to_the_assistants_turns_whatever_is_said(local: Tokenizer, turns: list[tuple[str, str]]) -> None:
    messages = [message for asked, said in turns for message in (user(asked), assistant(said))]
    ids, _ = local.tokenize_chat(messages)
    assert ids == local.encode(local.render(messages))
    parts = trained(local, messages).split("<|im_end|>")
    assert parts.pop() == ""
    for (_, said), part in zip(turns, parts, strict=True):
        kept = local._encoder.decode(local.encode(said), skip_special_tokens=False)  # it has no token for some bytes
        assert part == kept or (kept.endswith(part) and kept[: len(kept) - len(part)].isspace())


def test_many_are_encoded_as_each_alone(local: Tokenizer) -> None:
    texts = ["", "a b", "12345", "日本"]
    assert local.encode_batch(texts) == [local.encode(text) for text in texts]
    chats = [[user(text), assistant(text * 3)] for text in texts]
    assert local.tokenize_chats(chats) == [local.tokenize_chat(chat) for chat in chats]


@pytest.fixture
def folder(local: Tokenizer, tmp_path: Path) -> Path:
    local._encoder.save(str(tmp_path / "tokenizer.json"))
    settings = {"chat_template": CHATML + "{{ eos_token }}", "eos_token": {"content": "<|im_end|>"}, "bos_token": None}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(settings))
    return tmp_path


def test_a_folder_is_read_as_trainers_read_it(folder: Path, local: Tokenizer) -> None:
    loaded = load_tokenizer(str(folder))
    assert loaded.name == str(folder)
    assert loaded.encode("Hello 123\n") == local.encode("Hello 123\n")
    assert loaded.render([user("x")]) == "<|im_start|>user\nx<|im_end|>\n<|im_end|>"
    (folder / "chat_template.jinja").write_text(CHATML)
    assert load_tokenizer(str(folder)).render([user("x")]) == "<|im_start|>user\nx<|im_end|>\n"
    (folder / "chat_template.jinja").unlink()
    named = [{"name": "tool_use", "template": "no"}, {"name": "default", "template": CHATML}]
    (folder / "tokenizer_config.json").write_text(json.dumps({"chat_template": named}))
    assert load_tokenizer(str(folder)).render([user("x")]) == "<|im_start|>user\nx<|im_end|>\n"


def test_a_template_cannot_reach_out_of_its_sandbox(folder: Path) -> None:
    for hostile in ("{{ ''.__class__.__mro__[1].__subclasses__() }}", "{{ messages.append(1) }}"):
        (folder / "chat_template.jinja").write_text(hostile)
        with pytest.raises(UsageError, match="refuses the conversation"):
            load_tokenizer(str(folder)).render([user("x")])


def test_a_template_that_refuses_says_why(folder: Path) -> None:
    (folder / "chat_template.jinja").write_text("{{ raise_exception('roles must alternate') }}")
    with pytest.raises(UsageError, match="roles must alternate"):
        load_tokenizer(str(folder)).render([user("x")])


def test_what_cannot_be_read_says_what_to_do(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def expect(kind: type[TracemillError], says: str) -> None:
        with pytest.raises(kind, match=says) as caught:
            load_tokenizer(str(folder)).render([user("x")])
        assert caught.value.mend

    (folder / "chat_template.jinja").write_text("{% if %}")
    expect(DataError, "chat template is not valid")
    (folder / "chat_template.jinja").unlink()
    (folder / "tokenizer_config.json").write_text("{}")
    expect(UsageError, "no chat template")
    (folder / "tokenizer_config.json").write_text("{")
    expect(DataError, "not JSON")
    (folder / "tokenizer.json").write_text("{}")
    expect(UsageError, "no readable tokenizer")
    (folder / "tokenizer.json").unlink()
    expect(UsageError, "no readable tokenizer")


def test_a_hub_name_that_cannot_be_fetched_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import huggingface_hub
    from huggingface_hub.errors import LocalEntryNotFoundError

    def offline(*_: object, **__: object) -> str:
        raise LocalEntryNotFoundError("offline")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", offline)
    with pytest.raises(UsageError, match="no such folder, and the Hub did not give a tokenizer") as caught:
        load_tokenizer("nobody/nothing")
    assert "'local'" in str(caught.value.mend)


SPANS = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)).map(sorted).map(tuple), max_size=4)
SAID = st.text(alphabet="ab 7\n=é😀<>", min_size=1, max_size=60)


@settings(max_examples=60, deadline=None)
@given(said=SAID, spans=SPANS, template=st.sampled_from([CHATML, THINKING, EMPTY_THOUGHT, TRIMMING]))
def test_only_tokens_that_lie_wholly_in_the_spans_are_trained_on(local, said, spans, template):
    tokenizer = Tokenizer("test", local._encoder, ChatTemplate(template, {}, "test"))
    messages = [user("?"), assistant(said)]
    ids, labels, straddling = tokenizer.tokenize_spans(messages, spans)
    text = tokenizer.render(messages)
    start, end = tokenizer._span(messages, 1, text)
    shift = start - (0 if end - start == len(said) else len(said) - len(said.lstrip()))
    inside = {at + shift for low, high in spans for at in range(low, high) if start <= at + shift < end}
    offsets = local._encoder.encode(text, add_special_tokens=False).offsets
    crossing = 0
    for token, label, (low, high) in zip(ids, labels, offsets, strict=True):
        covered = [at in inside for at in range(low, high)]
        if covered and all(covered):
            assert label == token
        elif low < end:
            assert label == IGNORED
        crossing += any(covered) and not all(covered)
    assert straddling == crossing


def test_a_turn_is_closed_where_its_end_is_trained_on(local):
    messages = [user("?"), assistant("wrong so right")]
    whole, _, _ = (tokens := local.tokenize_spans(messages, [(0, 14)]))
    assert tokens[:2] == local.tokenize_chat(messages)
    end = local.encode("<|im_end|>")[0]
    assert end in local.tokenize_spans(messages, [(6, 14)])[1]
    assert end not in local.tokenize_spans(messages, [(0, 5)])[1]
    assert whole


def test_spans_cannot_be_laid_over_what_a_template_drops(with_template):
    with pytest.raises(UsageError, match="rewrites"):
        with_template(DROPPING).tokenize_spans([user("?"), assistant("<think>so</think>7")], [(0, 5)])


def test_a_text_is_tokenized_behind_the_tokens_that_stand_before_it(local: Tokenizer) -> None:
    before = local.render([{"role": "user", "content": "What is 2 + 2?"}], add_generation_prompt=True)
    ids, spans = local.continued(before, "It is 4.")
    assert ids == local.encode(before + "It is 4.")
    assert ids[: -len(spans)] == local.encode(before)
    assert ["It is 4."[a:b] for a, b in spans] == ["It", " is", " ", "4", "."]
    ids, spans = local.continued("The cat", "alogue")  # one token, if the model had not said "cat" already
    assert ids == local.encode("The cat") + local.encode("alogue")
    assert spans[0][0] == 0
    assert spans[-1][1] == len("alogue")


@given(st.text(max_size=30), st.text(min_size=1, max_size=30))
def test_the_tokens_before_a_text_are_those_that_it_follows(local: Tokenizer, before: str, text: str) -> None:
    ids, spans = local.continued(before, text)
    assert ids[: len(ids) - len(spans)] == local.encode(before)
    assert all(0 <= a <= b <= len(text) for a, b in spans)
    assert [a for a, _ in spans] == sorted(a for a, _ in spans)
