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
    ord("，"): ",",
    ord("％"): "%",
    ord("−"): "-",
}

_DELIMITERS: Final = (("$$", "$$"), ("$", "$"), (r"\(", r"\)"), (r"\[", r"\]"), ("**", "**"), ("`", "`"))
_SIZES: Final = re.compile(
    r"(?<!\\)\\(?:(?:left|right|bigg?|Bigg?|displaystyle|textstyle|limits)(?![a-zA-Z])|!\s*|q?quad(?![a-zA-Z]))"
)
_TEXT: Final = re.compile(
    r"\\(?:text|textbf|textit|textrm|textnormal|mathrm|mathbf|mbox|operatorname|mathit)\s*\{([^{}]*)\}"
)
_FRAC: Final = re.compile(r"\\[dtc]frac(?![a-zA-Z])")
_SPACED: Final = re.compile(r"(?<!\\)\\[,;: ]|~|\s+")
_TIGHT: Final = re.compile(r"(?<!\d)\s+|\s+(?!\d)")

_BRACED_WORDS: Final = re.compile(r"^([-+$\\\d.,/ ]+)\{([A-Za-z ]+)\}$", re.ASCII)

_INT: Final = r"(?:\d{1,3}(?:,\d{3})+(?!\d)|\d{1,3}(?:\{,\}\d{3})+(?!\d)|\d{1,3}(?:[ ]\d{3})+(?!\d)|\d+)"
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
_ASSIGN: Final = re.compile(
    r"^(?:(?:[a-zA-Z](?:_\{?\w{1,3}\}?)?|(?:[A-Za-z]+ )*[A-Za-z]{4,}(?: [A-Za-z]+)*)\s*)?=\s*(?=[^=])", re.ASCII
)
_WORDS: Final = re.compile(r"[A-Za-z][A-Za-z'\-]+(?:[ /][A-Za-z'\-]+)*\.?$")
_SCALE: Final = {
    "hundred": 100, "thousand": 1000, "million": 10**6, "billion": 10**9, "trillion": 10**12,
    "dozen": 12, "lakh": 10**5, "crore": 10**7, "bn": 10**9,
}  # fmt: skip
_PERCENT: Final = frozenset({"%", r"\%", "percent", "percentage", "pct", "per cent", "percents"})
#: Words that stand behind a number and change what it says; with one of them the text is not a number.
_NOT_NOUNS_TEXT: Final = """
    or and not no nor to plus minus times over mod modulo squared cubed choose factorial pi sqrt root sin cos tan sec csc
    cot log ln exp i x y z e infinity inf is are was be if than less more fewer greater least most about approximately
    nearly almost between under above below but except maybe perhaps either per remainder base degrees degree radians
    radian half halves third thirds quarter quarters fourth fourths fifth fifths tenth tenths hundredth hundredths
    thousandth thousandths point negative equals equal sum product
    twice doubled tripled basis mil score bce bc
"""
_NOT_NOUNS: Final = frozenset(_NOT_NOUNS_TEXT.split())


def _units() -> dict[str, tuple[str, Fraction]]:
    table: dict[str, tuple[str, Fraction]] = {}
    groups: list[tuple[str, str, Fraction]] = [
        ("m", "m meter meters metre metres", Fraction(1)),
        ("m", "cm centimeter centimeters centimetre centimetres", Fraction(1, 100)),
        ("m", "mm millimeter millimeters millimetre millimetres", Fraction(1, 1000)),
        ("m", "nm nanometer nanometers nanometre nanometres", Fraction(1, 10**9)),
        ("m", "micrometer micrometers micrometre micrometres", Fraction(1, 10**6)),
        ("m", "km kilometer kilometers kilometre kilometres", Fraction(1000)),
        ("in", "in inch inches", Fraction(1)),
        ("in", "ft foot feet", Fraction(12)),
        ("in", "yd yard yards", Fraction(36)),
        ("in", "mi mile miles", Fraction(63360)),
        ("g", "g gram grams", Fraction(1)),
        ("g", "mg milligram milligrams", Fraction(1, 1000)),
        ("g", "Mg", Fraction(10**6)),
        ("g", "kg kilogram kilograms", Fraction(1000)),
        ("oz", "oz ounce ounces", Fraction(1)),
        ("oz", "lb lbs pound pounds", Fraction(16)),
        ("s", "s sec secs second seconds", Fraction(1)),
        ("s", "min mins minute minutes", Fraction(60)),
        ("s", "h hr hrs hour hours", Fraction(3600)),
        ("s", "day days", Fraction(86400)),
        ("s", "week weeks", Fraction(604800)),
        ("s", "fortnight fortnights", Fraction(1209600)),
        ("s", "ms millisecond milliseconds", Fraction(1, 1000)),
        ("month", "month months", Fraction(1)),
        ("month", "year years", Fraction(12)),
        ("month", "decade decades", Fraction(120)),
        ("month", "century centuries", Fraction(1200)),
        ("l", "l L liter liters litre litres", Fraction(1)),
        ("l", "ml milliliter milliliters millilitre millilitres", Fraction(1, 1000)),
        ("gal", "gal gallon gallons", Fraction(1)),
        ("gal", "quart quarts", Fraction(1, 4)),
        ("gal", "pint pints", Fraction(1, 8)),
        ("gal", "cup cups", Fraction(1, 16)),
        ("ton", "ton tons", Fraction(1)),
        ("t", "tonne tonnes", Fraction(1)),
        ("ac", "acre acres", Fraction(1)),
        ("ha", "hectare hectares", Fraction(1)),
        ("mph", "mph", Fraction(1)),
        ("km/h", "km/h kph kmh", Fraction(1)),
        ("m/s", "m/s", Fraction(1)),
        ("J", "J joule joules", Fraction(1)),
        ("J", "kJ kilojoule kilojoules", Fraction(1000)),
        ("cal", "cal calorie calories", Fraction(1)),
        ("cal", "kcal kilocalorie kilocalories", Fraction(1000)),
        ("W", "W watt watts", Fraction(1)),
        ("W", "mW milliwatt milliwatts", Fraction(1, 1000)),
        ("W", "kW kilowatt kilowatts", Fraction(1000)),
        ("W", "MW megawatt megawatts", Fraction(10**6)),
        ("V", "V volt volts", Fraction(1)),
        ("V", "mV millivolt millivolts", Fraction(1, 1000)),
        ("V", "kV kilovolt kilovolts", Fraction(1000)),
        ("Pa", "Pa pascal pascals", Fraction(1)),
        ("Pa", "kPa kilopascal kilopascals", Fraction(1000)),
        ("N", "newton newtons", Fraction(1)),
        ("mol", "mol mole moles", Fraction(1)),
        ("mol", "mmol millimole millimoles", Fraction(1, 1000)),
        ("B", "byte bytes", Fraction(1)),
        ("B", "kB KB kilobyte kilobytes", Fraction(1000)),
        ("B", "MB megabyte megabytes", Fraction(10**6)),
        ("B", "GB gigabyte gigabytes", Fraction(10**9)),
        ("pence", "pence penny pennies", Fraction(1)),
        ("$", "nickel nickels", Fraction(1, 20)),
        ("$", "dime dimes", Fraction(1, 10)),
        ("₹", "rupee rupees", Fraction(1)),
        ("₹", "paise paisa", Fraction(1, 100)),
        ("$", "$ dollar dollars usd", Fraction(1)),
        ("$", "cent cents", Fraction(1, 100)),
        ("£", "£", Fraction(1)),
        ("€", "€ euro euros", Fraction(1)),
        ("¥", "¥ yen yuan", Fraction(1)),
        ("am", "am a.m. a.m", Fraction(1)),
        ("pm", "pm p.m. p.m", Fraction(1)),
        ("deg", r"^\circ ^{\circ} degrees degree", Fraction(1)),
    ]
    for dimension, names, factor in groups:
        for name in names.split():
            table[name] = (dimension, factor)
    return table


_UNITS: Final = _units()
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
        text = _SIZES.sub("", text)
        text = _FRAC.sub(r"\\frac", text)
        text = _TEXT.sub(r" \1 ", text.replace(r"\mathrm{e}", "e"))
        text = text.replace(r"\{\}", r"\emptyset").replace(r"\varnothing", r"\emptyset")
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
    if text.count("$") == 2 and text.startswith("$"):  # "$28$ percent"
        text = text.replace("$", "").strip()
    return text


@lru_cache(maxsize=16384)
def number(text: str) -> Number | None:
    """The number that ``text`` (as ``tidy`` leaves it) is, or None. A bare ``x =`` in front is dropped."""
    if len(text) > LONGEST:
        return None
    text = _ASSIGN.sub("", text)
    match = _VALUE.match(text)
    if match is None:
        return None
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


def _integer(text: str) -> int:
    return int(text.replace("{,}", "").replace(",", "").replace(" ", "") or "0")


def _unit(name: str) -> tuple[str, Fraction] | None:
    """The unit of that name. Capitals are ignored where they do not change it: 5 M is no metre, 5 Mg no milligram."""
    found = _UNITS.get(name)
    if found is None and not (len(name) < 3 and name[:1] in ("M", "S", "G", "H")):
        found = _UNITS.get(name.lower())
    return found


def _with_suffix(value: Fraction, money: str, suffix: str, digits: int | None, ulp: Fraction) -> Number | None:
    unit = _UNITS.get(money) if money else None
    words = suffix.strip().rstrip(".")
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
    known = _unit(words)
    measure = _AREA.match(words)
    if measure is not None:
        base, power_ = _unit(measure[2]), 2 if measure[1].lower().startswith("sq") else 3
        if base is None:
            return None
        known = (f"{base[0]}^{power_}", base[1] ** power_)
    if known is None and power is not None:
        base = _unit(words[: power.start()])
        if base is not None:
            known = (f"{base[0]}^{power[1]}", base[1] ** int(power[1]))
    if known is not None:
        return Number(value, unit=known if unit is None else unit, digits=digits, ulp=ulp)
    if _WORDS.match(words) is None or any(w in _NOT_NOUNS for w in re.split(r"[ /\-]", words.lower())):
        return None
    for word in words.lower().split():
        if word in _UNITS and len(word) > 1 and unit is None:
            return None  # "5 square feet per hour": a measure that is not understood is not a plain number
    return Number(value, unit=unit, digits=digits, ulp=ulp)


@lru_cache(maxsize=16384)
def normal_form(text: str) -> str | None:
    """The key of ``text``'s equivalence class for voting; None for nothing, a NaN or more than ``LONGEST`` characters.

    Texts with one key are equal for the fast path of the ``answer`` verifier under its default options.
    """
    clean = tidy(text)
    if not clean or len(clean) > LONGEST:
        return None
    found = number(clean)
    if found is not None:
        if found.percent:
            return f"n:{found.value / 100}" if abs(found.value) <= 100 else f"n:{found.value}%"
        value = found.value
        if found.unit is None or found.unit == _UNITS["$"]:
            return f"n:{value}"
        return f"n:{value * found.unit[1]} {found.unit[0]}"
    if clean.lower() == "nan":
        return None
    if not any(c.isalnum() for c in clean):
        return None
    if is_words(clean):
        return f"w:{clean.casefold()}"
    if clean[0] == "=" or (match := _ASSIGN.match(clean)) is None or "," in clean or "=" in clean[match.end() :]:
        body = clean.lstrip("= ")
    else:
        body = clean[match.end() :]
    return "s:" + _TIGHT.sub("", body)


def is_words(clean: str) -> bool:
    """Whether a tidied text is plain words (at least two letters, no mathematics)."""
    return len(clean) > 1 and _WORDS.match(clean) is not None
