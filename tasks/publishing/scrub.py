"""What a published row may not say: where it was made, and with whose keys.

What must stay true: no absolute path, host name or address of the machine leaves it in what Tracemill wrote itself; model
text, prompts and answers are published word for word, or not at all where they hold the value of a secret.
"""

from __future__ import annotations

import json
import os
import re
import socket
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from tracemill.schemas import ids
from tracemill.schemas.errors import UsageError

#: Values shorter than this are words, not keys.
SHORTEST_SECRET: Final = 8

_SECRET_NAME: Final = re.compile(r".*(_API_KEY|_TOKEN|_SECRET)|HF_TOKEN|HUGGING_FACE_HUB_TOKEN")
_PATH: Final = re.compile(r"(?<![\w./:])(?:/|[A-Za-z]:\\)(?:[^\s/\\:\"'<>|,]+[/\\])+([^\s/\\:\"'<>|,]*)")
_ADDRESS: Final = re.compile(r"\b\w+://[^\s\"'<>]+|\b(?:\d{1,3}\.){3}\d{1,3}(?::\d+)?|\b[\w-]+(?:\.[\w-]+)*:\d{2,5}\b")
_FLAG: Final = re.compile(r"--?[\w-]*(key|token|secret|password|auth)[\w-]*", re.IGNORECASE)

#: Recipe keys that say where something runs and not what was done.
_PRIVATE_KEYS: Final = frozenset({"base_url", "executable", "environment", "recording", "api_key_env"})

HIDDEN: Final = "<removed>"


def secrets(environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Name -> value of the environment variables that look like keys."""
    return {
        name: value
        for name, value in environment.items()
        if _SECRET_NAME.fullmatch(name.upper()) and len(value) >= SHORTEST_SECRET
    }


@dataclass(frozen=True, slots=True)
class Scrubber:
    """``places`` are this machine's own paths, ``hosts`` its names: both are taken out wherever we wrote them."""

    places: tuple[str, ...]
    hosts: tuple[str, ...]

    @classmethod
    def here(cls, run_path: str) -> Scrubber:
        places = {run_path, os.path.dirname(run_path), os.getcwd(), os.path.expanduser("~"), tempfile.gettempdir()}
        hosts = {socket.gethostname(), socket.getfqdn()} - {"localhost"}
        return cls(
            tuple(sorted((p for p in places if len(p) > 2), key=len, reverse=True)),
            tuple(sorted((h for h in hosts if len(h) > 3), key=len, reverse=True)),
        )

    def own(self, text: str) -> str:
        """``text`` without this machine's paths: for columns that may quote a model."""
        for place in self.places:
            text = text.replace(place, "")
        return text

    def leaf(self, text: str) -> str:
        """``text`` with every absolute path cut down to its last part, and without this machine's names."""
        text = _PATH.sub(r"\1", text)
        for host in self.hosts:
            text = text.replace(host, HIDDEN)
        return text

    def message(self, text: str) -> str:
        """An error message without paths and addresses."""
        return self.leaf(_ADDRESS.sub(HIDDEN, text))

    def document(self, text: str) -> str:
        """A JSON document without paths, addresses, executables, environments and key arguments."""
        return ids.canonical_json(self._value(json.loads(text)))

    def _value(self, value: Any) -> Any:
        match value:
            case str():
                return self.leaf(value)
            case list():
                held = [self._value(item) for item in value]
                return [
                    HIDDEN
                    if isinstance(before, str) and _FLAG.fullmatch(before)
                    else f"{item.split('=')[0]}={HIDDEN}"
                    if isinstance(item, str) and "=" in item and _FLAG.fullmatch(item.split("=")[0])
                    else item
                    for before, item in zip([None, *held], held, strict=False)
                ]
            case dict():
                return {key: None if key in _PRIVATE_KEYS else self._value(item) for key, item in value.items()}
        return value


def columns_of(name: str, scrubber: Scrubber) -> Mapping[str, Callable[[str], str | None]]:
    """How each column of the table or view ``name`` is cleaned; columns that are not named are published as they are."""

    def nothing(_: str) -> None:
        return None

    leaf, own, message, document = scrubber.leaf, scrubber.own, scrubber.message, scrubber.document
    known: dict[str, dict[str, Callable[[str], str | None]]] = {
        "runs": {"recipe": document, "host": nothing, "engine": leaf, "engine_version": leaf, "canaries": document},
        "problems": {"source": leaf, "source_row": leaf},
        "policies": {"model": leaf, "revision": leaf},
        "traces": {"strategy": document, "error": message},
        "requests": {"replica": nothing, "error": message},
        "verdicts": {"reason": own, "evidence": own},
        "drops": {"subject_id": leaf, "detail": message},
        "trees": {"strategy": leaf, "parameters": document},
    }
    view = {"model": leaf, "source": leaf, "error": message, "verdict_reason": own, "tokenizer": leaf}
    return known.get(name, {} if name in ("templates", "samplings") else view)


def clean(batch: pa.Table, columns: Mapping[str, Callable[[str], str | None]]) -> pa.Table:
    """``batch`` with its named columns cleaned; each distinct value is looked at once."""
    for name, change in columns.items():
        if name in batch.column_names:
            place = batch.schema.get_field_index(name)
            encoded = batch[name].combine_chunks().dictionary_encode()
            held = encoded.dictionary.to_pylist()
            cleaned = [change(value) for value in held]
            if cleaned != held:
                values = pa.array(cleaned, pa.string()).take(encoded.indices)
                batch = batch.set_column(place, batch.schema.field(place), values)
    return batch


def refuse_secrets(batch: pa.Table, where: str, held: Mapping[str, str]) -> None:
    """Raise ``UsageError`` naming ``where``, column and variable, never the value, if a text of ``batch`` holds a secret."""
    for name, value in held.items():
        for column in batch.column_names:
            for texts in _texts(batch[column]):
                if pc.any(pc.match_substring(texts, value)).as_py():
                    raise _refusal(f"{where}, column {column}", name)


def refuse_secrets_in(text: str, where: str, held: Mapping[str, str]) -> None:
    """The same for a text file."""
    for name, value in held.items():
        if value in text:
            raise _refusal(where, name)


def _refusal(where: str, name: str) -> UsageError:
    return UsageError(
        f"holds the value of the environment variable {name}, so nothing was published",
        where=where,
        mend="remove it from the data and renew the key, or unset the variable if it is no secret",
    )


def _texts(array: Any) -> Iterator[Any]:
    """The text arrays in ``array``, however nested."""
    if isinstance(array, pa.ChunkedArray):
        for chunk in array.chunks:
            yield from _texts(chunk)
    elif pa.types.is_string(array.type) or pa.types.is_large_string(array.type):
        yield array
    elif pa.types.is_list(array.type):
        yield from _texts(array.flatten())
    elif pa.types.is_struct(array.type):
        for field in array.flatten():
            yield from _texts(field)
