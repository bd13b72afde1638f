"""From a file, or the name of a shipped recipe, and overrides to a validated recipe."""

from __future__ import annotations

import difflib
import os
from collections.abc import Hashable, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from types import UnionType
from typing import Any, Final, TypeVar, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError

from tracemill.schemas.errors import DataError, UsageError
from tracemill.schemas.recipe import Recipe

SUFFIXES: Final = (".yaml", ".yml", ".json")
MOST_ERRORS: Final = 8
M = TypeVar("M", bound=BaseModel)


def shipped() -> list[str]:
    """The names of the recipes that come with Tracemill."""
    return sorted(f.name.removesuffix(".yaml") for f in files(__package__).iterdir() if f.name.endswith(".yaml"))


def load_recipe(name_or_path: str, overrides: Sequence[str] = ()) -> Recipe:
    """The recipe in a YAML or JSON file, or the shipped one of that name, changed by ``key.path=value`` overrides.

    Override values are read as YAML. Raises ``UsageError`` for whatever is wrong with the document, ``DataError`` where it
    cannot be read.
    """
    document, where = _read(name_or_path)
    return overridden(Recipe, document, overrides, where=where)


def overridden(model: type[M], document: dict[str, Any], overrides: Sequence[str], *, where: str) -> M:
    """``document``, changed in place by ``overrides``, as a ``model``; raises as ``load_recipe``."""
    for override in overrides:
        _override(document, override)
    return validated(model, document, where=where)


def validated(model: type[M], document: Mapping[str, Any], *, where: str) -> M:
    """``document`` as a ``model``; otherwise a ``UsageError`` naming each key path, what was given and what is allowed."""
    try:
        return model.model_validate(document)
    except ValidationError as error:
        found = error.errors(include_url=False)
        lines = [_explained(model, dict(item)) for item in found[:MOST_ERRORS]]
        if len(found) > MOST_ERRORS:
            lines.append(f"and {len(found) - MOST_ERRORS} more")
        what = lines[0] if len(lines) == 1 else "".join(f"\n  {line}" for line in lines)
        raise UsageError(what, where=where, mend="correct the keys named above") from None


def _read(name_or_path: str) -> tuple[dict[str, Any], str]:
    if not name_or_path.endswith(SUFFIXES) and os.sep not in name_or_path and not os.path.exists(name_or_path):
        if name_or_path not in shipped():
            near = difflib.get_close_matches(name_or_path, shipped(), 1)
            guess = f"did you mean {near[0]!r}? " if near else ""
            raise UsageError(
                f"no such file and no shipped recipe of that name{'' if not guess else f' ({guess.strip()})'}",
                where=name_or_path,
                mend=f"give a .yaml file, or one of: {', '.join(shipped())}",
            )
        return _parsed(
            files(__package__).joinpath(f"{name_or_path}.yaml").read_text("utf-8"), name_or_path
        ), name_or_path
    try:
        text = Path(name_or_path).read_text("utf-8")
    except FileNotFoundError:
        raise UsageError(
            "no such file", where=name_or_path, mend=f"give a .yaml file, or one of: {', '.join(shipped())}"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"cannot be read: {error}", where=name_or_path) from error
    return _parsed(text, name_or_path), name_or_path


def _parsed(text: str, where: str) -> dict[str, Any]:
    try:
        document = yaml.load(text, _Strict)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = where if mark is None else f"{where}:{mark.line + 1}:{mark.column + 1}"
        raise UsageError(error.problem or "not YAML", where=place, mend="correct the file at that place") from None
    except yaml.YAMLError as error:
        raise UsageError(f"not YAML: {error}", where=where) from None
    if not isinstance(document, dict):
        raise UsageError("a recipe is a mapping of keys to values", where=where, mend="start with: name: my-run")
    return document


class _Strict(yaml.SafeLoader):
    """YAML in which a key may appear once."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[Hashable] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if isinstance(key, Hashable) and key in seen:
                raise yaml.constructor.ConstructorError(None, None, f"duplicate key {key!r}", key_node.start_mark)
            if isinstance(key, Hashable):
                seen.add(key)
        return super().construct_mapping(node, deep)


def _override(document: dict[str, Any], override: str) -> None:
    path, equals, text = override.partition("=")
    where = f"--set {path}"
    if not equals or not path:
        raise UsageError("not key=value", where=where, mend="for example: --set strategy.n=8")
    try:
        value = yaml.load(text, _Strict)
    except yaml.YAMLError:
        raise UsageError("the value is not YAML", where=where, mend="quote it: --set 'template.user=\"...\"'") from None
    place: Any = document
    *parents, last = path.split(".")
    for key in parents:
        place = _step(place, key, where)
    if isinstance(place, list):
        place[_index(place, last, where)] = value
    elif isinstance(place, dict):
        place[last] = value
    else:
        raise UsageError(f"{path.rpartition('.')[0]} holds a single value, it has no keys", where=where)


def _step(place: Any, key: str, where: str) -> Any:
    if isinstance(place, list):
        return place[_index(place, key, where)]
    if not isinstance(place, dict):
        raise UsageError(f"there is nothing below {key!r}", where=where)
    if place.get(key) is None:
        place[key] = {}
    return place[key]


def _index(items: list[Any], key: str, where: str) -> int:
    if not key.isdecimal() or int(key) >= len(items):
        raise UsageError(f"no item {key!r} in a list of {len(items)}", where=where, mend="items count from 0")
    return int(key)


def _explained(model: type[BaseModel], error: dict[str, Any]) -> str:
    path = ".".join(str(part) for part in error["loc"])
    if error["type"] == "extra_forbidden":
        known = _keys(model, error["loc"][:-1])
        near = difflib.get_close_matches(str(error["loc"][-1]), known, 1, 0.5)
        return f"{path}: unknown key; " + (f"did you mean {near[0]}?" if near else f"known: {', '.join(known)}")
    if error["type"] == "missing":
        return f"{path}: missing"
    message = error["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
    if error["type"] == "value_error":
        return f"{path}: {message}" if path else message
    return f"{path}: must be {message}, not {_short(error['input'])}"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _keys(model: type[BaseModel], loc: Sequence[Any]) -> list[str]:
    """The keys that are allowed at ``loc`` below ``model``."""
    place: type[BaseModel] | None = model
    for part in loc:
        if place is None or not isinstance(part, str):
            continue
        field = place.model_fields.get(part)
        place = None if field is None else _model_in(field.annotation)
    return [] if place is None else list(place.model_fields)


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    if get_origin(annotation) in (list, tuple, Union, UnionType):
        return next((found for part in get_args(annotation) if (found := _model_in(part))), None)
    return None
