r"""Does a final answer equal the gold answer? The ``answer`` verifier.

What must stay true: never a silent "no". What cannot be read is ``unparsed`` (the prediction) or ``error`` (the gold).
The ladder: equal text, equal normal form, exact arithmetic on numbers, structure (tuples, lists, sets, intervals)
element by element, and only then Math-Verify, whose yes is accepted unless arithmetic in 50 digits refutes it. Nothing
longer than ``LONGEST`` characters, and no power that is too large to write down, gets as far as sympy. The limits of
the worker bound the rest; Math-Verify's own timeouts (whole seconds, by SIGALRM) are off.

Policies, each an option (recipe ``options``, or ``options`` of one problem): ``tolerance`` (relative, for numbers,
default 0: exact; a decimal of at least 12 digits that agrees with the value to its last digit is always accepted),
``percent`` (``lenient``: 10% is 0.1, and 10 for a bare number above 1; ``value``: 10% is
0.1 only), ``units``
(``lenient``: a missing unit is no error; ``strict``: it is), ``ordered`` (a bare list such as ``1, 2`` in order, default
no; tuples always are), ``symbolic`` (whether Math-Verify is asked), ``last_number`` (extraction).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from fractions import Fraction
from functools import lru_cache
from typing import Any, Final

from tracemill.schemas.enums import Outcome
from tracemill.schemas.errors import UsageError
from tracemill.verifiers.base import Candidate, Judgement, Verifier
from tracemill.verifiers.extract import choice_letter, extract
from tracemill.verifiers.normal import LONGEST, Number, is_words, number, tidy
from tracemill.verifiers.normal import normal_form as normal_form
from tracemill.verifiers.structure import parts

VERSION: Final = "1"
#: Digits from which on a decimal that agrees to its last digit is taken for the exact value.
EXPANSION: Final = 12


@dataclass(frozen=True, slots=True)
class Options:
    """The policies of a comparison; see the module."""

    tolerance: float = 0.0
    percent: str = "lenient"
    units: str = "lenient"
    ordered: bool = False
    symbolic: bool = True
    last_number: bool = False

    def __post_init__(self) -> None:
        allowed = {"percent": ("lenient", "value"), "units": ("lenient", "strict")}
        for name, values in allowed.items():
            if getattr(self, name) not in values:
                raise UsageError(f"option {name} must be one of {', '.join(values)}, not {getattr(self, name)!r}")
        for name in ("ordered", "symbolic", "last_number"):
            if not isinstance(getattr(self, name), bool):
                raise UsageError(f"option {name} must be true or false, not {getattr(self, name)!r}")
        if (
            isinstance(self.tolerance, bool)
            or not isinstance(self.tolerance, int | float)
            or not 0 <= self.tolerance < 1
        ):
            raise UsageError(f"option tolerance must be a number in [0, 1), not {self.tolerance!r}")


def read_options(given: Mapping[str, Any]) -> Options:
    """``given`` as ``Options``. Raises UsageError for an unknown key or an impossible value."""
    known = [f.name for f in fields(Options)]
    unknown = sorted(set(given) - set(known))
    if unknown:
        raise UsageError(f"unknown option {unknown[0]!r} of the answer verifier", mend=f"one of {', '.join(known)}")
    return Options(**given)


@dataclass(frozen=True, slots=True)
class Comparison:
    """What comparing found: an outcome, the rung of the ladder that decided, and why."""

    outcome: Outcome
    reason: str
    rung: str


def check(candidate: Candidate, config: Mapping[str, Any]) -> Judgement:
    """Extract the answer and compare it with ``gold``. Options of ``spec["options"]`` go before those of the recipe."""
    own = candidate.spec.get("options")
    options = _options(tuple(sorted({**config, **own}.items() if own else config.items())))
    found = extract(candidate.response, candidate.finish_reason, options.last_number, candidate.choices)
    if not candidate.gold or not candidate.gold.strip():
        return Judgement(Outcome.ERROR, "the problem has no gold answer", answer=found.answer)
    if found.answer is None:
        return Judgement(Outcome.UNPARSED, found.reason, evidence={"extraction": found.how})
    gold = candidate.gold
    if candidate.choices:
        letter = choice_letter(gold, candidate.choices)
        if letter is None:
            return Judgement(Outcome.ERROR, "the gold answer is none of the choices", answer=found.answer)
        same = letter == found.answer
        comparison = Comparison(Outcome.CORRECT if same else Outcome.INCORRECT, "choice", "choice")
    else:
        comparison = compare(gold, found.answer, options)
    return Judgement(
        comparison.outcome,
        comparison.reason,
        answer=found.answer,
        evidence={"extraction": found.how, "decided_by": comparison.rung},
    )


@lru_cache(maxsize=64)
def _options(items: tuple[tuple[str, Any], ...]) -> Options:
    return read_options(dict(items))


@lru_cache(maxsize=65536)
def compare(gold: str, answer: str, options: Options) -> Comparison:
    """Is ``answer`` the value ``gold``? Both as written; ``gold`` may stand in a box."""
    if "boxed" in gold:
        boxed = extract(gold)
        if boxed.answer is None:
            return Comparison(Outcome.ERROR, f"the gold answer cannot be read: {boxed.reason}", "extraction")
        gold = boxed.answer
    a, b = tidy(gold), tidy(answer)
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
    decided = _exact(a, b, options)
    if decided is not None:
        outcome = Outcome.CORRECT if decided else Outcome.INCORRECT
        return Comparison(outcome, "equal" if decided else "different", "exact")
    if not any(c.isalnum() for c in b):
        return Comparison(Outcome.UNPARSED, "the answer is punctuation", "text")
    if not options.symbolic:
        return Comparison(Outcome.UNPARSED, "needs a symbolic comparison, which is off", "exact")
    from tracemill.verifiers import symbolic  # sympy takes most of a second to import

    outcome, reason = symbolic.compare(a, b, tolerance=options.tolerance)
    return Comparison(outcome, reason, "symbolic")


_NAMED: Final = re.compile(r"([a-zA-Z](?:_\{?\w{1,3}\}?)?)\s*=\s*[^=,;]+$", re.ASCII)
_RATIO: Final = re.compile(r"-?[\d.]+\s*:\s*-?[\d.]+(?::[\d.]+)*$", re.ASCII)
_BASE: Final = re.compile(r"\d[\dA-F]*_(?:\{\d{1,2}\}|\d)$", re.ASCII)
_LETTERED: Final = re.compile(r"\(?([A-J])\)?(?:$|[.):](?:\s|$))")


def _exact(a: str, b: str, options: Options, depth: int = 0) -> bool | None:
    """Decide without algebra; None where it takes more. ``a`` (gold) and ``b`` are tidied."""
    name, other_name = _NAMED.match(a), _NAMED.match(b)
    if name is not None and other_name is not None and name[1] != other_name[1]:
        return False  # x = 1 is not y = 1
    x, y = number(a), number(b)
    if x is not None and y is not None:
        return _same_number(x, y, options)
    if normal_form(a) is not None and normal_form(a) == normal_form(b):
        return True
    if is_words(a) or is_words(b):
        if is_words(a) and is_words(b):
            return False  # equal words have equal normal forms
        if x is not None or y is not None:
            return False
    if _RATIO.match(a) or _RATIO.match(b):
        return _same_ratio(a, b)
    if _BASE.match(a) or _BASE.match(b):
        return _plain_base(a) == _plain_base(b)
    letter = _LETTERED.match(a) if len(a) <= 3 else None
    if letter is not None:
        other = _LETTERED.match(b)
        if other is not None:
            return other[1] == letter[1]
        return False if y is not None or is_words(b) else None
    if depth < 3:
        return _structured(a, b, options, depth)
    return None


def _same_ratio(a: str, b: str) -> bool | None:
    if not (_RATIO.match(a) and _RATIO.match(b)):
        return False if number(a) is not None or number(b) is not None else None
    return [number(p.strip()) for p in a.split(":")] == [number(p.strip()) for p in b.split(":")]


def _plain_base(text: str) -> str:
    return text.replace("{", "").replace("}", "")


def _structured(a: str, b: str, options: Options, depth: int) -> bool | None:
    left, right = parts(a), parts(b)
    if left is None or right is None:
        return None
    if left.kind == "list" or right.kind == "list":
        # A bare list says nothing about order, and equals a set or a tuple of the same elements only as algebra sees it.
        if left.kind != right.kind and "set" not in (left.kind, right.kind):
            return None
        ordered = options.ordered or _all_named(left.items) != _all_named(right.items)  # x = 1, y = 2 is 1, 2 in order
    elif left.kind != right.kind:
        return None if {left.kind, right.kind} == {"set", "tuple"} else False
    else:
        ordered = left.kind != "set"
    if len(left.items) != len(right.items):
        return False if all(map(_atomic, (*left.items, *right.items))) else None
    if ordered:
        found = [_exact(p, q, options, depth + 1) for p, q in zip(left.items, right.items, strict=True)]
        return False if False in found else None if None in found else True
    rest = list(right.items)
    unknown = False
    for item in left.items:
        found = [_exact(item, other, options, depth + 1) for other in rest]
        if True in found:
            rest.pop(found.index(True))
        elif None in found:
            unknown = True
        else:
            return False
    return None if unknown else True


def _all_named(items: tuple[str, ...]) -> bool:
    names = [match[1] for match in map(_NAMED.match, items) if match is not None]
    return len(names) == len(items) == len({name[0] for name in names})  # x_1, x_2 are in no order


def _atomic(text: str) -> bool:
    return number(text) is not None or is_words(text)


def _same_number(gold: Number, said: Number, options: Options) -> bool:
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


def verifier(options: Mapping[str, Any] | None = None) -> Verifier:
    """The ``answer`` verifier with these options. Raises UsageError for an unknown option."""
    given = dict(options or {})
    read_options(given)
    return Verifier("answer", VERSION, check, given)
