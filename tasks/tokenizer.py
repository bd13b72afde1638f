"""Text to token ids as the policy itself would do it, and conversations to what a trainer loads.

Ids come from encoding the whole rendered conversation once; labels are laid over it by character offsets. Pieces are
never tokenised apart and joined, because tokens may cross the joints. A position is trained on (its label is its id)
exactly when its token begins inside the content of an assistant turn or is the end-of-turn token that closes it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from jinja2 import TemplateError, TemplateSyntaxError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from tracemill.schemas.errors import DataError, UsageError
from tracemill.tasks.engines import gguf

if TYPE_CHECKING:
    from tokenizers import Tokenizer as Encoder

#: The label of a position that does not count towards the loss (the default ``ignore_index`` of PyTorch's cross entropy).
IGNORED: Final = -100

#: Kinds of GGUF tokens that stand for themselves in text: control, user-defined.
_CONTROL: Final = (3, 4)

#: Stands for a turn's content where the template puts it; private-use characters, so that no content is like it.
_PLACE: Final = "\ue000place\ue001"

Message = Mapping[str, str]


def template_hash(template: str | None) -> str | None:
    """The first 16 hex digits of a chat template's sha256; None where there is no template."""
    return None if template is None else hashlib.sha256(template.encode()).hexdigest()[:16]


class ChatTemplate:
    """How a conversation becomes text. ``hash`` identifies it; ``special`` are the tokens that it may name."""

    def __init__(self, source: str | None, special: Mapping[str, str], where: str) -> None:
        self.hash = template_hash(source)
        self._special = dict(special)
        self._where = where
        # No strftime_now: a template that would print the date falls back to a fixed one, so a prompt can be rebuilt.
        environment = ImmutableSandboxedEnvironment(
            trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
        )
        environment.globals["raise_exception"] = _refuse
        environment.filters["tojson"] = _to_json
        try:
            self._template = None if source is None else environment.from_string(source)
        except TemplateSyntaxError as error:
            raise DataError(
                f"the chat template is not valid: {error}", where=where, mend="repair the template"
            ) from error

    def render(self, messages: Sequence[Message], add_generation_prompt: bool = False) -> str:
        """The conversation as the model sees it. Raises ``UsageError`` where there is no template or it refuses."""
        if self._template is None:
            raise UsageError(
                "the tokenizer has no chat template", where=self._where, mend="use the tokenizer of an instruct model"
            )
        try:
            return self._template.render(
                messages=[dict(m) for m in messages], add_generation_prompt=add_generation_prompt, **self._special
            )
        except TemplateError as error:
            raise UsageError(
                f"the chat template refuses the conversation: {error}",
                where=self._where,
                mend="use roles in the order that the model was trained with",
            ) from error


class Tokenizer:
    """An encoder with its chat template. ``name`` is what it was loaded from; ``template_hash`` identifies the template."""

    def __init__(self, name: str, encoder: Encoder, template: ChatTemplate) -> None:
        self.name = name
        self.template_hash = template.hash
        self.render = template.render
        encoder.post_processor = None  # it would trim spaces off the offsets, and adds nothing that we ask for
        self._encoder = encoder
        self._special_ids = frozenset(i for i, token in encoder.get_added_tokens_decoder().items() if token.special)

    def encode(self, text: str) -> list[int]:
        """The ids of ``text``, special tokens in it recognised and none added."""
        ids: list[int] = self._encoder.encode(text, add_special_tokens=False).ids
        return ids

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """The ids of many texts, in order; much faster than one by one."""
        return [e.ids for e in self._encoder.encode_batch_fast(list(texts), add_special_tokens=False)]

    def continued(self, before: str, text: str) -> tuple[list[int], list[tuple[int, int]]]:
        """``(ids, spans)``: the ids of ``before`` and of ``text`` behind it, and where each of ``text``'s tokens stands in it.

        The ids of ``before`` are those that it has alone, for a model that goes on from it has seen no others: where a token
        would reach over the seam, ``text`` is encoded apart.
        """
        head = self.encode(before)
        encoding = self._encoder.encode(before + text, add_special_tokens=False)
        size = len(head)
        offsets = [(start - len(before), end - len(before)) for start, end in encoding.offsets[size:]]
        if encoding.ids[:size] == head and all(start >= 0 for start, _ in offsets):
            return list(encoding.ids), offsets
        apart = self._encoder.encode(text, add_special_tokens=False)
        return head + apart.ids, list(apart.offsets)

    def tokenize_chat(self, messages: Sequence[Message]) -> tuple[list[int], list[int]]:
        """``(input_ids, labels)`` of equal length; labels are ``IGNORED`` outside what the assistant says."""
        return self.tokenize_chats([messages])[0]

    def tokenize_chats(self, conversations: Sequence[Sequence[Message]]) -> list[tuple[list[int], list[int]]]:
        """``tokenize_chat`` of many conversations, in order."""
        texts = [self.render(messages) for messages in conversations]
        encodings = self._encoder.encode_batch(texts, add_special_tokens=False)
        return [
            (list(encoding.ids), self._labels(encoding, text, self._spans(messages, text)))
            for messages, text, encoding in zip(conversations, texts, encodings, strict=True)
        ]

    def tokenize_spans(
        self, messages: Sequence[Message], spans: Sequence[tuple[int, int]]
    ) -> tuple[list[int], list[int], int]:
        """``(input_ids, labels, straddling)`` of a conversation whose last turn is trained on in ``spans`` alone.

        ``spans`` are code-point offsets in the last turn's content. A token is trained on where all of it lies inside them, and the
        token that closes the turn where its end does; ``straddling`` counts the tokens that lie on both sides of an edge.
        """
        text = self.render(messages)
        start, end = self._span(messages, len(messages) - 1, text)
        content = messages[-1]["content"]
        stripped = 0 if end - start == len(content) else len(content) - len(content.lstrip())
        trained = bytearray(len(text))
        for first, last in spans:
            low, high = max(start, start + first - stripped), min(end, start + last - stripped)
            trained[low:high] = b"\x01" * max(0, high - low)
        encoding = self._encoder.encode(text, add_special_tokens=False)
        ids = list(encoding.ids)
        labels, straddling = [IGNORED] * len(ids), 0
        for place, (first, last) in enumerate(encoding.offsets):
            inside = trained.count(1, first, last)
            if inside and inside == last - first:
                labels[place] = ids[place]
            elif inside:
                straddling += 1
        closing = self._closing(encoding, text, end)
        if closing is not None and end > start and trained[end - 1]:
            labels[closing] = ids[closing]
        return ids, labels, straddling

    def _spans(self, messages: Sequence[Message], text: str) -> list[tuple[int, int]]:
        """Where each assistant turn's content stands in the rendered conversation."""
        return [
            self._span(messages, index, text)
            for index, message in enumerate(messages)
            if message["role"] == "assistant"
        ]

    def _span(self, messages: Sequence[Message], index: int, text: str) -> tuple[int, int]:
        """The content of one assistant turn: right after the generation prompt, or where a mark in its place appears."""
        content = messages[index]["content"]
        before = self.render(messages[:index], add_generation_prompt=True)
        follows = text.startswith(before)
        if follows and text.startswith(content, len(before)):
            return len(before), len(before) + len(content)
        marked = [*messages[:index], {**messages[index], "content": _PLACE}, *messages[index + 1 :]]
        head, _, tail = self.render(marked).partition(_PLACE)
        for said in (content, content.strip()):
            if text == head + said + tail:
                return len(head), len(head) + len(said)
            # The generation prompt may already hold the beginning of the turn (a think tag).
            for shared in range(1, min(len(said), len(before), 32) + 1) if follows else ():
                if text.startswith(said, len(before) - shared):
                    return len(before) - shared, len(before) - shared + len(said)
        raise UsageError(
            f"the chat template rewrites what the assistant says in message {index}, so no labels can be laid over it",
            where=self.name,
            mend="name a tokenizer whose chat template keeps every assistant turn as it is",
        )

    def _labels(self, encoding: Any, text: str, spans: Sequence[tuple[int, int]]) -> list[int]:
        ids: list[int] = encoding.ids
        labels = [IGNORED] * len(ids)
        for start, end in spans:
            first = _first_token(encoding, start, len(text))
            after = _first_token(encoding, end, len(text))
            closing = self._closing(encoding, text, end)
            if closing is not None:
                after = closing + 1
            labels[first:after] = ids[first:after]
        return labels

    def _closing(self, encoding: Any, text: str, end: int) -> int | None:
        """The token that closes a turn whose content ends at ``end``: the next special one, behind white space alone."""
        ids, place = encoding.ids, _first_token(encoding, end, len(text))
        while place < len(ids) and ids[place] not in self._special_ids:
            place += 1
        return place if place < len(ids) and not text[end : encoding.offsets[place][0]].strip() else None


def load_tokenizer(name: str) -> Tokenizer:
    """The tokenizer at ``name``: ``local``, a ``.gguf`` file, a folder with ``tokenizer.json``, or a Hub id.

    Raises ``UsageError`` or ``EngineError`` where the name leads to none, with what to do.
    """
    if name == "local":
        return _from_gguf(name, gguf.embedded_model())
    path = Path(name)
    if path.suffix == ".gguf":
        return _from_gguf(name, path)
    return _from_folder(name, path if path.is_dir() else _download(name))


def _from_gguf(name: str, path: Path) -> Tokenizer:
    """A byte-level BPE of the model's own tokens and merges; each digit apart where the model was trained so."""
    tokenizers = _tokenizers()
    metadata = gguf.read_metadata(path)
    kind, split = metadata.get("tokenizer.ggml.model"), metadata.get("tokenizer.ggml.pre")
    if kind != "gpt2" or split not in ("smollm", "gpt-2"):
        raise UsageError(
            f"a tokenizer of kind {kind!r} with pre-tokenizer {split!r} is not known here",
            where=str(path),
            mend="name the folder or Hub id of the same model's tokenizer.json",
        )
    tokens = metadata["tokenizer.ggml.tokens"]
    merges = [tuple(merge.split(" ", 1)) for merge in metadata["tokenizer.ggml.merges"]]
    encoder = tokenizers.Tokenizer(tokenizers.models.BPE({token: i for i, token in enumerate(tokens)}, merges))
    bytes_of = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    digits = tokenizers.pre_tokenizers.Digits(individual_digits=True)
    encoder.pre_tokenizer = tokenizers.pre_tokenizers.Sequence([digits, bytes_of]) if split == "smollm" else bytes_of
    encoder.decoder = tokenizers.decoders.ByteLevel()
    kinds = metadata["tokenizer.ggml.token_type"]
    control = [token for token, kind in zip(tokens, kinds, strict=True) if kind in _CONTROL]
    encoder.add_special_tokens([tokenizers.AddedToken(token, special=True, normalized=False) for token in control])
    template = ChatTemplate(metadata.get("tokenizer.chat_template"), gguf.special_tokens(metadata), str(path))
    return Tokenizer(name, encoder, template)


def _from_folder(name: str, folder: Path) -> Tokenizer:
    path = folder / "tokenizer.json"
    try:
        encoder = _tokenizers().Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises bare Exception
        raise UsageError(
            f"no readable tokenizer: {error}", where=str(path), mend="name a folder that holds tokenizer.json"
        ) from error
    encoder.no_padding()
    encoder.no_truncation()
    settings = _json(folder / "tokenizer_config.json")
    special = {
        key: value["content"] if isinstance(value, dict) else value
        for key, value in settings.items()
        if key.endswith("_token") and isinstance(value, str | dict)
    }
    return Tokenizer(name, encoder, ChatTemplate(chat_template(folder), special, str(folder)))


def chat_template(folder: Path) -> str | None:
    """The chat template that a model's folder holds, in its own file or in ``tokenizer_config.json``."""
    own = folder / "chat_template.jinja"
    if own.is_file():
        return own.read_text(encoding="utf-8")
    template = _json(folder / "tokenizer_config.json").get("chat_template")
    if isinstance(template, list):
        template = {entry["name"]: entry["template"] for entry in template}.get("default")
    return template


def _json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataError(f"not JSON: {error}", where=str(path), mend="fetch the tokenizer again") from error
    return document


def _download(name: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError

    try:
        return Path(
            snapshot_download(name, allow_patterns=["tokenizer.json", "tokenizer_config.json", "chat_template.jinja"])
        )
    except (HfHubHTTPError, OSError, ValueError) as error:
        raise UsageError(
            "no such folder, and the Hub did not give a tokenizer of that name",
            where=name,
            mend="give a folder that holds tokenizer.json and tokenizer_config.json, or 'local'",
        ) from error


def _tokenizers() -> Any:
    try:
        import tokenizers
        import tokenizers.decoders
        import tokenizers.models
        import tokenizers.pre_tokenizers
    except ImportError as error:
        raise UsageError("the package tokenizers is not installed", mend="pip install tokenizers") from error
    return tokenizers


def _first_token(encoding: Any, position: int, length: int) -> int:
    """The first token that begins at or after a character; the number of tokens where there is none."""
    count = len(encoding.ids)
    while position < length:
        token = encoding.char_to_token(position)
        if token is None:  # a character that the tokenizer drops
            position += 1
            continue
        while token < count and encoding.token_to_chars(token)[0] < position:
            token += 1
        return int(token)
    return count


def _refuse(message: str) -> None:
    raise TemplateError(message)


def _to_json(value: Any, indent: int | None = None) -> str:
    return json.dumps(value, ensure_ascii=False, indent=indent)
