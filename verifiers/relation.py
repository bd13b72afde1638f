r"""Equations, inequalities and sets of real numbers: what they say, whatever they are written as.

What must stay true: two relations are the same only if the same values satisfy both; a bound that is open is not one that
is closed. ``x < 3``, ``(-\infty, 3)`` and ``\{x \mid x < 3\}`` are one region; ``(1, 2)`` alone may be a point, so it is a region
only beside something that can be nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from itertools import pairwise
from typing import Any, Final

from tracemill.verifiers import value
from tracemill.verifiers.expression import Tree, names, read
from tracemill.verifiers.normal import UNSURE
from tracemill.verifiers.structure import outside, split_top

_RELATION: Final = re.compile(r"\\(?:leqslant|geqslant|le|ge|lt|gt|ne)(?![a-zA-Z])|<=|>=|!=|<|>")
_SENSE: Final = {
    r"\le": ("<", True), r"\leqslant": ("<", True), "<=": ("<", True), r"\lt": ("<", False), "<": ("<", False),
    r"\ge": (">", True), r"\geqslant": (">", True), ">=": (">", True), r"\gt": (">", False), ">": (">", False),
    r"\ne": ("!", False), "!=": ("!", False),
}  # fmt: skip
_EQUALS: Final = re.compile(r"(?<![<>!:=\\])=(?!=)")
_UNION: Final = re.compile(
    r"\s*(?:\\cup(?![a-zA-Z])|\\lor(?![a-zA-Z])|\\vee(?![a-zA-Z])|(?<=[\s)\]])or(?=[\s(\[])|(?<=[)\]])\s*U\s*(?=[(\[]))\s*"
)
_BOTH: Final = re.compile(r"\s*(?:(?<=\s)and(?=\s)|\\land(?![a-zA-Z])|\\wedge(?![a-zA-Z])|,)\s*")
_MEMBER: Final = re.compile(r"([a-zA-Z](?:_\{?\w\}?)?|\\[a-z]+)\s*\\in(?![a-zA-Z])\s*(.+)$", re.DOTALL)
_BUILDER: Final = re.compile(
    r"\\\{\s*([a-zA-Z])\s*(?:\\in\s*\\mathbb\s*\{?R\}?\s*)?(?:\\mid(?![a-zA-Z])|\\vert(?![a-zA-Z])|\||:)\s*(.+)\\\}$",
    re.DOTALL,
)
_REALS: Final = re.compile(r"\\(?:mathbb|mathbf|Bbb)\s*\{?\s*R\s*\}?$|\\R$|all reals?(?: numbers?| x)?$", re.IGNORECASE)
_WITHOUT: Final = re.compile(r"(.+?)\s*\\(?:setminus|backslash)(?![a-zA-Z])\s*\\\{(.+)\\\}$", re.DOTALL)
_INFINITE: Final = re.compile(r"([-+]?)\s*(?:\\infty|infinity|inf|oo)$")
_SYMBOL: Final = re.compile(r"(?:[a-zA-Z]|\\(?!infty)[a-zA-Z]+)(?:_(?:\w|\{\w+\}))?$", re.ASCII)
_LABEL: Final = re.compile(
    rf"(?!.*\b(?:{UNSURE})\b)"
    r"(?:[a-zA-Z](?:_(?:\w|\{\w+\}))?|\\[a-zA-Z]+(?:_(?:\w|\{\w+\}))?|\|[A-Z]{1,3}\||(?:m ?)?\\angle ?[A-Z]{1,3}|\\(?:overline|vec|overrightarrow)\{[A-Za-z]{1,3}\}|[A-Za-z]+(?: [A-Za-z]+){0,5})$",
    re.ASCII,
)
_CALL: Final = re.compile(
    r"([a-zA-Z](?:_\w|_\{\w+\})?|[a-zA-Z]\^\{-1\})\s*\(\s*([a-zA-Z](?:\s*,\s*[a-zA-Z])*)\s*\)$", re.ASCII
)

INFINITE: Final = "\\infty"


@dataclass(frozen=True, slots=True)
class Interval:
    """The values between two bounds; an infinite bound is ``-INFINITE`` or ``INFINITE`` and open."""

    low: Tree
    low_closed: bool
    high: Tree
    high_closed: bool


@dataclass(frozen=True, slots=True)
class Region:
    """A union of intervals in ascending order. ``certain``: it can be nothing else than a region."""

    intervals: tuple[Interval, ...]
    certain: bool
    variable: str | None = None


_LINE: Final = Interval("-" + INFINITE, False, INFINITE, False)


@lru_cache(maxsize=8192)
def region(text: str, depth: int = 0) -> Region | None:
    """The set of real numbers that a tidied text describes; None where it describes none that we read."""
    if depth > 3:
        return None
    text = text.strip()
    builder = _BUILDER.match(text)
    if builder is not None:
        inner = region(builder[2].strip(), depth + 1)
        return None if inner is None or inner.variable not in (builder[1], None) else Region(inner.intervals, True)
    member = _MEMBER.match(text)
    if member is not None and not _RELATION.search(text):
        inner = region(member[2], depth + 1)
        return None if inner is None else Region(inner.intervals, True, member[1])
    pieces = outside(text, _UNION)
    if pieces is None:
        return None
    if len(pieces) > 1:
        return _union([region(piece, depth + 1) for piece in pieces])
    if _RELATION.search(text):
        found = _inequalities(text)
        if found is not None:
            return found
    without = _WITHOUT.match(text)
    if without is not None:
        return _less(region(without[1], depth + 1), without[2])
    if _REALS.match(text):
        return Region((_LINE,), True)
    return _bracketed(text)


def _bracketed(text: str) -> Region | None:
    if text.startswith(r"\{") and text.endswith(r"\}"):
        items = split_top(text[2:-2])
        trees = [read(item) for item in items or ()]
        if not trees or any(tree is None for tree in trees):
            return None
        return Region(tuple(Interval(t, True, t, True) for t in trees if t is not None), False)
    if len(text) < 5 or text[0] not in "([" or text[-1] not in ")]":
        return None
    items = split_top(text[1:-1])
    if items is None or len(items) != 2:
        return None
    low, high = _bound(items[0]), _bound(items[1])
    if low is None or high is None or low == INFINITE or high == "-" + INFINITE:
        return None
    infinite = low == "-" + INFINITE or high == INFINITE
    interval = Interval(low, text[0] == "[" and low != "-" + INFINITE, high, text[-1] == "]" and high != INFINITE)
    return Region((interval,), infinite or (text[0] == "(") != (text[-1] == ")"))


def _bound(text: str) -> Tree | None:
    infinite = _INFINITE.match(text.strip())
    if infinite is not None:
        return ("-" if infinite[1] == "-" else "") + INFINITE
    return read(text)


def _inequalities(text: str) -> Region | None:
    found: Region | None = None
    for piece in outside(text, _BOTH) or ():
        one = _chain(piece)
        if one is None or (found is not None and one.variable != found.variable):
            return None
        found = one if found is None else _intersection(found, one)
        if found is None:
            return None
    return found


_DISTANCE: Final = re.compile(r"\|\s*([a-zA-Z])\s*(?:([-+])\s*([^|]+))?\|\s*(<|\\le|>|\\ge)(?![a-zA-Z])\s*([^|]+)$")


def _distance(match: re.Match[str]) -> Region | None:
    """``|x - a| < r``: what lies nearer to ``a`` than ``r``, or farther from it."""
    centre, radius = read(match[3]) if match[3] else Fraction(0), read(match[5])
    if centre is None or radius is None or names(centre) | names(radius):
        return None
    if match[2] == "+":
        centre = ("neg", centre)
    low: Tree = ("+", centre, ("neg", radius))
    high: Tree = ("+", centre, radius)
    closed = match[4] in (r"\le", r"\ge")
    if match[4] in ("<", r"\le"):
        return Region((Interval(low, closed, high, closed),), True, match[1])
    outer = (Interval("-" + INFINITE, False, low, closed), Interval(high, closed, INFINITE, False))
    return Region(outer, True, match[1])


def _chain(text: str) -> Region | None:
    distance = _DISTANCE.match(text.strip())
    if distance is not None:
        return _distance(distance)
    signs = [_SENSE[match[0]] for match in _RELATION.finditer(text)]
    sides = [side.strip() for side in _RELATION.split(text)]
    variables = [place for place, side in enumerate(sides) if _SYMBOL.match(side) and side not in (r"\pi", "e", "i")]
    if len(variables) != 1 or not 1 <= len(signs) <= 2:
        return None
    place = variables[0]
    if len(signs) == 2 and (place != 1 or signs[0][0] != signs[1][0]):
        return None
    bounds = [None if i == place else _bound(side) for i, side in enumerate(sides)]
    if any(bound is None for i, bound in enumerate(bounds) if i != place):
        return None
    if signs[0][0] == "!":
        other = bounds[1 - place]
        if len(signs) != 1 or other is None:
            return None
        cut = (Interval("-" + INFINITE, False, other, False), Interval(other, False, INFINITE, False))
        return Region(cut, True, sides[place])
    low: tuple[Tree, bool] = ("-" + INFINITE, False)
    high: tuple[Tree, bool] = (INFINITE, False)
    for i, (sense, closed) in enumerate(signs):
        bound, below = (bounds[i], True) if i < place else (bounds[i + 1], False)
        assert bound is not None
        is_low = below == (sense == "<")
        infinite = isinstance(bound, str) and bound.endswith(INFINITE)
        if is_low:
            low = (bound, closed and not infinite)
        else:
            high = (bound, closed and not infinite)
    return Region((Interval(low[0], low[1], high[0], high[1]),), True, sides[place])


def _size(bound: Tree) -> Any:
    if isinstance(bound, str) and bound.endswith(INFINITE):
        return float("-inf") if bound.startswith("-") else float("inf")
    found = value.constant(bound)
    if found is None or hasattr(found, "_mpc_"):
        return None
    return found


def _ordered(intervals: list[Interval]) -> tuple[Interval, ...] | None:
    sizes = [(_size(i.low), _size(i.high)) for i in intervals]
    if any(low is None or high is None for low, high in sizes):
        return None
    try:
        order = sorted(range(len(intervals)), key=lambda place: sizes[place])
    except TypeError:
        return None
    return tuple(intervals[place] for place in order)


def _union(found: list[Region | None]) -> Region | None:
    regions = [one for one in found if one is not None]
    if len(regions) != len(found):
        return None
    variables = {one.variable for one in regions if one.variable is not None}
    ordered = _ordered([interval for one in regions for interval in one.intervals])
    if ordered is None or len(variables) > 1:
        return None
    return Region(ordered, True, next(iter(variables), None))


def _intersection(x: Region, y: Region) -> Region | None:
    if len(x.intervals) != 1 or len(y.intervals) != 1:
        return None
    p, q = x.intervals[0], y.intervals[0]
    if p.low == "-" + INFINITE and q.high == INFINITE:
        p, q = q, p
    if p.high != INFINITE or q.low != "-" + INFINITE:
        return None
    return Region((Interval(p.low, p.low_closed, q.high, q.high_closed),), True, x.variable)


def _less(whole: Region | None, points: str) -> Region | None:
    if whole is None or whole.intervals != (_LINE,):
        return None
    trees = [read(item) for item in split_top(points) or ()]
    ends: list[Tree] = [tree for tree in trees if tree is not None]
    if not ends or len(ends) != len(trees):
        return None
    ordered = _ordered([Interval(end, True, end, True) for end in ends])
    if ordered is None:
        return None
    cuts: list[Tree] = ["-" + INFINITE, *(interval.low for interval in ordered), INFINITE]
    return Region(tuple(Interval(p, False, q, False) for p, q in pairwise(cuts)), True)


def same_region(x: Region, y: Region, equal: Callable[[Tree, Tree], bool | None] = value.same) -> bool | None:
    """Whether two regions hold the same numbers, as written (touching intervals are not joined); ``equal`` compares bounds."""
    if x.variable is not None and y.variable is not None and x.variable != y.variable:
        return False
    if len(x.intervals) != len(y.intervals):
        return False if all(len(r.intervals) < 8 for r in (x, y)) else None
    unknown = False
    for p, q in zip(x.intervals, y.intervals, strict=True):
        if (p.low_closed, p.high_closed) != (q.low_closed, q.high_closed):
            return False
        for bound, other in ((p.low, q.low), (p.high, q.high)):
            infinite = [isinstance(b, str) and b.endswith(INFINITE) for b in (bound, other)]
            if any(infinite):
                if bound != other:
                    return False
                continue
            found = equal(bound, other)
            if found is False:
                return False
            unknown = unknown or found is None
    return None if unknown else True


def inequality(text: str) -> bool:
    """Whether ``text`` compares with an inequality sign."""
    return _RELATION.search(text) is not None


def sides(text: str) -> list[str] | None:
    """The sides of an equation or a chain of them; None where ``text`` is none, or has another relation."""
    if "=" not in text or _RELATION.search(text):
        return None
    found = outside(text, _EQUALS)
    if found is None or len(found) < 2 or not all(part.strip() for part in found[1:]):
        return None
    return [part.strip() for part in found]


def label(text: str) -> bool:
    """Whether the left side of an equation only names what the right side is."""
    return not text or _LABEL.match(text) is not None or _CALL.match(text) is not None


def call(text: str) -> tuple[str, tuple[str, ...]] | None:
    """The name and the variables of ``f(x, y)``."""
    match = _CALL.match(text)
    return None if match is None else (match[1], tuple(v.strip() for v in match[2].split(",")))


def same_equation(x: list[str], y: list[str]) -> bool | None:
    """Whether two equations of two sides have the same solutions: sides that differ by a constant factor, or one variable
    expressed by the others and the other equation linear in it. None where that cannot be said."""
    trees = [read(side) for side in (*x, *y)]
    if any(tree is None for tree in trees):
        return None
    left, right, other_left, other_right = (tree for tree in trees if tree is not None)
    f: Tree = ("+", left, ("neg", right))
    g: Tree = ("+", other_left, ("neg", other_right))
    if names(f) != names(g):
        return False
    ratios = _ratios(f, g)
    if ratios is None:
        return None
    if all(ratio == ratios[0] for ratio in ratios):
        return True
    if _affine(f) and _affine(g):
        return False
    for own, mine, theirs in (((left, right), f, g), ((right, left), f, g), ((other_left, other_right), g, f),
                              ((other_right, other_left), g, f)):  # fmt: skip
        variable, expressed = own
        if isinstance(variable, str) and variable in names(mine) and variable not in names(expressed):
            return _solves(variable, expressed, theirs)
    return None


def same_inequality(x: str, y: str) -> bool | None:
    """Whether two single inequalities are one: the same strictness, sides that differ by a positive constant factor."""
    found = []
    for text in (x, y):
        signs = _RELATION.findall(text)
        parts = _RELATION.split(text)
        trees = [read(part.strip()) for part in parts]
        if len(signs) != 1 or any(tree is None for tree in trees):
            return None
        (sense, closed), (left, right) = _SENSE[signs[0]], (tree for tree in trees if tree is not None)
        if sense == ">":
            left, right = right, left
        found.append((sense == "!", closed, ("+", left, ("neg", right))))
    (p, closed, f), (q, other_closed, g) = found
    if (p, closed) != (q, other_closed) or names(f) != names(g):
        return False
    ratios = _ratios(f, g)
    if ratios is None:
        return None
    return all(ratio == ratios[0] for ratio in ratios) and (p or ratios[0] > 0)


def _ratios(f: Tree, g: Tree) -> list[Fraction] | None:
    """``f`` / ``g`` at several points, where both are rational and not zero; None where there are too few points."""
    ratios = []
    for point in value.points(names(f) | names(g)):
        try:
            p, q = value.evaluate(f, point), value.evaluate(g, point)
        except value.Undecided:
            continue
        if not isinstance(p, Fraction) or not isinstance(q, Fraction):
            return _inexact_ratios(f, g)
        if p and q:
            ratios.append(p / q)
        elif p or q:
            ratios += [Fraction(0), Fraction(1)]
    return ratios if len(ratios) >= value.POINTS else None


def _inexact_ratios(f: Tree, g: Tree) -> list[Fraction] | None:
    """The same for values that are not rational: equal ratios are told by the difference f(p) g(q) - f(q) g(p)."""
    made: list[Fraction] = []
    points = value.points(names(f) | names(g))
    for first, second in pairwise(points):
        try:
            gap = value.crossed(f, g, first, second)
        except value.Undecided:
            continue
        made.append(Fraction(1 if not gap else 2 + len(made)))
    return made if len(made) >= value.POINTS else None


def _affine(f: Tree) -> bool:
    """Whether ``f`` is of first degree in all its variables together: f(p + q) + f(0) = f(p) + f(q) at several points."""
    variables = names(f)
    points = value.points(variables)
    try:
        zero = value.evaluate(f, dict.fromkeys(variables, Fraction(0)))
        for p, q in pairwise(points[:5]):
            both = value.evaluate(f, {name: p[name] + q[name] for name in variables})
            one, other = value.evaluate(f, p), value.evaluate(f, q)
            if not all(isinstance(v, Fraction) for v in (zero, both, one, other)) or both + zero != one + other:
                return False
    except value.Undecided:
        return False
    return True


def _solves(variable: str, expressed: Tree, equation: Tree) -> bool | None:
    """Whether ``equation`` = 0 is linear in ``variable`` and solved by ``expressed``, at several points."""
    tried = 0
    for point in value.points((names(expressed) | names(equation)) - {variable}):
        try:
            at = [value.evaluate(equation, {**point, variable: Fraction(n)}) for n in (0, 1, 3)]
            solution = value.evaluate(expressed, point)
            if not all(isinstance(v, Fraction) for v in (*at, solution)):
                return None
            if at[2] - at[0] != 3 * (at[1] - at[0]) or at[1] == at[0]:
                return None
            if value.evaluate(equation, {**point, variable: solution}):
                return False
        except value.Undecided:
            continue
        tried += 1
    return True if tried >= value.POINTS else None
