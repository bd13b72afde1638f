"""Plain data over the line: values in, JSON out, and back.

What must stay true: a value is read through the built-in type that it is or derives from, so nothing that a candidate's
class overrides (``__eq__``, ``__iter__``, ``__class__``, ``__reduce__`` ...) is ever called, and what arrives on the other
side is of the exact built-in type. Whatever has no such type is no data: ``NotPlain``. Both directions are bounded in
depth and number of values. Nothing decoded can be anything but data.

JSON holds ``None``, booleans, floats (``repr``, exact), strings and lists as they are; small integers too. An object has
one key that names the kind: ``i`` integer in hex, ``t`` tuple, ``s`` set, ``z`` frozenset, ``d`` dict as pairs, ``m`` dict
with text keys, ``b`` bytes in hex, ``y`` bytearray, ``c`` complex, ``q`` deque, ``r`` range, ``e`` Decimal, ``f`` Fraction,
``k`` one of the
built-in types themselves, by name, ``h`` a handle: an object that stays on its own side.
"""

from __future__ import annotations

import collections
import decimal
import fractions
from collections.abc import Callable
from itertools import islice
from typing import Any, Final

DEPTH: Final = 200
VALUES: Final = 1_000_000
_SMALL: Final = 1 << 53

_TYPES: Final = {
    kind.__name__: kind
    for kind in (int, float, bool, str, list, tuple, dict, set, frozenset, bytes, complex, type(None))
}

Hook = Callable[[Any], Any]

#: What ``decode`` raises for what is no data.
BAD: Final = (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError)


class NotPlain(Exception):
    """The value is no plain data; the message names its type, or what there is too much of."""


_bases = type.__dict__["__mro__"].__get__
_name_of = type.__dict__["__name__"].__get__

_to_int, _to_float, _to_str = int.__index__, float.__float__, str.__str__
_items, _list_iter, _tuple_iter = dict.items, list.__iter__, tuple.__iter__
_set_iter, _frozen_iter, _deque_iter = set.__iter__, frozenset.__iter__, collections.deque.__iter__
_to_hex, _array_hex = bytes.hex, bytearray.hex
_real, _imag = (vars(complex)[name].__get__ for name in ("real", "imag"))
_numerator, _denominator = (vars(fractions.Fraction)[name].__get__ for name in ("_numerator", "_denominator"))
_decimal_text = decimal.Decimal.__str__
_range = tuple(vars(range)[name].__get__ for name in ("start", "stop", "step"))


class Encoder:
    """Turns values into JSON structures; ``handle(value)`` decides what stands for one that is no data."""

    def __init__(self, handle: Hook | None = None) -> None:
        self._handle = handle
        self._left = VALUES

    def encode(self, value: Any, depth: int = DEPTH) -> Any:
        """The JSON structure for ``value``; NotPlain where there is none."""
        self._left -= 1
        if depth < 0 or self._left < 0:
            raise NotPlain("nested too deep" if depth < 0 else "too many values")
        kind = type(value)
        if value is None or kind is bool or kind is str:
            return value
        writer = _WRITERS.get(kind)
        if kind is type and value in _TYPES.values():
            return {"k": _name_of(value)}
        if writer is None:
            writer = next((_WRITERS[base] for base in _bases(kind) if base in _WRITERS), None)
        if writer is None:
            if self._handle is not None:
                return {"h": self._handle(value)}
            raise NotPlain(f"a value of type {_name_of(kind)[:80]}")
        return writer(self, value, depth - 1)

    def _all(self, values: Any, depth: int) -> list[Any]:
        items = list(values)
        kinds = set(map(type, items))
        if kinds <= _SCALARS and not (int in kinds and _large(items)):  # most long lists, at the speed of C
            self._left -= len(items)
            return items
        return [self.encode(item, depth) for item in items]

    def _int(self, value: Any, depth: int) -> Any:
        exact = _to_int(value)
        return exact if -_SMALL < exact < _SMALL else {"i": f"{exact:x}"}

    def _dict(self, value: Any, depth: int) -> Any:
        pairs = list(_items(value))
        if all(type(key) is str for key, _ in pairs):
            return {"m": {key: self.encode(item, depth) for key, item in pairs}}
        return {"d": [[self.encode(key, depth), self.encode(item, depth)] for key, item in pairs]}


_SCALARS: Final = frozenset({int, float, str, bool, type(None)})


def _large(items: list[Any]) -> bool:
    numbers = [item for item in items if type(item) is int]
    return not (min(numbers) > -_SMALL and max(numbers) < _SMALL)


_Writer = Callable[[Encoder, Any, int], Any]

_WRITERS: Final[dict[type, _Writer]] = {
    bool: lambda e, v, d: v,
    int: Encoder._int,
    float: lambda e, v, d: _to_float(v),
    str: lambda e, v, d: _to_str(v),
    list: lambda e, v, d: e._all(_list_iter(v), d),
    tuple: lambda e, v, d: {"t": e._all(_tuple_iter(v), d)},
    dict: Encoder._dict,
    set: lambda e, v, d: {"s": e._all(_set_iter(v), d)},
    frozenset: lambda e, v, d: {"z": e._all(_frozen_iter(v), d)},
    bytes: lambda e, v, d: {"b": _to_hex(v)},
    bytearray: lambda e, v, d: {"y": _array_hex(v)},
    complex: lambda e, v, d: {"c": [_real(v), _imag(v)]},
    collections.deque: lambda e, v, d: {"q": e._all(_deque_iter(v), d)},
    range: lambda e, v, d: {"r": [e._int(part(v), d) for part in _range]},
    decimal.Decimal: lambda e, v, d: {"e": _decimal_text(v)},
    fractions.Fraction: lambda e, v, d: {"f": [e._int(_numerator(v), d), e._int(_denominator(v), d)]},
}


def decode(message: Any, handle: Hook | None = None, depth: int = DEPTH) -> Any:
    """The value that ``message`` stands for; one of ``BAD`` for what stands for none.

    ``handle(number)`` gives the stand-in for an object of the other side; without it a handle is a ValueError.
    """
    if depth < -8:
        raise ValueError("nested too deep")
    kind = type(message)
    if kind is list:
        if set(map(type, message)) <= _SCALARS:
            return message
        return [decode(item, handle, depth - 1) for item in message]
    if kind is not dict:
        return message
    if len(message) != 1:
        raise ValueError("not a value")
    ((tag, body),) = message.items()
    if tag == "h":
        if handle is None:
            raise ValueError("an object that is no data")
        return handle(body)
    return _READERS[tag](body, lambda item: decode(item, handle, depth - 1))


_Reader = Callable[[Any, Hook], Any]

_READERS: Final[dict[str, _Reader]] = {
    "k": lambda body, each: _TYPES[body],
    "i": lambda body, each: int(body, 16),
    "t": lambda body, each: tuple(each(item) for item in body),
    "s": lambda body, each: {each(item) for item in body},
    "z": lambda body, each: frozenset(each(item) for item in body),
    "d": lambda body, each: {each(key): each(item) for key, item in body},
    "m": lambda body, each: {str(key): each(item) for key, item in body.items()},
    "b": lambda body, each: bytes.fromhex(body),
    "y": lambda body, each: bytearray.fromhex(body),
    "c": lambda body, each: complex(float(body[0]), float(body[1])),
    "q": lambda body, each: collections.deque(each(item) for item in body),
    "r": lambda body, each: range(*(each(part) for part in islice(body, 3))),
    "e": lambda body, each: decimal.Decimal(body),
    "f": lambda body, each: fractions.Fraction(*(each(part) for part in islice(body, 2))),
}
