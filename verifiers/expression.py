r"""Mathematical expressions read strictly: LaTeX or plain text to a tree, or nothing.

What must stay true: every character of the text is accounted for in the tree, or there is no tree (a reader that skips
what it does not know makes unequal answers equal); nothing is evaluated here; the time is linear in the text and the depth
is bounded. What is ambiguous (``1/2x``, ``x 2``, ``f(x)``) is not read.

A tree is a number (``Fraction``), a name (``str``: a variable with its index, or ``\pi``, ``\e``, ``\i``), or a tuple of an
operation and its trees: ``+ * / ^ neg ! sqrt root log binom abs floor ceil deg`` and the functions of ``FUNCTIONS``.
"""

from __future__ import annotations

import re
from fractions import Fraction
from functools import lru_cache
from typing import Final

from tracemill.verifiers.tokens import FUNCTIONS, Unread, tokens

#: A number, a name, or an operation with its operands.
Tree = Fraction | str | tuple["Tree", ...]

#: Deepest nesting that is read.
DEPTH: Final = 24
#: Longest number, in digits.
LONGEST_NUMBER: Final = 400

_INVERSE: Final = {name: "arc" + name for name in ("sin", "cos", "tan", "cot")} | {
    "sinh": "arsinh",
    "cosh": "arcosh",
    "tanh": "artanh",
}
_CLOSING: Final = {"(": ")", "[": "]", "{": "}", r"\{": r"\}", r"\lfloor": r"\rfloor", r"\lceil": r"\rceil",
                   r"\lvert": r"\rvert"}  # fmt: skip
_CHOOSE: Final = re.compile(r"\{?\s*([a-z0-9]+)\s*\\choose\s*([a-z0-9]+)\s*\}?")


@lru_cache(maxsize=16384)
def read(text: str) -> Tree | None:
    """The tree of a tidied text, or None where any part of it is not understood."""
    if r"\choose" in text:
        text = _CHOOSE.sub(r"\\binom{\1}{\2}", text)
    try:
        reader = _Reader(tokens(text))
        tree = reader.total()
        reader.expect("end")
    except (Unread, RecursionError):
        return None
    return tree


def names(tree: Tree) -> frozenset[str]:
    """The variables of a tree, without the constants."""
    if isinstance(tree, str):
        return frozenset() if tree in (r"\pi", r"\e", r"\i") else frozenset((tree,))
    if isinstance(tree, tuple):
        return frozenset().union(*(names(part) for part in tree[1:]))
    return frozenset()


class _Reader:
    def __init__(self, tokens: list[tuple[str, str]]) -> None:
        self._tokens = tokens
        self._place = 0
        self._depth = 0
        self._bars = 0

    @property
    def _next(self) -> tuple[str, str]:
        return self._tokens[self._place]

    def _take(self) -> str:
        token = self._tokens[self._place][1]
        self._place += 1
        return token

    def _accept(self, *signs: str) -> str | None:
        kind, token = self._next
        return self._take() if kind in ("sign", "command") and token in signs else None

    def expect(self, token: str) -> None:
        kind, found = self._next
        if found != token and not (token == "end" and kind == "end"):
            raise Unread
        self._place += 1

    def total(self) -> Tree:
        """A sum of terms."""
        self._depth += 1
        if self._depth > DEPTH:
            raise Unread
        terms: list[Tree] = []
        sign = self._signs()
        while True:
            term = self._term()
            terms.append(("neg", term) if sign < 0 else term)
            if self._next[1] not in ("+", "-") or self._next[0] != "sign":
                break
            sign = self._signs()
        self._depth -= 1
        return terms[0] if len(terms) == 1 else ("+", *terms)

    def _signs(self) -> int:
        sign = 1
        while (token := self._accept("+", "-")) is not None:
            sign = -sign if token == "-" else sign
        return sign

    def _term(self) -> Tree:
        """A product; division and juxtaposition from left to right, where they cannot be read in two ways."""
        begun = self._next
        tree = self._factor()
        divided = False
        while True:
            token = self._accept("*", "/")
            if token is not None:
                sign = self._signs()
                other = self._factor()
                if sign < 0:
                    other = ("neg", other)
                tree, divided = (token, tree, other), token == "/"
            elif self._starts():
                if divided or self._next[0] == "number" or begun == self._next == ("command", r"\frac"):
                    raise Unread  # 1/2x, x 2, two fractions side by side
                tree = ("*", tree, self._factor())
            else:
                return tree

    def _starts(self) -> bool:
        kind, token = self._next
        if kind == "sign":
            return token in ("(", "[", "{") or (token == "|" and not self._bars)
        if kind == "command":
            return (
                token in (r"\frac", r"\sqrt", r"\pi", r"\binom", r"\log", r"\abs", *_CLOSING) or token[1:] in FUNCTIONS
            )
        return kind in ("number", "name")

    def _factor(self) -> Tree:
        """An atom with its powers, factorials and degrees."""
        tree = self._atom()
        while True:
            if self._accept("^"):
                tree = self._raised(tree)
            elif self._next == ("sign", "!"):
                self._take()
                tree = ("!", tree)
            elif self._next == ("command", r"\circ"):
                self._take()
                tree = ("deg", tree)
            else:
                return tree

    def _raised(self, tree: Tree) -> Tree:
        if self._next == ("command", r"\circ"):
            self._take()
            return ("deg", tree)
        if self._next == ("sign", "{") and self._tokens[self._place + 1] == ("command", r"\circ"):
            self._place += 2
            self.expect("}")
            return ("deg", tree)
        exponent = self._exponent()
        if isinstance(tree, tuple) and tree[0] == "^":
            raise Unread  # a^b^c
        return ("^", tree, exponent)

    def _exponent(self) -> Tree:
        if self._next == ("sign", "{"):
            return self._group()
        sign = self._signs()
        kind, token = self._next
        if kind == "number" and "," not in token:
            tree = self._number()
        elif kind == "name" or (kind, token) == ("sign", "(") or token in (r"\pi", r"\frac", r"\sqrt"):
            tree = self._atom()
        else:
            raise Unread
        return ("neg", tree) if sign < 0 else tree

    def _group(self) -> Tree:
        opening = self._take()
        bars, self._bars = self._bars, 0
        tree = self.total()
        self._bars = bars
        self.expect(_CLOSING[opening])
        return tree

    def _number(self) -> Tree:
        text = self._take().replace("{,}", "").replace(",", "")
        if len(text) > LONGEST_NUMBER:
            raise Unread
        return Fraction(text)

    def _atom(self) -> Tree:
        kind, token = self._next
        if kind == "number":
            number = self._number()
            if self._next == ("command", r"\frac"):
                return self._mixed(number)
            return number
        if kind == "name":
            return self._name()
        if kind == "sign" and token == "|":
            return self._bar("|")
        if token in ("(", "[", "{", r"\{"):
            if token == r"\{":
                raise Unread
            return self._group()
        if kind != "command":
            raise Unread
        return self._command()

    def _mixed(self, whole: Tree) -> Tree:
        """``2\\frac{1}{3}`` is 2 + 1/3; with anything else than digits in the fraction it is a product."""
        fraction = self._command()
        if isinstance(fraction, tuple) and all(isinstance(part, Fraction) for part in fraction[1:]):
            if not isinstance(whole, Fraction) or whole.denominator != 1:
                raise Unread
            return ("+", whole, fraction)
        return ("*", whole, fraction)

    def _bar(self, closing: str) -> Tree:
        self._take()
        self._bars += 1
        tree = self.total()
        self._bars -= 1
        self.expect(closing)
        return ("abs", tree)

    def _name(self) -> Tree:
        name = self._take()
        if self._next == ("sign", "_"):
            self._take()
            return f"{name}_{self._index()}"
        if name in ("e", "i"):
            return "\\" + name
        if self._next == ("sign", "(") and name in "fghFGHPQTS":
            raise Unread  # a function's value, or a product
        return name

    def _index(self) -> str:
        kind, token = self._next
        if kind in ("number", "name"):
            self._take()
            if kind == "number" and len(token) > 1:
                raise Unread  # x_12 is x_1 2 in LaTeX
            return token
        if (kind, token) != ("sign", "{"):
            raise Unread
        self._take()
        inside = ""
        while self._next[0] in ("number", "name", "sign") and self._next[1] not in "{}":
            inside += self._take()
        self.expect("}")
        if not inside:
            raise Unread
        return inside

    def _argument(self) -> Tree:
        """What ``\\frac`` and ``\\sqrt`` take: a group, or one digit or letter."""
        kind, token = self._next
        if (kind, token) == ("sign", "{") or (kind, token) == ("sign", "("):
            return self._group()
        if kind == "number" and token.isdigit():
            self._tokens[self._place] = (kind, token[1:])
            if len(token) == 1:
                self._place += 1
            return Fraction(int(token[0]))
        if kind == "name":
            return self._name()
        if token == r"\pi":
            self._take()
            return r"\pi"
        raise Unread

    def _command(self) -> Tree:
        name = self._take()[1:]
        if name == "pi":
            return r"\pi"
        if name == "frac":
            return ("/", self._argument(), self._argument())
        if name == "binom":
            if self._next == ("sign", "("):
                raise Unread
            return ("binom", self._argument(), self._argument())
        if name == "sqrt":
            return self._root()
        if name in ("lfloor", "lceil", "lvert"):
            self._place -= 1
            tree = self._group()
            return ({"lfloor": "floor", "lceil": "ceil", "lvert": "abs"}[name], tree)
        if name == "abs":
            if self._next != ("sign", "("):
                raise Unread
            return ("abs", self._group())
        if name == "log":
            return self._logarithm()
        if name in FUNCTIONS:
            return self._function(name)
        raise Unread

    def _root(self) -> Tree:
        if self._next == ("sign", "["):
            index = self._group()
            return ("root", self._argument(), index)
        kind, token = self._next
        if kind == "number" and len(token) > 1:
            return ("sqrt", self._number())  # √10, sqrt 10
        return ("sqrt", self._argument())

    def _logarithm(self) -> Tree:
        base: Tree = Fraction(0)
        if self._accept("_"):
            kind, token = self._next
            base = self._group() if (kind, token) == ("sign", "{") else self._argument()
        power = self._power()
        tree: Tree = ("ln", self._operand()) if not base else ("log", self._operand(), base)
        return self._powered(tree, power)

    def _function(self, name: str) -> Tree:
        power = self._power()
        if power == ("neg", Fraction(1)) or power == Fraction(-1):
            if name not in _INVERSE:
                raise Unread
            name, power = _INVERSE[name], None
        tree: Tree = (name, self._operand())
        return self._powered(tree, power)

    def _powered(self, tree: Tree, power: Tree | None) -> Tree:
        r"""A function to the power before its argument, or behind an argument in braces: ``\\log{(x)}^2``."""
        if self._next == ("sign", "^") and power is None:
            power = self._power()
        return tree if power is None else ("^", tree, power)

    def _power(self) -> Tree | None:
        return self._exponent() if self._accept("^") else None

    def _operand(self) -> Tree:
        """What a function is applied to: a group, or a product up to the next sign or function."""
        if self._next == ("sign", "(") or self._next == ("sign", "{") or self._next == ("sign", "["):
            return self._factor_after_group()
        sign = self._signs()
        tree = self._factor()
        while self._starts() and self._next[0] in ("name", "command"):
            if self._next[1][1:] in FUNCTIONS or self._next[1] == r"\log":
                break
            tree = ("*", tree, self._factor())
        return ("neg", tree) if sign < 0 else tree

    def _factor_after_group(self) -> Tree:
        braced = self._next == ("sign", "{")
        tree = self._group()
        if self._next == ("sign", "!") or (self._next == ("sign", "^") and not braced):
            raise Unread  # sin (x)^2
        return tree
