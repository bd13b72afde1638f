"""Units of measure: what a name measures, and how much of its base unit it is.

What must stay true: a name has one meaning; what measures different things never compares (no density, no exchange rate,
no metre in inches); a factor is exact.
"""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Final

#: Plain words, as a noun behind a number.
WORDS: Final = re.compile(r"[A-Za-z][A-Za-z'\-]+(?:[ /][A-Za-z'\-]+)*\.?$")
#: Words that stand behind a number and change what it says; with one of them the text is not a number.
_NOT_NOUNS: Final = """
    or and not no nor to plus minus times over mod modulo squared cubed choose factorial pi sqrt root sin cos tan sec csc
    cot log ln exp i x y z e infinity inf is are was be if than less more fewer greater least most about approximately
    nearly almost between under above below but except maybe perhaps either per remainder base degrees degree radians
    radian half halves third thirds quarter quarters fourth fourths fifth fifths tenth tenths hundredth hundredths
    thousandth thousandths point negative equals equal sum product
    twice doubled tripled basis mil score bce bc
"""
NOT_NOUNS: Final = frozenset(_NOT_NOUNS.split())


def _table() -> dict[str, tuple[str, Fraction]]:
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
        ("in/s", "mph", Fraction(63360, 3600)),
        ("m/s", "km/h kph kmh", Fraction(1000, 3600)),
        ("m/s", "m/s mps", Fraction(1)),
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
        ("deg", r"^\circ ^{\circ} \degree degrees degree", Fraction(1)),
    ]
    for dimension, names, factor in groups:
        for name in names.split():
            table[name] = (dimension, factor)
    for scale, letter in (("celsius", "C"), ("fahrenheit", "F"), ("kelvin", "K")):
        for name in (scale, scale.title(), f"degrees {scale}", f"degree {scale}", f"degrees {scale.title()}", rf"^\circ {letter}",
                     rf"^\circ{letter}", rf"^{{\circ}}{letter}", rf"^{{\circ}} {letter}"):  # fmt: skip
            table[name] = (f"deg{letter}", Fraction(1))
    return table


UNITS: Final = _table()


def unit_of(name: str) -> tuple[str, Fraction] | None:
    """The unit of that name. Capitals are ignored where they do not change it: 5 M is no metre, 5 Mg no milligram."""
    found = UNITS.get(name)
    if found is None and not (len(name) < 3 and name[:1] in ("M", "S", "G", "H")):
        found = UNITS.get(name.lower())
    return found


def rate(words: str) -> tuple[str, Fraction] | None:
    """``miles per hour``: one unit or noun over another, the one or the other known."""
    above, divided, below = words.partition(" per ")
    if not divided:
        above, divided, below = words.partition("/")
    above, below = above.strip(), below.strip().removeprefix("each ")
    if not divided or "/" in below or " per " in below:
        return None
    top, bottom = unit_of(above), unit_of(below)
    if (top is None and bottom is None) or not all(
        found is not None or (WORDS.match(text) and not any(w in NOT_NOUNS for w in text.lower().split()))
        for found, text in ((top, above), (bottom, below))
    ):
        return None
    one, other = (
        top or (above.casefold().removesuffix("s"), Fraction(1)),
        bottom or (below.casefold().removesuffix("s"), Fraction(1)),
    )
    return f"{one[0]}/{other[0]}", one[1] / other[1]
