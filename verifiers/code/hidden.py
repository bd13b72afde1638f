"""Inputs that no test shows: those of the tests, changed a little, each of the same type as it was.

Which ones are made depends on the tests alone.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any


def hidden_inputs(known: Sequence[Sequence[Any]], most: int) -> list[list[Any]]:
    """At most ``most`` argument lists, each one of ``known`` with one argument changed, none of them in ``known``."""
    if not known:
        return []
    chance = random.Random(0)
    seen = {repr(list(arguments)) for arguments in known}
    found: list[list[Any]] = []
    for attempt in range(4 * most):
        arguments = list(known[attempt % len(known)])
        if not arguments:
            break
        place = chance.randrange(len(arguments))
        arguments[place] = changed(arguments[place], chance)
        if repr(arguments) not in seen:
            seen.add(repr(arguments))
            found.append(arguments)
        if len(found) == most:
            break
    return found


def changed(value: Any, chance: random.Random) -> Any:
    """A value like ``value`` and of its type, most often another."""
    match value:
        case bool():
            return not value
        case int():
            return chance.choice([value + 1, value - 1, -value, 2 * value, 0, 1])
        case float():
            return chance.choice([value + 1.0, value / 2, -value, 0.0])
        case str():
            letters = list(value)
            return "".join(_changed_items(letters, chance, lambda one: chance.choice(value)))
        case list():
            return _changed_items(value, chance, lambda one: changed(one, chance))
        case tuple():
            return tuple(changed(one, chance) if place == 0 else one for place, one in enumerate(value))
        case dict() if value:
            key = chance.choice(list(value))
            return {**value, key: changed(value[key], chance)}
    return value


def _changed_items(items: list[Any], chance: random.Random, other: Any) -> list[Any]:
    if not items:
        return items
    place = chance.randrange(len(items))
    return chance.choice(
        [
            items[:place] + items[place + 1 :],
            items[: place + 1] + items[place:],
            items[::-1],
            [*items[:place], other(items[place]), *items[place + 1 :]],
            sorted(items, key=repr),
        ]
    )
