r"""Normal forms: one key for all the ways to write a value, exact and without a computer-algebra system.

What must stay true: two texts with one key mean the same value, whoever reads them; different numbers never share a
key; nothing here evaluates text, uses floating point, or takes longer than linear time on at most ``LONGEST``
characters. A key that two equal values do not share costs a symbolic check, not a wrong verdict.

Numbers are integers, decimals, fractions, mixed numbers and scientific notation, with thousands separators, a percent
sign, a currency and a unit. Nouns behind a number ("48 clips") say nothing about its value and are dropped; units that
measure (cm, hours) are kept.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import Final

from tracemill.verifiers.cardinals import read_cardinal
from tracemill.verifiers.units import NOT_NOUNS, UNITS, WORDS, rate, unit_of

#: Longest text that is read at all, in characters.
LONGEST: Final = 1000
#: Largest decimal exponent that is expanded.
EXPONENT: Final = 400

_UNICODE: Final = {
    **{ord(c): None for c in "\u200b\u200c\u200d\u2060\ufeff\u00ad\u200e\u200f"},
    **{ord("\uff10") + i: str(i) for i in range(10)},
    **{ord(c): "-" for c in "\u2212\u2010\u2011\u2012\u2013\uff0d"},
    **{ord(c): " " for c in "\u00a0\u2009\u202f\u2007\u2006\u3000"},
    **{
        ord(c): rf"\frac{{{a}}}{{{b}}}" for c, a, b in [("½", 1, 2), ("¼", 1, 4), ("¾", 3, 4), ("⅓", 1, 3), ("⅔", 2, 3)]
    },
    **{ord(c): rf"\frac{{{a}}}{{8}}" for c, a in [("⅛", 1), ("⅜", 3), ("⅝", 5), ("⅞", 7)]},
    **{ord(c): f"^{{{d}}}" for c, d in zip("⁰¹²³⁴⁵⁶⁷⁸⁹", "0123456789", strict=True)},
    ord("×"): r"\times ",
    ord("·"): r"\cdot ",
    ord("÷"): "/",
    ord("⁄"): "/",
    ord("π"): r"\pi ",
    ord("∞"): r"\infty ",
    ord("√"): r"\sqrt ",
    ord("°"): r"^{\circ}",
    ord("≤"): r"\le ",
    ord("≥"): r"\ge ",
    ord("≠"): r"\ne ",
    ord("±"): r"\pm ",
    ord("∪"): r"\cup ",
    ord("∩"): r"\cap ",
    ord("∈"): r"\in ",
    ord("∅"): r"\emptyset ",
    ord("ℝ"): r"\mathbb{R}",
    ord("∖"): r"\setminus ",
    ord("⋅"): r"\cdot ",
    ord("∙"): r"\cdot ",
    ord("θ"): r"\theta ",
    ord("α"): r"\alpha ",
    ord("β"): r"\beta ",
    ord("λ"): r"\lambda ",
    **{ord(c): f"_{{{d}}}" for c, d in zip("₀₁₂₃₄₅₆₇₈₉", "0123456789", strict=True)},
    **{ord(c): '"' for c in "“”"},
    **{ord(c): "'" for c in "‘’"},
    ord("，"): ",",
    ord("％"): "%",
    ord("−"): "-",
}

_DELIMITERS: Final = (
    ("$$", "$$"),
    ("$", "$"),
    (r"\(", r"\)"),
    (r"\[", r"\]"),
    ("**", "**"),
    ("`", "`"),
    ('"', '"'),
    (r"\"", r"\""),
)
_SIZES: Final = re.compile(
    r"(?<!\\)\\(?:(?:left|right|bigg?|Bigg?|displaystyle|textstyle|limits)(?![a-zA-Z])|!\s*|q?quad(?![a-zA-Z]))"
)
_TEXT: Final = re.compile(
    r"\\(?:text|textbf|textit|textrm|textnormal|mathrm|mathbf|mbox|operatorname|mathit)\s*\{([^{}]*)\}"
)
_ESCAPED: Final = re.compile(r"\\\\(?=[a-zA-Z{}])")  # twice escaped, as in JSON
_ANGLE: Final = re.compile(r"\\([lr])angle(?![a-zA-Z])")
_FRAC: Final = re.compile(r"\\[dtc]frac(?![a-zA-Z])")
_SPACED: Final = re.compile(r"(?<!\\)\\[,;: ]|~|\s+")
_TIGHT: Final = re.compile(r"(?<!\d)\s+|\s+(?!\d)")

_BRACED_WORDS: Final = re.compile(r"^([-+$\\\d.,/ ]+)\{([A-Za-z ]+)\}$", re.ASCII)
#: Formulas in dollars with anything between them; a formula does not begin or end with a space.
_SPANS: Final = re.compile(r"(?:[^$\\]|\\[^$])*(?:\$(?! )[^$]*(?<![ \\])\$(?:[^$\\]|\\[^$])*)+")
_INNER_BRACE: Final = re.compile(r"(?<!\\)\}[^{}]*(?<!\\)\{|^[^{}]*\}")
_LISTED: Final = re.compile(r",|\||\\mid|:[^:]*(?:[<>]|\\[lg]e)")

_INT: Final = r"(?:[1-9]\d{0,2}(?:,\d{3})+(?!\d)|[1-9]\d{0,2}(?:\{,\}\d{3})+(?!\d)|[1-9]\d{0,2}(?:[ ]\d{3})+(?!\d)|\d+)"
_DEC: Final = rf"(?:{_INT}(?:\.\d*)?|\.\d+)"
_VALUE: Final = re.compile(
    rf"""(?P<sign>[-+]?)\s*(?P<money>\\?[$£€¥])?\s*(?P<sign2>[-+]?)\s*(?:
        (?:(?P<whole>\d+)\s*\+?\s*)?\\frac\s*(?:\{{\s*(?P<num>[-+]?\d+)\s*\}}|(?P<num1>\d))\s*(?:\{{\s*(?P<den>\d+)\s*\}}|(?P<den1>\d))
      | (?P<mixed>\d+)\s+(?P<mnum>\d+)\s*/\s*(?P<mden>\d+)
      | (?P<top>{_INT})\s*/\s*(?P<bottom>{_INT})
      | (?P<dec>{_DEC})(?:[eE](?P<exp>[-+]?\d{{1,4}})|\s*(?:\\times|\\cdot|\*|x)\s*10\s*\^\s*(?:\{{\s*(?P<exp1>[-+]?\d{{1,4}})\s*\}}|(?P<exp2>[-+]?\d{{1,4}})))?
    )\s*(?P<money2>\\?[$£€¥](?![0-9a-zA-Z\\]))?\s*(?P<suffix>.*)$""",
    re.VERBOSE | re.DOTALL | re.ASCII,
)
#: Words with which a text does not say what something is.
UNSURE: Final = (
    "no|not|but|or|than|except|never|anything|least|most|about|around|approximately|roughly|almost|nearly|less|more|fewer|greater"
    "|between|either|neither|nor|maybe|perhaps|possibly|probably|might|could|cannot|if|whether|unless|over|under"
)
_ASSIGN: Final = re.compile(
    rf"^(?!.*\b(?:{UNSURE})\b[^=]*=)"
    r"(?:(?:[a-zA-Z](?:_\{?\w{1,3}\}?)?|(?:[A-Za-z]+ )*[A-Za-z]{4,}(?: [A-Za-z]+)*)\s*)?=\s*(?=[^=])",
    re.ASCII,
)
_NOTHING: Final = frozenset(
    f"{article}{what}"
    for what in ("no solution", "no solutions", "no real solution", "no real solutions", "empty set")
    for article in ("", "the ", "there is ", "there are ")
)
_ARTICLE: Final = re.compile(r"^(?:the|a|an) (?=\w)")
_COUNTED: Final = re.compile(r"^(?:(?:square|cubic|sq\.?|cu\.?) )?units?(?:\s*\^\s*\{?[23]\}?)?$")
_COMPOUND: Final = re.compile(
    r"(\d{1,9}(?:\.\d{1,9})?) ?([a-zA-Z]+)(?:,? and|,)? (\d{1,9}(?:\.\d{1,9})?) ?([a-zA-Z]+)\.?$", re.ASCII
)
_ORDINAL: Final = re.compile(r"\^?\s*\{?\s*(?:st|nd|rd|th)\s*\}?$")
_SCALE: Final = {
    "hundred": 100, "thousand": 1000, "million": 10**6, "billion": 10**9, "trillion": 10**12,
    "dozen": 12, "lakh": 10**5, "crore": 10**7, "bn": 10**9,
}  # fmt: skip
_PERCENT: Final = frozenset({"%", r"\%", "percent", "percentage", "pct", "per cent", "percents"})


_FUNCTION_NAMES: Final = frozenset(
    ["sin", "cos", "tan", "sec", "csc", "cot", "log", "ln", "exp", "sqrt", "pi", "abs", "infty", "max", "min", "mod"]
)
_AREA: Final = re.compile(r"(square|sq\.?|cubic|cu\.?) ([a-zA-Z]+)$", re.IGNORECASE)
#: Letters behind an amount of money.
_SHORT: Final = {"k": 1000, "K": 1000, "M": 10**6, "B": 10**9, "T": 10**12}
_POWER: Final = re.compile(r"\s*(?:\^\s*\{?([23])\}?)$")


@dataclass(frozen=True, slots=True)
class Number:
    """An exact value as written. ``percent`` and ``unit`` (dimension, factor to its base) are apart from ``value``.

    ``digits`` counts the significant digits of a decimal, and is None for integers and fractions.
    """

    value: Fraction
    percent: bool = False
    unit: tuple[str, Fraction] | None = None
    digits: int | None = None
    ulp: Fraction = Fraction(0)


@lru_cache(maxsize=16384)
def tidy(text: str) -> str:
    """``text`` without delimiters, sizes and look-alikes; spaces folded. Longer than ``LONGEST``: as it came."""
    if len(text) > LONGEST:
        return text
    if not text.isascii():
        text = text.translate(_UNICODE)
    text = text.strip()
    if "\\" in text:
        if r"\begin" not in text:
            text = _ESCAPED.sub(r"\\", text)
        text = _SIZES.sub("", text)
        text = _FRAC.sub(r"\\frac", text)
        text = _TEXT.sub(r" \1 ", text.replace(r"\mathrm{e}", "e"))
        text = text.replace(r"\{\}", r"\emptyset").replace(r"\varnothing", r"\emptyset")
        text = _ANGLE.sub(lambda match: "(" if match[1] == "l" else ")", text)
        text = text.replace(r"\geq", r"\ge").replace(r"\leq", r"\le").replace(r"\neq", r"\ne")
    text = _SPACED.sub(" ", text).strip()
    text = _BRACED_WORDS.sub(r"\1 \2", text)
    changed = True
    while changed and text:
        before = len(text)
        for opening, closing in _DELIMITERS:
            if len(text) > len(opening) + len(closing) and text.startswith(opening) and text.endswith(closing):
                inner = text[len(opening) : -len(closing)]
                if opening not in inner and closing not in inner and not inner.endswith("\\"):
                    text = inner.strip()
        text = text.rstrip(".,;: ").strip()
        changed = len(text) != before
    if text.endswith("\\") and not text.endswith("\\\\"):
        text = text[:-1].rstrip()
    if text.startswith("{") and text.endswith("}") and not _INNER_BRACE.search(text[1:-1]):
        inner = text[1:-1].strip()
        text = rf"\{{{inner}\}}" if _LISTED.search(inner) else inner
    if "$" in text and _SPANS.fullmatch(text):
        text = text.replace("$", "").strip()
    if text.count("$") == 2 and text.startswith("$"):  # "$28$ percent"
        text = text.replace("$", "").strip()
    return text


@lru_cache(maxsize=16384)
def number(text: str) -> Number | None:
    """The number that ``text`` (as ``tidy`` leaves it) is, or None. A bare ``x =`` in front is dropped."""
    if len(text) > LONGEST:
        return None
    text = _ASSIGN.sub("", text)
    repeating = _REPEATING.match(text)
    if repeating is not None:
        return _repeating(repeating)
    match = _VALUE.match(text)
    if match is None:
        spelled = read_cardinal(text)
        return None if spelled is None else Number(spelled)
    compound = _COMPOUND.match(text)
    if compound is not None:
        return _compound(compound)
    part = match.groupdict()
    if part["sign"] and part["sign2"]:
        return None
    digits, ulp = None, Fraction(0)
    if part["den"] or part["den1"]:
        bottom = int(part["den"] or part["den1"])
        if not bottom:
            return None
        value = Fraction(int(part["num"] or part["num1"]), bottom)
        if part["whole"]:
            if value < 0:
                return None
            value += int(part["whole"])
    elif part["mixed"]:
        if not int(part["mden"]):
            return None
        value = int(part["mixed"]) + Fraction(int(part["mnum"]), int(part["mden"]))
    elif part["top"]:
        bottom = _integer(part["bottom"])
        if not bottom:
            return None
        value = Fraction(_integer(part["top"]), bottom)
    else:
        exponent = int(part["exp"] or part["exp1"] or part["exp2"] or 0)
        if abs(exponent) > EXPONENT:
            return None
        whole, _, fraction = part["dec"].partition(".")
        value = Fraction(_integer(whole + fraction)) * Fraction(10) ** (exponent - len(fraction))
        if fraction:
            digits = len((re.sub(r"\D", "", whole) + fraction).lstrip("0"))
            ulp = Fraction(10) ** (exponent - len(fraction))
    if "-" in (part["sign"], part["sign2"]):
        value = -value
    return _with_suffix(value, (part["money"] or part["money2"] or "").lstrip("\\"), part["suffix"], digits, ulp)


_REPEATING: Final = re.compile(
    r"([-+]?)\s*(\d*)\.(\d*?)(?:\\(?:overline|bar|dot)\s*(?:\{(\d{1,20})\}|(\d))|(\d) repeating)$", re.ASCII
)


def _compound(match: re.Match[str]) -> Number | None:
    """``1 hour 30 minutes``: two measures of one kind, the larger first."""
    large, small = unit_of(match[2]), unit_of(match[4])
    if large is None or small is None or large[0] != small[0] or large[1] <= small[1]:
        return None
    return Number(Fraction(match[1]) * large[1] / small[1] + Fraction(match[3]), unit=small)


def _repeating(match: re.Match[str]) -> Number | None:
    r"""``0.1\overline{6}`` and ``0.1666 repeating``, exact."""
    whole, fixed, period = match[2] or "0", match[3], match[4] or match[5] or match[6]
    if len(whole) + len(fixed) > LONGEST // 4:
        return None
    value = Fraction(int(whole + fixed)) + Fraction(int(period), 10 ** len(period) - 1)
    return Number((-1 if match[1] == "-" else 1) * value / 10 ** len(fixed))


def _integer(text: str) -> int:
    return int(text.replace("{,}", "").replace(",", "").replace(" ", "") or "0")


def _with_suffix(value: Fraction, money: str, suffix: str, digits: int | None, ulp: Fraction) -> Number | None:
    unit = UNITS.get(money) if money else None
    words = _COUNTED.sub("", suffix.strip()).rstrip(".")
    if value.denominator == 1 and digits is None and not money and _ORDINAL.match(words):
        words = ""  # the 12th
    if not words:
        return Number(value, unit=unit, digits=digits, ulp=ulp)
    if words.lower() in _PERCENT:
        return Number(value, percent=True, digits=digits, ulp=ulp) if unit is None else None
    first, _, rest = words.partition(" ")
    if first.lower() in _SCALE:
        scale = _SCALE[first.lower()]
        return _with_suffix(value * scale, money, rest, digits, ulp * scale)
    power = _POWER.search(words)
    if unit is not None and words in _SHORT:
        return Number(value * _SHORT[words], unit=unit, digits=digits, ulp=ulp * _SHORT[words])
    known = unit_of(words)
    measure = _AREA.match(words)
    if measure is not None:
        base, power_ = unit_of(measure[2]), 2 if measure[1].lower().startswith("sq") else 3
        if base is None:
            return None
        known = (f"{base[0]}^{power_}", base[1] ** power_)
    if known is None and power is not None:
        base = unit_of(words[: power.start()])
        if base is not None:
            known = (f"{base[0]}^{power[1]}", base[1] ** int(power[1]))
    if known is None and unit is None:
        known = rate(words)
    if known is not None:
        return Number(value, unit=known if unit is None else unit, digits=digits, ulp=ulp)
    if WORDS.match(words) is None or any(w in NOT_NOUNS for w in re.split(r"[ /\-]", words.lower())):
        return None
    for word in words.lower().split():
        if word in UNITS and len(word) > 1 and unit is None:
            return None  # "5 square feet per hour": a measure that is not understood is not a plain number
    return Number(value, unit=unit, digits=digits, ulp=ulp)


@lru_cache(maxsize=16384)
def surface_form(text: str) -> str | None:
    """The key of what a text says without reading it as mathematics; None for nothing, a NaN or more than ``LONGEST`` characters.

    Numbers have their value as a key (``n:``), words themselves (``w:``), anything else its text without spaces (``s:``).
    """
    clean = tidy(text)
    if not clean or len(clean) > LONGEST:
        return None
    found = number(clean)
    if found is not None:
        if found.percent:
            return f"n:{found.value / 100}" if abs(found.value) <= 100 else f"n:{found.value}%"
        value = found.value
        if found.unit is None or found.unit == UNITS["$"]:
            return f"n:{value}"
        return f"n:{value * found.unit[1]} {found.unit[0]}"
    if clean.lower() == "nan":
        return None
    if not any(c.isalnum() for c in clean):
        return None
    if clean.casefold() in _NOTHING:
        return "s:" + r"\emptyset"
    if is_words(clean):
        return f"w:{_ARTICLE.sub('', clean.rstrip('.').casefold())}"
    if clean[0] == "=" or (match := _ASSIGN.match(clean)) is None or "," in clean or "=" in clean[match.end() :]:
        body = clean.lstrip("= ")
    else:
        body = clean[match.end() :]
    return "s:" + _TIGHT.sub("", body)


_TAIL: Final = re.compile(
    r"(?:(?<=[\d)}!])|(?<=\s)|(?<=[a-z\d)}] ))((?:(?:square|cubic|sq\.?|cu\.?)\s)?[A-Za-z]{2,}(?:[ /][A-Za-z]{2,})*\.?(?:\s*\^\s*\{?[23]\}?)?)$"
)
_NOUN: Final = re.compile(r"[-+]?[\d.,/]+ ([A-Za-z][A-Za-z' \-]*[A-Za-z])$", re.ASCII)


def split_unit(text: str) -> tuple[str, Fraction, tuple[str, Fraction] | None]:
    r"""An expression apart from the unit or noun behind it, as ``6\pi cm``: the expression, a factor and the unit, as in ``Number``.

    The whole text, 1 and None where no unit is recognised.
    """
    text = text.lstrip("\\$£€¥") if text[:1] in "$£€¥" or text[:2] == r"\$" else text
    match = _TAIL.search(text)
    if match is None or not (core := text[: match.start()].rstrip()):
        return text, Fraction(1), None
    found = _with_suffix(Fraction(1), "", match[1], None, Fraction(0))
    if found is None or found.percent or match[1].lower() in _FUNCTION_NAMES:
        return text, Fraction(1), None
    return core, found.value, found.unit


def noun(text: str) -> str | None:
    """What a number counts: ``goats`` in ``7 goats``, without the plural; None for a bare number or a measure."""
    match = _NOUN.match(text)
    if match is None or (found := number(text)) is None or found.unit is not None:
        return None
    return match[1].casefold().removesuffix("s")


def is_words(clean: str) -> bool:
    """Whether a tidied text is plain words (at least two letters, no mathematics)."""
    return len(clean) > 1 and WORDS.match(clean) is not None
