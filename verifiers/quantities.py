"""Two single values: numbers with units and percent signs, ratios, times of day, expressions.

What must stay true: rational values are compared exactly; a tolerance is relative to the gold value and has to be asked for; a
value is never compared with one that measures something else.
"""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Final

from tracemill.verifiers import value
from tracemill.verifiers.expression import Tree, read
from tracemill.verifiers.normal import Number, number, split_unit
from tracemill.verifiers.options import Options

#: Digits from which on a decimal that agrees to its last digit is taken for the exact value.
EXPANSION: Final = 12

_RATIO: Final = re.compile(r"-?[\d.]+\s*:\s*-?[\d.]+(?::[\d.]+)*$", re.ASCII)
_TO: Final = re.compile(r"(?<=\d) to (?=\d)")
_CLOCK: Final = re.compile(r"(\d{1,2}):(\d\d)(?:\s*([ap])\.?\s*m\.?)?$", re.ASCII | re.IGNORECASE)


def same_time(a: str, b: str) -> bool | None:
    """Whether two times of day are the same; a gold one without a.m. or p.m. takes either. None where one is no time, or both
    may be ratios."""
    clock, other = _CLOCK.match(a), _CLOCK.match(b)
    if clock is None or other is None or not (clock[3] or other[3]):
        return None
    if clock[3] and clock[3].lower() != (other[3] or "").lower():
        return False
    return int(clock[1]) == int(other[1]) and clock[2] == other[2]


def is_ratio(text: str) -> bool:
    """Whether ``text`` is a ratio such as ``3:5`` or ``3 to 5``."""
    return _RATIO.match(_TO.sub(":", text)) is not None


def same_ratio(a: str, b: str) -> bool | None:
    """Whether two ratios, or a ratio and a fraction, are the same; None for what is neither."""
    a, b = _TO.sub(":", a), _TO.sub(":", b)
    if not (_RATIO.match(a) and _RATIO.match(b)):
        if (
            a.count(":") + b.count(":") == 1
            and "/" in (a + b).replace("\\frac", "/")
            and (whole := _quotient(a)) is not None
        ):
            return whole == _quotient(b)  # 3:5 and 3/5
        return False if number(a) is not None or number(b) is not None else None
    return [number(p.strip()) for p in a.split(":")] == [number(p.strip()) for p in b.split(":")]


def _quotient(text: str) -> Fraction | None:
    """The value of ``3:5``, ``3/5`` or 3 over 5 in LaTeX."""
    found = [number(p.strip()) for p in text.split(":")]
    if len(found) == 1 and found[0] is not None and found[0].unit is None and not found[0].percent:
        return found[0].value
    if len(found) != 2 or found[0] is None or found[1] is None or not found[1].value:
        return None
    return found[0].value / found[1].value


def same_expression(a: str, b: str, options: Options) -> bool | None:
    """Two expressions, each with a unit behind it perhaps."""
    x, y = _measured(a), _measured(b)
    if x is None or y is None:
        return None
    (tree, unit), (other, other_unit) = x, y
    if unit is not None and other_unit is not None:
        if unit[0] != other_unit[0]:
            return False
        tree, other = _times(tree, unit[1]), _times(other, other_unit[1])
    elif unit != other_unit and options.units == "strict":
        return False
    found = equal_trees(options, tree, other)
    if found is False and value.expands(_plain(a), other):
        return True
    if found is False and value.expands(_plain(b), tree):
        return True
    return found


def equal_trees(options: Options, x: Tree, y: Tree) -> bool | None:
    """Whether two expressions have one value, or constants differ by no more than the tolerance."""
    found = value.same(x, y)
    if found is False and options.tolerance:
        return value.close(x, y, options.tolerance) or False
    return found


def _plain(text: str) -> Number | None:
    found = number(text)
    return found if found is not None and found.digits is not None and found.digits >= EXPANSION else None


def _times(tree: Tree, factor: Fraction) -> Tree:
    return tree if factor == 1 else ("*", factor, tree)


def _measured(text: str) -> tuple[Tree, tuple[str, Fraction] | None] | None:
    text = _unlabelled(text)
    core, scale, unit = split_unit(text)
    if core != text and (unit is not None or _LONG_WORD.search(text[len(core) :])) and (tree := read(core)) is not None:
        return _times(tree, scale), unit
    tree = read(text)
    if tree is not None:
        return tree, None
    known = number(text)
    if known is not None:
        return (known.value / 100 if known.percent else known.value), known.unit
    return None


_LONG_WORD: Final = re.compile(r"[a-zA-Z]{4}")


def _unlabelled(text: str) -> str:
    return text[1:].lstrip() if text.startswith("=") else text


def same_number(gold: Number, said: Number, options: Options) -> bool:
    """Whether ``said`` is the number ``gold`` under the policies for percent signs, units and tolerance."""
    x, y = gold.value, said.value
    if gold.percent or said.percent:
        if gold.percent == said.percent:
            return _close(x, y, gold, said, options)
        p, q = (x / 100 if gold.percent else x), (y / 100 if said.percent else y)
        bare = x if said.percent else y
        if (options.percent == "value" or abs(bare) <= 1) and _close(p, q, gold, said, options):
            return True
        return options.percent == "lenient" and abs(bare) > 1 and _close(x, y, gold, said, options)
    if gold.unit is not None and said.unit is not None:
        if gold.unit[0] != said.unit[0]:
            return False
        return _close(x * gold.unit[1], y * said.unit[1], gold, said, options)
    if options.units == "strict" and gold.unit != said.unit:
        return False
    return _close(x, y, gold, said, options)


def _close(x: Fraction, y: Fraction, gold: Number, said: Number, options: Options) -> bool:
    if x == y:
        return True
    if options.tolerance and abs(x - y) <= Fraction(options.tolerance) * abs(x):
        return True
    for one, scale in ((gold, abs(x)), (said, abs(y))):
        if one.digits is not None and one.digits >= EXPANSION and one.value:
            step = one.ulp * scale / abs(one.value)
            other = said if one is gold else gold
            if other.digits is None and abs(x - y) < step:
                return True
    return False
