r"""Is an answer the gold answer? The ladder from equal text to algebra, on two answers as written.

What must stay true: never a silent "no" (what cannot be read is ``unparsed``, or ``error`` for the gold); a rung answers
only what it can decide and leaves the rest to the next. The rungs: equal text; numbers by exact rational arithmetic; words,
ratios, bases, choice letters; equations, inequalities and regions; expressions by strict reading and arithmetic in more digits
than their sizes can hide; sequences element by element; Math-Verify last, whose yes is accepted unless arithmetic in
50 digits refutes it. Nothing longer than ``LONGEST`` characters is read, and no power too large to write down is computed.

The policies are the fields of ``Options``; ``docs/verifiers.md`` says each with examples.
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any, Final

from tracemill.schemas.enums import Outcome
from tracemill.verifiers import relation, value
from tracemill.verifiers.expression import names, read
from tracemill.verifiers.normal import LONGEST, is_words, noun, number, surface_form, tidy
from tracemill.verifiers.options import Options
from tracemill.verifiers.quantities import equal_trees, is_ratio, same_expression, same_number, same_ratio, same_time
from tracemill.verifiers.structure import Parts, parts

#: Most elements that are matched without order.
UNORDERED: Final = 64
#: Deepest nesting of sequences.
DEPTH: Final = 4


@dataclass(frozen=True, slots=True)
class Comparison:
    """What comparing found: an outcome, why, and the rung of the ladder that decided."""

    outcome: Outcome
    reason: str
    rung: str


@lru_cache(maxsize=65536)
def compare(gold: str, answer: str, options: Options) -> Comparison:
    """Is ``answer`` the value ``gold``? Both as written, without a box around them."""
    a, b = _exactly(tidy(gold)), _exactly(tidy(answer))
    if max(len(a), len(b)) > LONGEST:
        if len(a) > LONGEST:
            return Comparison(Outcome.ERROR, "the gold answer is too long", "length")
        return Comparison(Outcome.UNPARSED, f"the answer is longer than {LONGEST} characters", "length")
    if a.lower() == "nan" or not a:
        return Comparison(Outcome.ERROR, "the gold answer says nothing", "text")
    if not b or b.lower() == "nan":
        return Comparison(Outcome.UNPARSED, "the answer says nothing", "text")
    if a == b:
        return Comparison(Outcome.CORRECT, "equal text", "text")
    decided = _decide(a, b, options)
    if decided is not None:
        outcome = Outcome.CORRECT if decided else Outcome.INCORRECT
        return Comparison(outcome, "equal" if decided else "different", "exact")
    if not any(c.isalnum() for c in b):
        return Comparison(Outcome.UNPARSED, "the answer is punctuation", "text")
    reason = _unaskable(a, b)
    if reason is not None:
        return Comparison(Outcome.UNPARSED, reason, "exact")
    if not options.symbolic:
        return Comparison(Outcome.UNPARSED, "needs a symbolic comparison, which is off", "exact")
    outcome, reason = _algebra().compare(a, b, tolerance=options.tolerance)
    return Comparison(outcome, reason, "symbolic")


def _algebra() -> Any:
    """The module that asks Math-Verify; sympy takes most of a second to import.

    Where the limit of a worker ends the import half-way, what was imported is forgotten, so that the next import is a whole one.
    """
    try:
        from tracemill.verifiers import symbolic
    except BaseException:
        for name in [n for n in sys.modules if n.split(".")[0] in _LIBRARIES or n == "tracemill.verifiers.symbolic"]:
            del sys.modules[name]
        raise
    return symbolic


_LIBRARIES: Final = frozenset(("sympy", "math_verify", "latex2sympy2_extended", "antlr4", "latex2sympy2"))


def _exactly(text: str) -> str:
    """``text`` without the approximation behind its value, where the two agree: 1/3 of ``1/3 \\approx 0.33``."""
    if "approx" not in text and "≈" not in text and "simeq" not in text:
        return text
    exact, *rest = _APPROXIMATELY.split(text)
    about = number(rest[0]) if len(rest) == 1 else None
    tree = read(exact.rpartition("=")[2].strip()) if about is not None else None
    if about is None or tree is None or not value.close(tree, about.value, ROUNDED):
        return text
    return exact


def _unaskable(a: str, b: str) -> str | None:
    """Why algebra is not asked, where its reader would drop or join what is written."""
    if is_words(a):
        return "the answer is not plain words"
    if len(a) <= 3 and _LETTERED.match(a):
        return "the answer is not one letter"
    if (":" in b) != (":" in a) or is_ratio(a):
        return "a ratio beside something else"
    if "\\boxed" in b or "\\fbox" in b:
        return "boxes beside each other in a box"
    if _APART.search(b):
        return "values that stand apart"
    if "$" in b or any(w.lower() not in _NAMES for w in _PROSE.findall(b)):
        return "prose that is not understood"
    if _OTHER.search(b) and not _OTHER.search(a):
        return "a relation that the gold answer has not"
    if relation.sides(b) is not None and relation.sides(a) is None:
        return "an equation that is no plain value"
    return None


#: Words that algebra reads as such; others it would take apart into letters.
_PROSE: Final = re.compile(r"(?<![\\a-zA-Z{])(?:[a-zA-Z]{3,}|or|is|no|at|if|to|of|in|by|be|as|an)(?![a-zA-Z])")
_NAMES: Final = frozenset(
    [
        "sin",
        "cos",
        "tan",
        "cot",
        "sec",
        "csc",
        "arcsin",
        "arccos",
        "arctan",
        "sinh",
        "cosh",
        "tanh",
        "sqrt",
        "exp",
        "log",
        "ln",
        "pi",
        "max",
        "min",
        "gcd",
        "lcm",
        "mod",
        "det",
        "abs",
        "and",
    ]
)
_OTHER: Final = re.compile(r"\\(?:ne|to|mid|implies|Rightarrow|rightarrow|iff|Leftrightarrow|neg|lnot|not)(?![a-zA-Z])")
_APART: Final = re.compile(
    r"[\d})%]\s+\d|(?<![\\A-Za-z])[A-Za-z]\s+\d|\\[dt]?frac\s*\{\s*\d+\s*\}\s*\{\s*\d+\s*\}\s*\\[dt]?frac"
    r"|\\end\s*\{[a-z]*matrix\}\s*\\begin"
)
_APPROXIMATELY: Final = re.compile(r"\s*(?:\\approx(?![a-zA-Z])|\\simeq(?![a-zA-Z])|≈)\s*")
#: Largest difference between a value and the approximation written behind it, relative.
ROUNDED: Final = 0.01
_NAMED: Final = re.compile(r"([a-zA-Z](?:_\{?\w{1,3}\}?)?)\s*=\s*[^=,;]+$", re.ASCII)
_OPTION: Final = re.compile(r"\([A-J]\)\s|[A-J][.)]\s")
_VECTOR: Final = re.compile(r"matrix (?:\d+x1|1x\d+)$")
_BASE: Final = re.compile(r"\d[\dA-F]*_(?:\{\d{1,2}\}|\d)$", re.ASCII)
_LETTERED: Final = re.compile(r"\(?([A-J])\)?(?:$|[.):](?:\s|$))")
_COMMA: Final = re.compile(r"([-+]?\\?[$£€¥]?\s*)(0,\d+|\d+,(?:\d\d|\d{4,}))(\s*\\?[$£€¥%]?)$", re.ASCII)
_SINGLE: Final = re.compile(r"(?<![\\a-zA-Z])(?![eidEI])[a-zA-Z](?![a-zA-Z])")


def _decide(a: str, b: str, options: Options, depth: int = 0) -> bool | None:
    """Decide without algebra; None where it takes more. ``a`` (gold) and ``b`` are tidied."""
    if a == b:
        return True
    name, other_name = _NAMED.match(a), _NAMED.match(b)
    if name is not None and other_name is not None and name[1] != other_name[1] and options.variables == "named":
        return False  # x = 1 is not y = 1
    x, y = number(a), number(b)
    if x is not None and y is not None:
        return same_number(x, y, options)
    if options.decimal_comma and (_COMMA.match(a) is None) != (_COMMA.match(b) is None) and "." in a + b:
        p, q = (number(_COMMA.sub(lambda m: m[1] + m[2].replace(",", ".") + m[3], text)) for text in (a, b))
        if p is not None and q is not None and same_number(p, q, options):
            return True
    if _BASE.match(a) or _BASE.match(b):
        return _plain_base(a) == _plain_base(b)
    here, there = relation.region(a), relation.region(b)
    if here is not None and there is not None and (here.certain or there.certain):
        if options.relations == "gold" and relation.inequality(b) and not relation.inequality(a):
            return False
        return relation.same_region(here, there, partial(equal_trees, options))
    key = surface_form(a)
    if key is not None and key == surface_form(b):
        return True
    if is_words(a) or is_words(b):
        if is_words(a) and is_words(b):
            return False  # equal words have equal normal forms
        if x is not None or y is not None:
            return False
    found = same_time(a, b)
    if found is not None:
        return found
    if is_ratio(a) or is_ratio(b):
        return same_ratio(a, b)
    letter = _LETTERED.match(a) if len(a) <= 3 or _OPTION.match(a) else None
    if letter is not None:
        other = _LETTERED.match(b)
        if other is not None:
            return other[1] == letter[1]
        return False if y is not None or is_words(b) else None
    if options.variables == "any":
        b = _renamed(a, b)
        if a == b:
            return True
    found = _related(a, b, options)
    if found is not None:
        return found
    if depth < DEPTH:
        left, right = parts(_both_signs(a)), parts(_both_signs(b))
        if left is not None and right is not None:
            return _structured(left, right, options, depth)
        if (left is None) != (right is None):
            return _one_and_many(a, b, left, right)
    return same_expression(a, b, options)


def _plain_base(text: str) -> str:
    return text.replace("{", "").replace("}", "")


def _renamed(a: str, b: str) -> str:
    """``b`` with its variables named as those of ``a``, in the order in which they appear; ``b`` where the counts differ."""
    own, other = (list(dict.fromkeys(_SINGLE.findall(text))) for text in (a, b))
    if len(own) != len(other):
        return b
    new = dict(zip(other, own, strict=True))
    return _SINGLE.sub(lambda match: new[match[0]], b)


def _both_signs(text: str) -> str:
    r"""``1 \pm 2`` as the list of its two values."""
    if text.count(r"\pm") != 1 or "," in text:
        return text
    return text.replace(r"\pm", "+") + ", " + text.replace(r"\pm", "-").replace(r"\mp", "+")


def _related(a: str, b: str, options: Options) -> bool | None:
    """Inequalities and equations."""
    found = relation.same_inequality(a, b)
    if found is not None:
        return found
    left, right = relation.sides(a), relation.sides(b)
    if left is None and right is None:
        return None
    if left is not None and right is not None:
        return _equated(left, right, options)
    bare, equation = (a, right) if right is not None else (b, left)
    if equation is None or "," in bare:
        return None
    return _valued(bare, equation, options, gold_is_value=right is not None)


def _equated(left: list[str], right: list[str], options: Options) -> bool | None:
    mine, theirs = relation.call(left[0]), relation.call(right[0])
    if mine is not None and theirs is not None and len(left) == len(right) == 2:
        if mine[0] != theirs[0] or len(mine[1]) != len(theirs[1]):
            return False
        new = dict(zip(theirs[1], mine[1], strict=True))
        renamed = _SINGLE.sub(lambda match: new.get(match[0], match[0]), right[1])
        return _decide(left[1], renamed, options, DEPTH)
    if len(left) == len(right) == 2:
        found = relation.same_equation(left, right)
        if found is not None:
            return found
    if relation.label(left[0]) and relation.label(right[0]):
        if left[0] and right[0] and _tight(left[0]) != _tight(right[0]):
            return None
        one, other = _settled(left, options), _settled(right, options)
        if one is not None and other is not None:
            return _decide(one, other, options, DEPTH)
    return None


def _valued(bare: str, equation: list[str], options: Options, *, gold_is_value: bool) -> bool | None:
    """A value beside an equation: the same where the equation only names that value."""
    sides = equation
    if len(sides) == 2 and not relation.label(sides[0]) and relation.label(sides[1]) and read(sides[1]) is not None:
        sides = sides[::-1]  # 5 = x
    if options.chains == "equal" and not relation.label(sides[0]) and not _constant(sides[0]):
        readable = read(bare) is not None and all(read(side) is not None for side in sides)
        return False if readable or (gold_is_value and number(bare) is not None) else None
    said = _settled(sides, options)
    if said is None:
        return False if gold_is_value and all(read(side) is not None for side in sides[1:]) else None
    named = read(sides[0])
    if isinstance(named, str) and (tree := read(bare)) is not None and named in names(tree):
        return False  # y = ... is not a value in y
    return _decide(bare, said, options, DEPTH) if gold_is_value else _decide(said, bare, options, DEPTH)


def _constant(text: str) -> bool:
    tree = read(text)
    return tree is not None and not names(tree)


def _settled(sides: list[str], options: Options) -> str | None:
    """The last side of a chain whose others name it or have the same value."""
    last = sides[-1]
    if options.chains == "last":
        return last
    named = relation.label(sides[0]) and not _constant(sides[0])
    for side in sides[1:-1] if named else sides[:-1]:
        if not (named and _open(side)) and not _decide(last, side, options, DEPTH):
            return None
    return last


def _open(text: str) -> bool:
    """Whether ``text`` has variables, so that ``A = b h / 2 = 12`` only says how the value came about."""
    tree = read(text)
    return tree is not None and bool(names(tree))


def _tight(text: str) -> str:
    return text.replace(" ", "").replace("{", "").replace("}", "")


def _one_and_many(a: str, b: str, left: Parts | None, right: Parts | None) -> bool | None:
    """A single value beside several: never the same, where the single one is certainly single."""
    single = a if left is None else b
    many = right if left is None else left
    if many is None or (many.kind == "set" and len(many.items) == 1):
        return None
    if number(single) is not None or _constant(single) or is_words(single):
        return False
    return None


def _structured(left: Parts, right: Parts, options: Options, depth: int) -> bool | None:
    if "parts" in (left.kind, right.kind):
        if not {left.kind, right.kind} <= {"parts", "list", "tuple"}:
            return False
        ordered = True
    elif {left.kind, right.kind} == {"list", "tuple"}:
        named = [
            match[1] for match in map(_NAMED.match, (left if left.kind == "list" else right).items) if match is not None
        ]
        if len(named) != len(left.items) or named != sorted(set(named)):
            return None  # (1, 2) is x = 1, y = 2
        ordered = True
    elif "tuple" in (left.kind, right.kind) and any(_VECTOR.match(p.kind) for p in (left, right)):
        ordered = True
    elif left.kind == "list" or right.kind == "list":
        # A bare list says nothing about order, and equals a set or a tuple of the same elements only as algebra sees it.
        if left.kind != right.kind and "set" not in (left.kind, right.kind):
            return None
        # x = 1, y = 2 is 1, 2 in order, and so are 7 goats and 4 pigs
        mine, theirs = _all_named(left.items), _all_named(right.items)
        ordered = options.ordered or mine != theirs
    elif left.kind != right.kind:
        return None if {left.kind, right.kind} == {"set", "tuple"} else False
    else:
        ordered = left.kind != "set"
    if len(left.items) != len(right.items):
        return False if all(map(_atomic, (*left.items, *right.items))) else None
    if ordered:
        return _all(_element(p, q, options, depth) for p, q in zip(left.items, right.items, strict=True))
    if len(left.items) > UNORDERED:
        return None
    rest = list(right.items)
    unknown = False
    for item in left.items:
        found = [_element(item, other, options, depth) for other in rest]
        if True in found:
            rest.pop(found.index(True))
        elif None in found:
            unknown = True
        else:
            return False
    return None if unknown else True


def _all(found: Any) -> bool | None:
    unknown = False
    for one in found:
        if one is False:
            return False
        unknown = unknown or one is None
    return None if unknown else True


def _element(p: str, q: str, options: Options, depth: int) -> bool | None:
    if (one := noun(p)) is not None and (other := noun(q)) is not None and one != other:
        return False  # in a list a noun says which
    return _decide(tidy(p), tidy(q), options, depth + 1)


def _all_named(items: tuple[str, ...]) -> frozenset[str]:
    """What tells the elements apart, where each is named (x = 1) or counts something else (7 goats); else nothing."""
    named = [match[1][0] for match in map(_NAMED.match, items) if match is not None]  # x_1, x_2 are in no order
    counted = [found for found in map(noun, items) if found is not None]
    for found in (named, counted):
        if len(found) == len(items) == len(set(found)):
            return frozenset(found)
    return frozenset()


def _atomic(text: str) -> bool:
    return number(text) is not None or is_words(text) or _constant(text)
