r"""Equality by Math-Verify, for what exact arithmetic cannot decide.

What must stay true: a yes is accepted only if arithmetic in 50 digits does not refute it, relative to the size of the
values (Math-Verify compares tiny numbers absolutely); nothing is asked that is too large to evaluate; an exception is
never a "no". Imported only where it is needed, and run only in a worker process under its limits.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from typing import Any, Final

import math_verify
import sympy
from math_verify.parser import LatexExtractionConfig
from sympy.core.relational import Relational

from tracemill.schemas.enums import Outcome
from tracemill.verifiers.normal import number, tidy

logging.getLogger("math_verify").setLevel(logging.CRITICAL)

#: Largest power, in decimal digits, and largest factorial that are evaluated.
DIGITS: Final = 4000
FACTORIAL: Final = 5000
#: Deepest nesting of braces and brackets.
DEPTH: Final = 24
#: Decimal digits of the refutation, and the relative difference above which values differ.
PRECISION: Final = 50
EXACT: Final = 1e-30
#: Digits to which a difference is looked for that the values hide.
HIDDEN: Final = 1500
#: The same where a side is a decimal that stands for an irrational number.
DECIMAL: Final = 1e-11

_POWER: Final = re.compile(
    r"(\d+(?:\.\d+)?|[HS])\s*(?:\^|\*\*)\s*(?:\{\s*([HS]|-?\d+)\s*\}|\(\s*([HS]|-?\d+)\s*\)|([HS]|\d+))"
)
_BRACED: Final = re.compile(r"(?<![a-zA-Z}\]])\{\s*([HS]|\d+)\s*\}|\(\s*([HS]|\d+)\s*\)")
_EXPONENT: Final = re.compile(r"(?:\^|\*\*)\s*(\{[^{}]*\}|\([^()]*\))")
_LARGE: Final = re.compile(r"[HS]|\d{7}")
_FACTORIAL: Final = re.compile(r"(\d+|[HS)\}])\s*!")
_LONG: Final = re.compile(r"\d{400}")
_EQUATION: Final = re.compile(r"(?<![<>!\\])=")
_LEFT: Final = re.compile(r"^\s*(?:[a-zA-Z]|\\[a-zA-Z]+)(?:_\{?\w+\}?|\([a-zA-Z]\))?\s*$")
_FUNCTION: Final = re.compile(r"(?<![\\a-zA-Z])(exp|sin|cos|tan|log|ln)(?=\s*[({])")
_SIGNS: Final = re.compile(r"\+\s*-")
_DECIMAL: Final = re.compile(r"(?<![\d.\\])(\d{0,40})\.(\d{1,40})(?![\d.])", re.ASCII)
_CONFIG: Final = (LatexExtractionConfig(boxed_match_priority=-1),)


def too_large(text: str) -> bool:
    """Whether evaluating ``text`` could take more memory than there is: towers of powers, huge factorials, deep nesting."""
    depth = deepest = 0
    for c in text:
        if c in "{([":
            depth += 1
            deepest = max(deepest, depth)
        elif c in "})]":
            depth -= 1
    if deepest > DEPTH or _LONG.search(text):
        return True
    if any(
        n in ("H", ")", "}") or (n.isdigit() and (len(n) > 5 or int(n) > FACTORIAL)) for n in _FACTORIAL.findall(text)
    ):
        return True
    if "binom" in text and ("^" in text or _LARGE.search(text)):
        return True
    return _tower(text)


def _tower(text: str) -> bool:
    """Estimate powers of numbers from the inside; ``S`` stands for more than 6 digits, ``H`` for more than ``DIGITS``."""
    for _ in range(4 * DEPTH):
        text = _BRACED.sub(lambda match: match[1] or match[2], text)
        match = _POWER.search(text)
        if match is None:
            groups = _EXPONENT.findall(text)
            return any(_LARGE.search(g) or ("^" in g and not any(map(str.isalpha, g))) for g in groups)
        base, exponent = match[1], match[2] or match[3] or match[4]
        if "H" in (base, exponent):
            return True
        if exponent == "S" or len(exponent) > 6:
            return base not in ("0", "1")
        digits = (len(base) if base != "S" else DIGITS) * abs(int(exponent))
        if digits > DIGITS:
            return True
        small = digits <= 6 and base.isdigit() and int(exponent) >= 0
        text = text[: match.start()] + (str(int(base) ** int(exponent)) if small else "S") + text[match.end() :]
    return True


def compare(gold: str, answer: str, tolerance: float = 0.0) -> tuple[Outcome, str]:
    """``correct``, ``incorrect``, ``unparsed`` (the answer cannot be read) or ``error`` (the gold cannot), and why.

    Both are tidied LaTeX or plain text without delimiters, at most ``LONGEST`` characters.
    """
    if too_large(gold):
        return Outcome.ERROR, "the gold answer is too large to evaluate"
    if too_large(answer):
        return Outcome.UNPARSED, "too large to evaluate"
    if number(tidy(gold)) is not None and _is_equation(answer):
        return Outcome.INCORRECT, "an equation is not a value"
    wanted = _parse(gold)
    if not wanted:
        return Outcome.ERROR, "the gold answer cannot be read"
    said = _parse(answer)
    if not said:
        return Outcome.UNPARSED, "the answer cannot be read"
    try:
        same = math_verify.verify(wanted, said, timeout_seconds=None, raise_on_error=True)
    except (
        ArithmeticError,
        AttributeError,
        IndexError,
        KeyError,
        NotImplementedError,
        TypeError,
        ValueError,
        RecursionError,
    ) as error:
        return Outcome.UNPARSED, f"the comparison failed: {type(error).__name__}"
    if not same:
        return Outcome.INCORRECT, "different"
    if _refuted(wanted, said, tolerance):
        return Outcome.INCORRECT, "different in 50 digits"
    return Outcome.CORRECT, "equal by algebra"


def _is_equation(text: str) -> bool:
    """Whether ``text`` equates something other than a bare symbol."""
    match = _EQUATION.search(text)
    return match is not None and _LEFT.match(text[: match.start()]) is None


def _parse(text: str) -> list[Any]:
    """The sympy values that ``text`` may be; empty where Math-Verify reads only a string, or fails."""
    text = _FUNCTION.sub(r"\\\1", text)
    text = _SIGNS.sub("-", text)
    text = _DECIMAL.sub(lambda match: rf"{{\frac{{{int(match[1] + match[2])}}}{{{10 ** len(match[2])}}}}}", text)
    try:
        found = math_verify.parse(f"${text}$", _CONFIG, parsing_timeout=None, raise_on_error=True)
    # The parser is generated code that fails in many ways on hostile text; each of them means "cannot be read".
    except Exception:  # noqa: BLE001
        return []
    return [value for value in found if not isinstance(value, str)]


def _refuted(wanted: Sequence[Any], said: Sequence[Any], tolerance: float) -> bool:
    return all(_differ(x, y, tolerance) is True for x in wanted for y in said)


def _differ(x: Any, y: Any, tolerance: float) -> bool | None:
    """Whether two values differ in 50 digits; None where that cannot be said."""
    if isinstance(x, sympy.MatrixBase) and isinstance(y, sympy.MatrixBase):
        return True if x.shape != y.shape else _any_differ(list(x), list(y), tolerance)
    if isinstance(x, sympy.Tuple) and isinstance(y, sympy.Tuple):
        return True if len(x) != len(y) else _any_differ(list(x), list(y), tolerance)
    if isinstance(x, sympy.FiniteSet) and isinstance(y, sympy.FiniteSet):
        if len(x) != len(y):
            return None
        return any(all(_differ(p, q, tolerance) is True for q in y) for p in x)
    if isinstance(x, Relational) or isinstance(y, Relational):
        return None
    if not (isinstance(x, sympy.Expr) and isinstance(y, sympy.Expr)):
        return None
    return _apart(x, y, tolerance)


def _any_differ(xs: Sequence[Any], ys: Sequence[Any], tolerance: float) -> bool:
    return any(_differ(p, q, tolerance) is True for p, q in zip(xs, ys, strict=True))


def _apart(x: sympy.Expr, y: sympy.Expr, tolerance: float) -> bool | None:
    symbols = sorted(x.free_symbols | y.free_symbols, key=str)
    if len(symbols) > 8:
        return None
    allowed = max(tolerance, DECIMAL if x.has(sympy.Float) or y.has(sympy.Float) else EXACT)
    for shift in range(3):
        point = {s: sympy.Rational(17 + 10 * i + 3 * shift, 13 + 4 * i + shift) for i, s in enumerate(symbols)}
        try:
            at = [e.subs(point) for e in (x, y)]
            p, q = map(complex_value, at)
            gap = sympy.N(at[0] - at[1], 15, maxn=HIDDEN)
        except (ArithmeticError, AttributeError, NotImplementedError, TypeError, ValueError, RecursionError):
            return None
        if p is None or q is None:
            return None
        if abs(p - q) > allowed * max(abs(p), abs(q)):
            return True
        if allowed == EXACT and any(part.is_Float and part and part._prec > 1 for part in gap.as_real_imag()):
            return True  # smaller than 50 digits show, and known to be there
        if not symbols:
            break
    return False


def complex_value(expression: Any) -> Any:
    """``expression`` as a number of 50 digits, None where it is not one."""
    value = sympy.N(expression, PRECISION)
    return value if value.is_number and value.is_finite and not value.has(sympy.nan, sympy.zoo) else None
