r"""The values of expressions and whether two of them are the same, by arithmetic alone.

What must stay true: rational arithmetic is exact; a value that is not rational is computed to more digits than the sizes of
all intermediate values can hide, so that "the same" never rests on rounding; what cannot be decided is None, never a guess.
Expressions with variables are compared at several rational points (a polynomial identity test, Schwartz 1980 and
Zippel 1979, for whatever can be evaluated): one point where they differ in a real value refutes.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping
from fractions import Fraction
from functools import lru_cache
from typing import Any, Final

from tracemill.verifiers.expression import Tree, names
from tracemill.verifiers.normal import Number
from tracemill.verifiers.tokens import FUNCTIONS

#: Largest power and factorial that is computed, in decimal digits and as a number.
DIGITS: Final = 4000
FACTORIAL: Final = 3000
#: Digits beyond the span of the intermediate values, and the most digits that are computed with.
SPARE: Final = 60
MOST: Final = 6000
#: Most variables, and the fewest points at which equal expressions have to be real.
VARIABLES: Final = 6
POINTS: Final = 3
#: Points that are tried.
TRIALS: Final = 13

Value = Any  # Fraction, mpmath.mpf or mpmath.mpc


class Undecided(Exception):
    """The value cannot be computed, or not to enough digits."""


class _Evaluation:
    """Evaluates trees at one point in one precision and remembers how large and small
    the values on the way were, and how long the exact ones."""

    def __init__(self, point: Mapping[str, Value], digits: int) -> None:
        self.point = point
        self.mp: Any = _context(digits)
        self.high = 0
        self.low = 0
        self.bits = 0

    def exact(self, value: Value) -> bool:
        return isinstance(value, Fraction)

    def _seen(self, value: Value) -> Value:
        for part in (value.real, value.imag) if isinstance(value, self.mp.mpc) else (value,):
            if not self.mp.isfinite(part):
                raise Undecided
            if part:
                size = self.mp.mag(part)
                self.high, self.low = max(self.high, size), min(self.low, size)
        return value

    def inexact(self, value: Value) -> Value:
        if isinstance(value, Fraction):
            self.bits = max(self.bits, value.numerator.bit_length() + value.denominator.bit_length())
            return self._seen(self.mp.mpf(value.numerator) / value.denominator)
        return value

    def __call__(self, tree: Tree) -> Value:
        if isinstance(tree, Fraction):
            return tree
        if isinstance(tree, str):
            return self._name(tree)
        operation, *parts = tree
        if operation == "^":
            return self._power(self(parts[0]), self(parts[1]))
        values = [self(part) for part in parts]
        return _OPERATIONS[str(operation)](self, *values)

    def _name(self, name: str) -> Value:
        if name == r"\pi":
            return self._seen(+self.mp.pi)
        if name == r"\e":
            return self._seen(+self.mp.e)
        if name == r"\i":
            return self.mp.mpc(0, 1)
        return self.point[name]

    def add(self, *values: Value) -> Value:
        total = values[0]
        for value in values[1:]:
            if self.exact(total) and self.exact(value):
                total = total + value
            else:
                total = self._real(self._seen(self.inexact(total) + self.inexact(value)))
        return total

    def _real(self, value: Value) -> Value:
        return value.real if isinstance(value, self.mp.mpc) and not value.imag else value

    def multiply(self, x: Value, y: Value) -> Value:
        if self.exact(x) and self.exact(y):
            return x * y
        if (self.exact(x) and not x) or (self.exact(y) and not y):
            return Fraction(0)
        return self._real(self._seen(self.inexact(x) * self.inexact(y)))

    def divide(self, x: Value, y: Value) -> Value:
        if not y:
            raise Undecided
        if self.exact(x) and self.exact(y):
            return x / y
        return self._real(self._seen(self.inexact(x) / self.inexact(y)))

    def _power(self, x: Value, y: Value) -> Value:
        if self.exact(y) and y.denominator == 1:
            return self._whole_power(x, int(y))
        if self.exact(x) and self.exact(y) and x >= 0 and y.denominator < 64:
            root = _exact_root(x, y.denominator)
            if root is not None:
                return self._whole_power(root, y.numerator)
        if not x:
            raise Undecided
        base, exponent = self.inexact(x), self.inexact(y)
        if abs(exponent) * max(1, abs(self.mp.mag(base))) > 3 * DIGITS:
            raise Undecided
        return self._real(self._seen(self.mp.power(base, exponent)))

    def _whole_power(self, x: Value, n: int) -> Value:
        if not self.exact(x):
            if not x or abs(n) * max(1, abs(self.mp.mag(x))) > 3 * DIGITS:
                raise Undecided
            return self._real(self._seen(x**n))
        if not x and n <= 0:
            raise Undecided
        if abs(n) > 3 * DIGITS and abs(x) not in (0, 1):
            raise Undecided
        size = max(x.numerator.bit_length(), x.denominator.bit_length())
        if size * abs(n) > 4 * DIGITS and abs(x) not in (0, 1):
            raise Undecided
        return x**n if abs(x) not in (0, 1) else (x if n % 2 or not x else abs(x))

    def root(self, x: Value, n: Value) -> Value:
        if not self.exact(n) or n.denominator != 1 or not 1 < n < 64:
            raise Undecided
        index = int(n)
        if self.exact(x):
            found = _exact_root(abs(x), index)
            if found is not None and (x >= 0 or index % 2):
                return found if x >= 0 else -found
        value = self.inexact(x)
        if not isinstance(value, self.mp.mpc) and value < 0 and index % 2:
            return self._seen(-self.mp.root(-value, index))
        return self._real(self._seen(self.mp.root(value, index)))

    def function(self, name: str, x: Value) -> Value:
        if self.exact(x) and not x and name in _AT_ZERO:
            return Fraction(_AT_ZERO[name])
        value = self.inexact(x)
        if name == "ln" and not value:
            raise Undecided
        if name in ("exp", "sinh", "cosh", "tanh") and abs(value) > 3 * DIGITS:
            raise Undecided
        return self._real(self._seen(getattr(self.mp, _MPMATH.get(name, name))(value)))

    def logarithm(self, x: Value, base: Value) -> Value:
        return self.divide(self.function("ln", x), self.function("ln", base))

    def whole(self, x: Value, rounded: Callable[[Any], Any]) -> Value:
        if self.exact(x):
            return Fraction(rounded(x))
        if isinstance(x, self.mp.mpc):
            raise Undecided
        near = self.mp.nint(x)
        if abs(x - near) < self.mp.mpf(10) ** -30:
            raise Undecided
        return Fraction(int(self.mp.floor(x))) + (1 if rounded is math.ceil else 0)

    def factorial(self, x: Value) -> Value:
        if not self.exact(x) or x.denominator != 1 or not 0 <= x <= FACTORIAL:
            raise Undecided
        return Fraction(math.factorial(int(x)))

    def binomial(self, n: Value, k: Value) -> Value:
        if not (self.exact(n) and self.exact(k)) or n.denominator != 1 or k.denominator != 1:
            raise Undecided
        if not 0 <= n <= FACTORIAL or k < 0:
            raise Undecided
        return Fraction(math.comb(int(n), int(k)))

    def degrees(self, x: Value) -> Value:
        return self.divide(self.multiply(x, self._name(r"\pi")), Fraction(180))


_AT_ZERO: Final = {"sin": 0, "tan": 0, "arcsin": 0, "arctan": 0, "sinh": 0, "tanh": 0, "cos": 1, "exp": 1, "cosh": 1}
_MPMATH: Final = {
    "arcsin": "asin", "arccos": "acos", "arctan": "atan", "arccot": "acot", "arsinh": "asinh", "arcosh": "acosh",
    "artanh": "atanh", "lg": "log10",
}  # fmt: skip


def _operations() -> dict[str, Callable[..., Value]]:
    def named(name: str) -> Callable[..., Value]:
        return lambda e, x: e.function(name, x)

    return {
        "+": _Evaluation.add,
        "*": _Evaluation.multiply,
        "/": _Evaluation.divide,
        "neg": lambda e, x: -x,
        "sqrt": lambda e, x: e.root(x, Fraction(2)),
        "root": _Evaluation.root,
        "log": _Evaluation.logarithm,
        "binom": _Evaluation.binomial,
        "!": _Evaluation.factorial,
        "deg": _Evaluation.degrees,
        "abs": lambda e, x: abs(x),
        "floor": lambda e, x: e.whole(x, math.floor),
        "ceil": lambda e, x: e.whole(x, math.ceil),
        **{name: named(name) for name in FUNCTIONS},
    }


_OPERATIONS: Final = _operations()


@lru_cache(maxsize=32)
def _context(digits: int) -> Any:
    import mpmath  # a tenth of a second, which numbers and words do without

    context = mpmath.mp.clone()
    context.dps = digits
    return context


def _exact_root(x: Fraction, n: int) -> Fraction | None:
    """The rational n-th root of a rational number that is not negative; None where it is not rational."""
    parts = []
    for whole in (x.numerator, x.denominator):
        if n == 2:
            root = math.isqrt(whole)
        else:
            if whole.bit_length() > 4 * DIGITS:
                return None
            root = _whole_root(whole, n)
        if root**n != whole:
            return None
        parts.append(root)
    return Fraction(*parts)


def _whole_root(whole: int, n: int) -> int:
    if whole < 2:
        return whole
    root = 1 << -(-whole.bit_length() // n)
    while True:
        better = ((n - 1) * root + whole // root ** (n - 1)) // n
        if better >= root:
            return root
        root = better


def difference(x: Tree, y: Tree, point: Mapping[str, Fraction]) -> tuple[Value, Value, Value]:
    """``x``, ``y`` and their difference at ``point``: exact zero where they are the same. Raises Undecided."""
    digits = SPARE
    for _ in range(4):
        run = _Evaluation(point, digits)
        try:
            p, q = run(x), run(y)
            if run.exact(p) and run.exact(q):
                return p, q, p - q
            inexact_p, inexact_q = run.inexact(p), run.inexact(q)
            gap = abs(inexact_p - inexact_q)
        except (ArithmeticError, ValueError, TypeError) as error:
            raise Undecided from error
        # Distinct rationals of b bits differ by 2 ** -2b or more, and sums of such by little less.
        span = int((run.high - run.low + run.bits) * 0.30103) + 1
        wanted = SPARE + 3 * span
        if wanted > MOST:
            raise Undecided
        if digits < wanted:
            digits = wanted
            continue
        noise = run.mp.ldexp(1, run.high) * run.mp.mpf(10) ** (20 - digits)
        if gap <= noise:
            return p, q, Fraction(0)
        if gap <= noise * 10**15:
            raise Undecided
        return p, q, gap
    raise Undecided


def evaluate(tree: Tree, point: Mapping[str, Fraction]) -> Value:
    """``tree`` at ``point``, exact where it is rational and else to ``SPARE`` digits. Raises Undecided."""
    try:
        return _Evaluation(point, SPARE)(tree)
    except (ArithmeticError, ValueError, TypeError, KeyError) as error:
        raise Undecided from error


def crossed(f: Tree, g: Tree, p: Mapping[str, Fraction], q: Mapping[str, Fraction]) -> bool:
    """Whether f(p) g(q) and f(q) g(p) differ, relative to their size, in half of ``SPARE`` digits. Raises Undecided."""
    run = _Evaluation({}, SPARE)
    a, b = (
        run.inexact(evaluate(f, p)) * run.inexact(evaluate(g, q)),
        run.inexact(evaluate(f, q)) * run.inexact(evaluate(g, p)),
    )
    if not a or not b:
        raise Undecided
    return bool(abs(a - b) > abs(a) * run.mp.mpf(10) ** (-SPARE // 2))


def _table() -> list[list[Fraction]]:
    """Points of six coordinates: six positive ones, small and large, then all signs mixed. Fixed, in no pattern."""
    rng = random.Random(1979)
    rows = []
    for turn in range(TRIALS):
        sizes = [
            Fraction(rng.randint(1, 9) if turn % 2 else rng.randint(10, 90), rng.choice([7, 11, 13]))
            for _ in range(VARIABLES)
        ]
        rows.append([-size if turn >= 6 and rng.random() < 0.6 else size for size in sizes])
    return rows


_TABLE: Final = _table()


def points(variables: frozenset[str]) -> list[dict[str, Fraction]]:
    """Rational points for a polynomial identity test, some of them negative; the same for the same variables."""
    places = sorted(variables)
    return [dict(zip(places, (row * (1 + len(places) // VARIABLES))[: len(places)], strict=True)) for row in _TABLE]


@lru_cache(maxsize=16384)
def same(x: Tree, y: Tree) -> bool | None:
    """Whether two expressions have one value, wherever both are real; None where that cannot be decided."""
    variables = names(x) | names(y)
    if len(variables) > VARIABLES:
        return None
    if not variables:
        try:
            return not difference(x, y, {})[2]
        except Undecided:
            return None
    real = complex_ = 0
    refuted_complex = False
    for point in points(variables):
        try:
            p, q, gap = difference(x, y, point)
        except Undecided:
            continue
        if _is_real(p) and _is_real(q):
            if gap:
                return False
            real += 1
        else:
            complex_ += 1
            refuted_complex = refuted_complex or bool(gap)
    if real >= POINTS:
        return True
    if not real and complex_ >= POINTS:
        return not refuted_complex
    return None


def _is_real(value: Value) -> bool:
    return isinstance(value, Fraction) or not hasattr(value, "_mpc_")


@lru_cache(maxsize=4096)
def constant(tree: Tree) -> Value | None:
    """The value of an expression without variables to ``SPARE`` digits; None where it has variables or no value."""
    if names(tree):
        return None
    try:
        value = _Evaluation({}, SPARE)(tree)
    except (Undecided, ArithmeticError, ValueError, TypeError):
        return None
    return value


def expands(decimal: Number | None, tree: Tree) -> bool:
    """Whether ``decimal`` is the decimal expansion of an irrational constant, right to its last digit."""
    exact = None if decimal is None else constant(tree)
    if decimal is None or exact is None or isinstance(exact, Fraction) or not _is_real(exact):
        return False
    mp = _context(SPARE)
    said, step = (mp.mpf(v.numerator) / v.denominator for v in (decimal.value, decimal.ulp))
    return bool(abs(said - exact) < step)


def fingerprint(tree: Tree, point: Mapping[str, Fraction]) -> str | None:
    """A text that equal expressions share and different ones do not: the value at ``point``, exact or to 50 digits.

    None where the values on the way span so many sizes that 50 digits could hide a difference.
    """
    run = _Evaluation(point, 2 * SPARE)
    try:
        value = run(tree)
    except (Undecided, ArithmeticError, ValueError, TypeError, KeyError):
        return None
    if isinstance(value, Fraction):
        text = str(value) if max(value.numerator.bit_length(), value.denominator.bit_length()) < 2000 else ""
        return text or None
    if (run.high - run.low + run.bits) * 0.30103 > SPARE / 2 or not _is_real(value):
        return None
    return "~" + str(run.mp.nstr(value, 50))


def close(gold: Tree, said: Tree, tolerance: float) -> bool | None:
    """Whether two constants differ by at most ``tolerance`` relative to ``gold``; None for what is no real constant."""
    x, y = constant(gold), constant(said)
    if x is None or y is None or not (_is_real(x) and _is_real(y)):
        return None
    mp = _context(SPARE)
    p, q = (mp.mpf(v.numerator) / v.denominator if isinstance(v, Fraction) else v for v in (x, y))
    return bool(abs(p - q) <= mp.mpf(tolerance) * abs(p))
