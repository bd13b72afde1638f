"""Chains of equalities, ``a = b = c``, of numbers, brackets, fractions and names that the text gave values to.

After ``A = 3 + 4 = 7`` the chain ``A * 2 = 7 * 2 = 15`` is read with 7 for ``A``. What must stay true: two neighbours of a chain are
called unequal only where both were read whole, exactly; a name with two values has none; in a line that doubts (not, if,
or) nothing is said; what rounding or a change of units may explain is no error; reading is linear in the text, and
nothing of it is evaluated.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from fractions import Fraction
from typing import Final

from tracemill.tasks.equations import value

#: Longest side that is read, in characters, and lines with more signs than this are left alone.
_LONGEST: Final = 160
_MOST: Final = 40

_FRACTION: Final = re.compile(r"\\[dt]?frac\{([^{}]{1,40})\}\{([^{}]{1,40})\}")
_POWER: Final = re.compile(r"\^\{([^{}]{1,8})\}")
_BOX: Final = re.compile(r"\\boxed\{([^{}]{1,60})\}")
_MARKUP: Final = re.compile(
    r"\\[()\[\],;!:]|\\left(?![a-z])|\\right(?![a-z])|\\q?quad|\$|&|\*\*(?=\s|$)|(?<=\s)\*\*(?=\S)"
)
#: What the patterns above, and signs that are ASCII, begin with or hold.
_DRESSED: Final = re.compile(r"[\\$&{]|\*\*")
_SIGNS: Final = (
    (r"\times", "*"),
    (r"\cdot", "*"),
    (r"\div", "/"),
    ("×", "*"),
    ("÷", "/"),
    ("·", "*"),
    ("\N{MINUS SIGN}", "-"),
)
_BREAK: Final = "\\\\"
_EQUALS: Final = re.compile(r"(?<![=<>!:+\-*/≠≈])=(?!=)")
_DOUBT: Final = re.compile(
    r"\b(?:not|false|or|if|wrong|incorrect|cannot|impossible|contradict\w*|instead|suppose|assume|mod|remainder)\b|n't|[?≠≈~≡]|\\(?:neq?|approx|equiv|pmod|bmod)",
    re.IGNORECASE,
)

#: What a side may be made of; a name is one letter that stands alone.
_SIDE: Final = r"(?>\d[\d,]*+(?:\.\d++)?|\.\d++|(?<![A-Za-z\\])[A-Za-z](?![A-Za-z(])|[-+*/^()\s])++"
_WHOLE: Final = re.compile(_SIDE)
_NAME: Final = re.compile(r"(?<![A-Za-z\\])[A-Za-z](?![A-Za-z])")
_ADJACENT: Final = re.compile(r"[\d)A-Za-z.]\s*\(|\)\s*[\dA-Za-z]|[\dA-Za-z]\s+[\dA-Za-z]|\d[A-Za-z]|[A-Za-z]\d")
_OPERATOR: Final = re.compile(r"[\d)A-Za-z]\s*[-+*/^]")
_AFTER: Final = re.compile(r"\s*(?:$|[.,;:](?:\s|$|\*)|(?:[A-Za-z]{2,}\b))")
_SCALE: Final = re.compile(
    r"\s*(?:million|billion|thousand|hundred|dozen|percent|remainder|times|plus|minus|squared|cubed|degrees)\b",
    re.IGNORECASE,
)
_BEFORE: Final = re.compile(r"(?:^|[\s:;,.!>])$")
_JOINING: Final = re.compile(
    r"(?:\b(?:of|from|than|times|plus|minus|by|into|and|half|twice|sqrt|root|log|ln|sin|cos|tan|gcd|lcm|max|min|step|case|part|option|example|method|question|problem|day|week|year)|[-+*/^()\d%}_\\]|(?<![A-Za-z])[A-Za-z])\s*$",
    re.IGNORECASE,
)
_UNITS: Final = frozenset(map(Fraction, (100, 1000, 60, 3600, 24, 12, 7)))

#: Relative difference that rounding explains, where a side divides or has decimals.
_ROUNDED: Final = Fraction(1, 50)

#: A minus before a power, which people and programs read in two ways; a mark of a list.
_SIGN_OF_POWER: Final = re.compile(r"-\s*[\dA-Za-z.]+\s*\^")
_BULLET: Final = re.compile(r"^\s*[-*+]\s+")

_SET: Final = re.compile(r"(?<![A-Za-z\\])([A-Za-z])\s*=")
#: A number beside a sign: without one nothing can be worked out.
_NUMBERED: Final = re.compile(r"=[^=]*\d")
#: What a side is made of, backwards; where one may begin; how far back what stands before is looked at.
_RUN: Final = re.compile(r"(?:[-+*/^().,\d\s]|[A-Za-z](?![A-Za-z]))*")
_BEGIN: Final = re.compile(r"(?:^|(?<=[\s:;]))(?=[-(\d.A-Za-z])")
_CONTEXT: Final = 20

Names = dict[str, Fraction | None]


def false_chain(text: str) -> int | None:
    """The place of the first equals sign of the first line that has a chain with two neighbours that differ."""
    names: Names = {}
    for start, line in _lines(text):
        if line.count("=") > (not names) and _has_false(line, names):
            return start + line.index("=")
    return None


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """(place, line) of each line with an equals sign; a line begins with its break, a newline or LaTeX's two backslashes."""
    start, newline = 0, ""
    for line in text.split("\n"):
        if "=" in line:
            at = start
            for number, part in enumerate(line.split(_BREAK)):
                piece = (_BREAK if number else newline) + part
                yield at, piece
                at += len(piece)
        start += len(newline) + len(line)
        newline = "\n"


def _has_false(line: str, names: Names) -> bool:
    count = line.count("=")
    if count == 1:  # no chain: what it sets a name to is not read, so the name has no value any more
        names |= {name: None for name in _SET.findall(line) if name in names}
    if not 1 < count <= _MOST or not _NUMBERED.search(line):
        return False
    doubted: bool | None = None
    for chain in _chains(_plain(line)):
        if doubted is None:
            doubted = _DOUBT.search(line) is not None
        if doubted:
            _forget(chain, names)
        elif _is_false(chain, names):
            return True
    return False


def _plain(line: str) -> str:
    if line.isascii() and not _DRESSED.search(line):
        return line
    for sign, plain in _SIGNS:
        line = line.replace(sign, plain)
    line = _BOX.sub(r" \1 ", _POWER.sub(r"^(\1)", _MARKUP.sub(" ", line)))
    for _ in range(3):
        changed = _FRACTION.sub(r"((\1)/(\2))", line)
        if changed == line:
            return line
        line = changed
    return line


def _chains(line: str) -> Iterator[list[list[str]]]:
    """The sides of each chain, in order; a side that cannot be read ends a chain, and its end may begin the next. The first
    side may be read in several ways."""
    pieces = _EQUALS.split(line)
    chain: list[list[str]] = []
    for place, piece in enumerate(pieces):
        last = place == len(pieces) - 1
        whole = _WHOLE.fullmatch(piece) if len(piece) <= _LONGEST else None
        if whole is not None and place and not last:
            chain.append([whole[0].strip()])
            continue
        if place:
            head = _head(piece)
            if head:
                chain.append([head])
            if len(chain) > 1:
                yield chain
        chain = [] if last else [tails] if (tails := _tails(piece)) else []


def _head(piece: str) -> str:
    """The side that a piece begins with, where what follows is no part of it."""
    match = _WHOLE.match(piece[: _LONGEST + 1])
    if match is None or len(match[0]) > _LONGEST:
        return ""
    side = match[0].rstrip()
    rest = piece[len(side) :]
    side = side.lstrip()
    word = re.search(r"\s+[A-Za-z]$", side)  # the article of what follows
    if word:
        side, rest = side[: word.start()], side[word.start() :] + rest
    return side if _AFTER.match(rest) and not _SCALE.match(rest) else ""


def _tails(piece: str) -> list[str]:
    """The sides that a piece may end with, the longest first, where what stands before is no part of it."""
    run = len(match[0]) if (match := _RUN.match(piece[: -_LONGEST - 1 : -1])) else 0
    if not run or not piece[-run:].strip():
        return []
    at = len(piece) - run
    start = bullet.end() if (bullet := _BULLET.match(piece)) else 0
    found = []
    for match in _BEGIN.finditer(piece, max(at, start)):
        side, before = piece[match.start() :].strip(), piece[start : match.start()][-_CONTEXT:]
        if not _WHOLE.fullmatch(side) or not _balanced(side):
            continue
        joined = _JOINING.search(before) and not (_NAME.fullmatch(side) and before.endswith("and "))
        if not joined:
            found.append(side)
    return found


def _balanced(side: str) -> bool:
    return side.count("(") == side.count(")") and not _ADJACENT.search(side)


def _is_false(chain: list[list[str]], names: Names) -> bool:
    """Whether two neighbours differ, however the first side is read; where none do, what is said of a name is kept."""
    name = next((side for side in chain[0][-1:] if _NAME.fullmatch(side)), None)
    firsts = [] if name else [side for side in chain[0] if _OPERATOR.search(side)]
    if len(chain) < 3:  # ``x + 5 = 7`` is a condition, whatever x was before
        names, told = {}, names
    else:
        told = names
    known = [[number for side in firsts if (number := _value(side, names)) is not None]]
    known += [[number] if (number := _value(side, names)) is not None else [] for (side,) in chain[1:]]
    texts = ["".join(firsts), *(side for (side,) in chain[1:])]
    if len(known[0]) < len(firsts):  # one reading is not known: it may be the right one
        known[0] = []
    before: tuple[list[Fraction], str] | None = None
    for numbers, text in zip(known, texts, strict=True):
        if not numbers:
            continue
        if before is not None and all(_differ(one, numbers[0], before[1] + text) for one in before[0]):
            return True
        before = numbers, text
    if name is not None:
        end = known[-1][0] if known[-1] else None
        told[name] = end if name not in told or told[name] == end else None
    return False


def _forget(chain: list[list[str]], names: Names) -> None:
    if _NAME.fullmatch(chain[0][-1]):
        names[chain[0][-1]] = None


def _value(side: str, names: Names) -> Fraction | None:
    if not _balanced(side) or _SIGN_OF_POWER.search(side):
        return None
    for name in set(_NAME.findall(side)):
        number = names.get(name)
        if number is None:
            return None
        side = re.sub(rf"\b{name}\b", f"({number})", side)
    return value(side)


def _differ(one: Fraction, other: Fraction, sides: str) -> bool:
    if one == other:
        return False
    if any(sign in sides for sign in "./"):
        return abs(one - other) > _ROUNDED * max(abs(one), abs(other)) and not _scaled(one, other)
    return not _scaled(one, other)


def _scaled(one: Fraction, other: Fraction) -> bool:
    return bool(one and other and {one / other, other / one} & _UNITS)
