"""``recipe.json``: which run a folder is, and every recipe under which it was worked on.

The identity never changes over a run's life; a start whose tunable keys differ adds to the history, and every start adds
one to ``invocation``.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from pydantic import ValidationError

from tracemill.schemas import ids
from tracemill.schemas.errors import StoreError, UsageError
from tracemill.schemas.recipe import ImportRecipe, Recipe

RECIPE: str = "recipe.json"
FORMAT: int = 1

AnyRecipe = Recipe | ImportRecipe


@dataclass(frozen=True, slots=True)
class Entry:
    """A recipe as first given; ``started_at`` is ISO 8601 in UTC, ``invocation`` the start that brought it."""

    recipe: Mapping[str, Any]
    recipe_hash: str
    invocation: int
    started_at: str


@dataclass(frozen=True, slots=True)
class History:
    """What ``recipe.json`` says. ``run_id`` is drawn at the first start and kept, so two runs of one recipe differ in it."""

    name: str
    kind: str
    run_id: str
    identity_hash: str
    invocation: int
    entries: tuple[Entry, ...]

    @classmethod
    def first(cls, recipe: AnyRecipe) -> History:
        run_id = ids.digest("run", recipe.name, recipe.identity_hash, now(), secrets.token_hex(8))
        return cls(recipe.name, kind_of(recipe), run_id, recipe.identity_hash, 1, (_entry(recipe, 1),))

    def next(self, recipe: AnyRecipe) -> History:
        """This history with one more start, under ``recipe``, which must have the same identity."""
        number = self.invocation + 1
        same = recipe.recipe_hash == self.entries[-1].recipe_hash
        return replace(
            self, invocation=number, entries=self.entries if same else (*self.entries, _entry(recipe, number))
        )

    def recipe(self, *, where: str) -> AnyRecipe:
        """The newest recipe. Raises ``StoreError`` where this Tracemill no longer reads it."""
        model = Recipe if self.kind == "synthesize" else ImportRecipe
        try:
            return model.model_validate(self.entries[-1].recipe)
        except ValidationError as error:
            first = error.errors()[0]
            raise StoreError(
                f"the recipe of this run cannot be read: {'.'.join(map(str, first['loc']))}: {first['msg']}",
                where=where,
                mend="use the Tracemill that made the run, or start another with --out",
            ) from error

    def to_json(self) -> bytes:
        document = {
            "format": FORMAT,
            "name": self.name,
            "kind": self.kind,
            "run_id": self.run_id,
            "identity_hash": self.identity_hash,
            "invocation": self.invocation,
            "history": [
                {
                    "recipe": dict(entry.recipe),
                    "recipe_hash": entry.recipe_hash,
                    "invocation": entry.invocation,
                    "started_at": entry.started_at,
                }
                for entry in self.entries
            ],
        }
        return json.dumps(document, ensure_ascii=False, indent=2).encode()

    @classmethod
    def from_json(cls, data: bytes, *, where: str) -> History:
        """Raises ``StoreError`` naming ``where`` for anything that ``to_json`` did not write."""
        try:
            document = json.loads(data)
            if document["format"] != FORMAT:
                raise StoreError(
                    f"the run has format {document['format']}; this Tracemill reads {FORMAT}",
                    where=where,
                    mend="upgrade Tracemill",
                )
            entries = tuple(
                Entry(e["recipe"], e["recipe_hash"], e["invocation"], e["started_at"]) for e in document["history"]
            )
            if not entries or document["kind"] not in ("synthesize", "import"):
                raise ValueError("no history")
            return cls(
                document["name"],
                document["kind"],
                document["run_id"],
                document["identity_hash"],
                document["invocation"],
                entries,
            )
        except (ValueError, KeyError, TypeError) as error:
            raise StoreError(
                f"damaged: {type(error).__name__} {error}",
                where=where,
                mend="restore the file, or start another run and give this one with --reuse",
            ) from error


def kind_of(recipe: AnyRecipe) -> str:
    return "synthesize" if isinstance(recipe, Recipe) else "import"


def is_of(held: History, recipe: AnyRecipe) -> bool:
    """Whether ``recipe`` may resume the run: its kind and its identity are the run's."""
    return held.kind == kind_of(recipe) and held.identity_hash == recipe.identity_hash


def refuse_other(held: History, recipe: AnyRecipe, *, where: str) -> None:
    """Raise ``UsageError`` listing every identity key in which ``recipe`` is not the run's, with both values."""
    if is_of(held, recipe):
        return
    if held.kind != kind_of(recipe):
        differing = [f"kind: {held.kind} in the run, {kind_of(recipe)} now"]
    else:
        old = dict(_flat(held.recipe(where=where).identity()))
        new = dict(_flat(recipe.identity()))
        differing = [
            f"{key}: {_shown(old, key)} in the run, {_shown(new, key)} now"
            for key in sorted(old.keys() | new.keys())
            if old.get(key, ...) != new.get(key, ...)
        ]
    raise UsageError(
        "this folder holds a run of another recipe; these identity keys differ:\n    " + "\n    ".join(differing),
        where=where,
        mend="start a new run that reuses what this one paid for (--out NEW --reuse OLD),\n"
        "        or set this one aside and start over in its place (--fresh)",
    )


def now() -> str:
    """The time as it is stored: ISO 8601, UTC, microseconds."""
    return datetime.now(UTC).isoformat(timespec="microseconds")


def _entry(recipe: AnyRecipe, invocation: int) -> Entry:
    return Entry(recipe.model_dump(mode="json"), recipe.recipe_hash, invocation, now())


def _flat(value: Any, path: str = "") -> list[tuple[str, Any]]:
    """``value`` as (key path, plain value) pairs; an empty list or object is a value of its own."""
    if isinstance(value, Mapping) and value:
        return [pair for key, item in value.items() for pair in _flat(item, f"{path}.{key}" if path else str(key))]
    if isinstance(value, list | tuple) and value:
        return [pair for i, item in enumerate(value) for pair in _flat(item, f"{path}[{i}]")]
    return [(path, value)]


def _shown(values: Mapping[str, Any], key: str) -> str:
    return ids.canonical_json(values[key]) if key in values else "absent"
