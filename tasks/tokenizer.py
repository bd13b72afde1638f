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

from jinja2 import TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from tracemill.schemas.errors import DataError, UsageError
from tracemill.tasks.engines import gguf

if TYPE_CHECKING:
    from tokenizers import Tokenizer as Encoder

#: The label of a position that does not count towards the loss (the default ``ignore_index`` of PyTorch's cross entropy).
IGNORED: Final = -100

Message = Mapping[str, str]


def template_hash(template: str | None) -> str | None:
    """The first 16 hex digits of a chat template's sha256; None where there is no template."""
    return None if template is None else hashlib.sha256(template.encode()).hexdigest()[:16]


class Tokenizer:
    """An encoder with its chat template. ``name`` is what it was loaded from; ``template_hash`` identifies the template."""

    def __init__(self, name: str, encoder: Encoder, template: str | None, special: Mapping[str, str]) -> None:
        self.name = name
        self.template_hash = template_hash(template)
        self._encoder = encoder
        self._special = dict(special)
        environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
        environment.globals["raise_exception"] = _refuse
        environment.filters["tojson"] = _to_json
        self._template = None if template is None else environment.from_string(template)

    def encode(self, text: str) -> list[int]:
        """The ids of ``text``, special tokens in it recognised and none added."""
        ids: list[int] = self._encoder.encode(text, add_special_tokens=False).ids
        return ids

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """The ids of many texts, in order; much faster than one by one."""
        return [e.ids for e in self._encoder.encode_batch_fast(list(texts), add_special_tokens=False)]

    def render(self, messages: Sequence[Message], add_generation_prompt: bool = False) -> str:
        """The conversation as the model sees it. Raises ``UsageError`` where there is no template or it refuses."""
        if self._template is None:
            raise UsageError(
                "the tokenizer has no chat template", where=self.name, mend="use the tokenizer of an instruct model"
            )
        try:
            return self._template.render(
                messages=[dict(m) for m in messages], add_generation_prompt=add_generation_prompt, **self._special
            )
        except TemplateError as error:
            raise UsageError(
                f"the chat template refuses the conversation: {error}",
                where=self.name,
                mend="use roles in the order that the model was trained with",
            ) from error

    def tokenize_chat(self, messages: Sequence[Message]) -> tuple[list[int], list[int]]:
        """``(input_ids, labels)`` of equal length; labels are ``IGNORED`` outside what the assistant says."""
        return self.tokenize_chats([messages])[0]

    def tokenize_chats(self, conversations: Sequence[Sequence[Message]]) -> list[tuple[list[int], list[int]]]:
        """``tokenize_chat`` of many conversations, in order."""
        raise NotImplementedError


def load_tokenizer(name: str) -> Tokenizer:
    """The tokenizer at ``name``: ``local``, a ``.gguf`` file, a folder with ``tokenizer.json``, or a Hub id.

    Raises ``UsageError`` where the name leads to none, with what to do.
    """
    raise NotImplementedError


def _refuse(message: str) -> None:
    raise TemplateError(message)


def _to_json(value: Any, indent: int | None = None) -> str:
    return json.dumps(value, ensure_ascii=False, indent=indent)
