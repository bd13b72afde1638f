r"""The words of mathematical notation: LaTeX or plain text to tokens, or nothing.

What must stay true: every character belongs to a token; a run of letters is a known name or the product of single letters,
and never a word of English.
"""

from __future__ import annotations

import re
from typing import Final

#: Most tokens of an expression.
LONGEST: Final = 240
#: Functions of one argument, by their LaTeX name.
FUNCTIONS: Final = frozenset(
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
        "arccot",
        "sinh",
        "cosh",
        "tanh",
        "ln",
        "exp",
        "lg",
        "arsinh",
        "arcosh",
        "artanh",
    ]
)
_PLAIN: Final = {
    "sqrt": r"\sqrt", "pi": r"\pi", "exp": r"\exp", "log": r"\log", "ln": r"\ln", "abs": r"\abs", "asin": r"\arcsin",
    "acos": r"\arccos", "atan": r"\arctan", "binom": r"\binom", "infty": r"\infty", "infinity": r"\infty",
    **{name: "\\" + name for name in FUNCTIONS},
}  # fmt: skip
_GREEK: Final = frozenset(
    [
        "alpha",
        "beta",
        "gamma",
        "delta",
        "epsilon",
        "varepsilon",
        "zeta",
        "eta",
        "theta",
        "vartheta",
        "kappa",
        "lambda",
        "mu",
        "nu",
        "xi",
        "rho",
        "sigma",
        "tau",
        "phi",
        "varphi",
        "chi",
        "psi",
        "omega",
        "Gamma",
        "Delta",
        "Theta",
        "Lambda",
        "Xi",
        "Sigma",
        "Phi",
        "Psi",
        "Omega",
        "hbar",
        "ell",
    ]
)
_TOKEN: Final = re.compile(
    r"""\s*(?:(?P<number>\d{1,3}(?:(?:\{,\}|,)\d{3})+(?![\d,])(?:\.\d+)?|\d+(?:\.\d+)?|\.\d+)
      | (?P<command>\\(?:[a-zA-Z]+|[{}|]))
      | (?P<word>[a-zA-Z]+)
      | (?P<sign>\*\*|[-+*/^_!()\[\]{}|%'=<>,]))""",
    re.VERBOSE | re.ASCII,
)
#: Words that a run of letters is not the product of.
_ENGLISH: Final = frozenset(
    [
        "or",
        "and",
        "not",
        "no",
        "is",
        "are",
        "be",
        "if",
        "in",
        "at",
        "by",
        "of",
        "to",
        "on",
        "as",
        "it",
        "so",
        "an",
        "the",
        "for",
        "all",
        "any",
        "has",
        "was",
        "but",
        "nor",
        "too",
        "out",
        "off",
        "yes",
        "odd",
        "even",
        "true",
        "one",
        "two",
        "six",
        "ten",
        "none",
        "can",
        "may",
        "mod",
    ]
)


class Unread(Exception):
    """The text is not an expression that we read."""


def tokens(text: str) -> list[tuple[str, str]]:
    """The (kind, token) pairs of ``text``, with an ``end``; kinds: number, name, command, sign. Raises Unread."""
    found: list[tuple[str, str]] = []
    place, end = 0, len(text.rstrip())
    while place < end:
        match = _TOKEN.match(text, place)
        if match is None:
            raise Unread
        place = match.end()
        kind, token = match.lastgroup or "", match[match.lastgroup or 0]
        if kind == "word":
            found += _word(token)
        elif kind == "command" and token[1:] in _GREEK:
            found.append(("name", token))
        elif token == "**":
            found.append(("sign", "^"))
        elif token in (r"\cdot", r"\times", r"\ast"):
            found.append(("sign", "*"))
        elif token == r"\div":
            found.append(("sign", "/"))
        elif token in (r"\lbrack", r"\rbrack"):
            found.append(("sign", "[" if token == r"\lbrack" else "]"))
        else:
            found.append((kind, token))
    if len(found) > LONGEST:
        raise Unread
    found.append(("end", ""))
    return found


def _word(word: str) -> list[tuple[str, str]]:
    if word.lower() in _ENGLISH:
        raise Unread
    if word in _PLAIN:
        return [("command", _PLAIN[word])]
    for name in ("sqrt", "sin", "cos", "tan", "ln", "log", "pi", "exp"):
        head, found, rest = word.partition(name)
        if found and len(head) < 3 and len(rest) < 3 and head.lower() not in _ENGLISH:
            return [*(("name", c) for c in head), ("command", _PLAIN[name]), *(("name", c) for c in rest)]
    if len(word) > 4:
        raise Unread
    return [("name", c) for c in word]
