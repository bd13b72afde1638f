r"""Answers that are wrong by construction: near misses, hedges and wrappers around a right and a wrong answer.

What must stay true: the truth is known without any verifier. A wrong answer is built from other numbers, signs, units, bounds
or orders than the gold one, so that its value differs; a hedge says more than one answer; a wrapper puts the right answer
where a response does not commit to it. Seeded: one seed gives one sequence.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction


@dataclass(frozen=True, slots=True)
class Attack:
    """A response that must not be accepted for ``gold``; ``kind`` says how it was made."""

    gold: str
    response: str
    kind: str


@dataclass(frozen=True, slots=True)
class Miss:
    """A gold answer, and an answer of the same shape whose value differs in what ``kind`` says."""

    gold: str
    wrong: str
    kind: str


def attacks(seed: int) -> Iterator[Attack]:
    """Distinct attacks without end."""
    rng = random.Random(seed)
    seen: set[tuple[str, str]] = set()
    while True:
        miss = rng.choice(MISSES)(rng)
        if miss is None or miss.gold == miss.wrong:
            continue
        wrap = rng.choice(WRAPPERS) if rng.random() < 0.5 else rng.choice(PLAIN)
        wrapped = wrap(rng, miss)
        if wrapped is None:
            continue
        response, how = wrapped
        if (miss.gold, response) not in seen:
            seen.add((miss.gold, response))
            yield Attack(miss.gold, response, f"{miss.kind}, {how}")


def _number(rng: random.Random) -> tuple[str, Fraction]:
    kind = rng.randrange(5)
    if kind == 0:
        n = rng.randint(2, 10 ** rng.randint(1, 9))
        return rng.choice([str(n), f"{n:,}"]), Fraction(n)
    if kind == 1:
        text = f"{rng.randint(0, 999)}.{rng.randint(1, 999):0{rng.randint(1, 4)}d}"
        return text, Fraction(text)
    if kind == 2:
        p, q = rng.randint(1, 99), rng.randint(2, 99)
        return rng.choice([f"{p}/{q}", rf"\frac{{{p}}}{{{q}}}", rf"\dfrac{{{p}}}{{{q}}}"]), Fraction(p, q)
    if kind == 3:
        m, e = rng.randint(1, 99), rng.choice([-1, 1]) * rng.randint(1, 9)
        return rng.choice([rf"{m} \times 10^{{{e}}}", f"{m}e{e}"]), m * Fraction(10) ** e
    w, p, q = rng.randint(1, 40), rng.randint(1, 6), rng.randint(7, 13)
    return rf"{w}\frac{{{p}}}{{{q}}}", w + Fraction(p, q)


def _other(rng: random.Random, value: Fraction, exclude: tuple[Fraction, ...] = ()) -> tuple[str, Fraction]:
    """A number near ``value`` that is not it, nor what a percent sign would make of it."""
    while True:
        made = rng.choice(
            [
                value + rng.choice([-1, 1]),
                -value,
                value * 10,
                value / 10,
                value * 2,
                value + Fraction(1, 10 ** rng.randint(1, 12)),
                value * (1 + Fraction(1, 10 ** rng.randint(1, 9))),
                1 / value if value else Fraction(3),
                value + rng.randint(2, 99),
            ]
        )
        if made != value and made not in (value * 100, value / 100, *exclude):
            return _written(rng, made), made


def _written(rng: random.Random, value: Fraction) -> str:
    if value.denominator == 1:
        return rng.choice([str(value.numerator), f"{value.numerator:,}", f"{value.numerator}.0"])
    sign = "-" if value < 0 else ""
    return rng.choice([str(value), rf"{sign}\frac{{{abs(value.numerator)}}}{{{value.denominator}}}"])


def number(rng: random.Random) -> Miss:
    gold, value = _number(rng)
    return Miss(gold, _other(rng, value)[0], "number")


def digit(rng: random.Random) -> Miss | None:
    gold, _ = _number(rng)
    places = [i for i, c in enumerate(gold) if c.isdigit()]
    place = rng.choice(places)
    changed = str((int(gold[place]) + rng.randint(1, 9)) % 10)
    wrong = gold[:place] + changed + gold[place + 1 :]
    plain = gold.replace(",", "")
    if "frac" in gold or "/" in gold or "e" in gold or "times" in gold:
        return Miss(gold, wrong, "digit") if _differs(gold, wrong) else None
    return Miss(gold, wrong, "digit") if Fraction(wrong.replace(",", "")) != Fraction(plain) else None


def _differs(gold: str, wrong: str) -> bool:
    """Whether two numbers as ``_number`` writes them differ."""
    x, y = _value(gold), _value(wrong)
    return x is not None and x != y


def _value(text: str) -> Fraction | None:
    """The number that ``_number`` wrote; by a reader of its shapes alone. None for anything else."""
    text = text.replace(r"\dfrac", r"\frac").replace(",", "")
    try:
        if r"\frac" in text:
            head, _, tail = text.partition(r"\frac{")
            top, _, bottom = tail.rstrip("}").partition("}{")
            return (Fraction(head) if head else 0) + Fraction(int(top), int(bottom))
        if r"\times" in text:
            mantissa, _, exponent = text.partition(r" \times 10^{")
            return Fraction(mantissa) * Fraction(10) ** int(exponent.rstrip("}"))
        if "e" in text:
            mantissa, _, exponent = text.partition("e")
            return Fraction(mantissa) * Fraction(10) ** int(exponent)
        return Fraction(text)
    except (ValueError, ZeroDivisionError):
        return None


UNITS = [("cm", "m"), ("m", "km"), ("g", "kg"), ("hours", "minutes"), ("feet", "inches"), ("dollars", "cents"), ("cm^2", "cm"),
         ("m^2", "m^3"), ("miles per hour", "km/h"), ("liters", "ml"), ("square feet", "feet"), ("days", "weeks")]  # fmt: skip


def unit(rng: random.Random) -> Miss:
    one, other = rng.choice(UNITS)
    if rng.random() < 0.5:
        one, other = other, one
    n = rng.randint(1, 9999)
    return Miss(
        f"{n} {one}", rng.choice([f"{n} {other}", rf"{n} \text{{ {other}}}", f"{n + 1} {one}", f"-{n} {one}"]), "unit"
    )


def money(rng: random.Random) -> Miss:
    n, c = rng.randint(1, 99999), rng.randint(0, 99)
    sign = rng.choice(["$", r"\$"])
    wrong = [
        f"€{n}.{c:02d}",
        f"{sign}{n}.{(c + 1) % 100:02d}",
        f"{sign}{n + 1}.{c:02d}",
        f"-{sign}{n}.{c:02d}",
        f"{sign}{n}.{c:02d} million",
    ]
    return Miss(f"{sign}{n}.{c:02d}", rng.choice(wrong), "money")


def percent(rng: random.Random) -> Miss:
    n = rng.randint(2, 99)
    return Miss(
        rf"{n}\%",
        rng.choice([rf"{n + 1}\%", rf"-{n}\%", rf"{n * 100}\%", rf"{n}.5\%", f"{Fraction(n, 1000)}"]),
        "percent",
    )


def _several(rng: random.Random) -> list[int]:
    return rng.sample(range(-60, 60), rng.randint(2, 4))


def order(rng: random.Random) -> Miss | None:
    items = _several(rng)
    mixed = items[:]
    rng.shuffle(mixed)
    if mixed == items:
        return None
    left, right = rng.choice([("(", ")"), (r"\left(", r"\right)"), (r"\langle ", r" \rangle")])
    return Miss(f"({', '.join(map(str, items))})", f"{left}{', '.join(map(str, mixed))}{right}", "order")


def element(rng: random.Random) -> Miss:
    items = _several(rng)
    changed = items[:]
    place = rng.randrange(len(items))
    changed[place] = rng.choice([n for n in range(-99, 99) if n not in items])
    left, right = rng.choice([("(", ")"), ("", ""), (r"\{", r"\}")])
    wrong = rng.choice([changed, items[:-1], [*items, changed[place]]])
    return Miss(left + ", ".join(map(str, items)) + right, left + ", ".join(map(str, wrong)) + right, "element")


def interval(rng: random.Random) -> Miss:
    low = rng.randint(-50, 40)
    high = low + rng.randint(1, 50)
    left, right = rng.choice("(["), rng.choice(")]")
    flip = {"(": "[", "[": "(", ")": "]", "]": ")"}
    gold = f"{left}{low}, {high}{right}"
    signs = {"(": "<", "[": r"\le", ")": "<", "]": r"\le"}
    wrong = rng.choice(
        [
            f"{flip[left]}{low}, {high}{right}",
            f"{left}{low}, {high}{flip[right]}",
            f"{left}{low}, {high + 1}{right}",
            f"{left}{-high}, {-low}{right}" if low != -high else f"{left}{low - 1}, {high}{right}",
            rf"{low} {signs[flip[left]]} x {signs[right]} {high}",
            rf"{low} {signs[left]} x {signs[right]} {high + 2}",
            rf"{left}{low}, \infty)",
            rf"(-\infty, {high}{right}",
        ]
    )
    return Miss(gold, wrong, "interval")


def inequality(rng: random.Random) -> Miss:
    n = rng.choice([-1, 1]) * rng.randint(2, 50)
    sign, opposite = rng.choice([("<", ">"), (">", "<"), (r"\le", r"\ge"), (r"\ge", r"\le")])
    strict = {"<": r"\le", ">": r"\ge", r"\le": "<", r"\ge": ">"}[sign]
    region = {"<": rf"(-\infty, {n}]", r"\le": rf"(-\infty, {n})", ">": rf"[{n}, \infty)", r"\ge": rf"({n}, \infty)"}[
        sign
    ]
    wrong = rng.choice(
        [
            f"x {opposite} {n}",
            f"x {strict} {n}",
            f"x {sign} {n + 1}",
            f"{n} {sign} x",
            f"y {sign} {n}",
            region,
            str(n),
            f"x = {n}",
        ]
    )
    return Miss(f"x {sign} {n}", wrong, "inequality")


def polynomial(rng: random.Random) -> Miss:
    a, b, c = (rng.choice([n for n in range(-9, 10) if n]) for _ in range(3))
    gold = f"{a}x^2{b:+d}x{c:+d}"
    wrong = rng.choice(
        [f"{a}x^2{b:+d}x{-c:+d}", f"{a}x^2{-b:+d}x{c:+d}", f"{a + 10}x^2{b:+d}x{c:+d}", f"{a}x^3{b:+d}x{c:+d}", f"{a}x^2{b:+d}x",
         f"{a}y^2{b:+d}y{c:+d}", f"x({a}x{b:+d}){c + 1:+d}", f"{a}x^2{b:+d}x{c:+d}=1", f"({a}x^2{b:+d}x{c:+d})^2"]
    )  # fmt: skip
    if a == 1 and c == 1 and b in (2, -2) and wrong.endswith("^2"):
        return number(rng)
    return Miss(gold, wrong, "polynomial")


def radical(rng: random.Random) -> Miss:
    a, n = rng.randint(2, 30), rng.choice([2, 3, 5, 6, 7, 10, 11, 13, 14, 15, 17, 19])
    m = rng.choice([k for k in (2, 3, 5, 6, 7, 10, 11, 13) if k != n])
    gold = rng.choice([rf"{a}\sqrt{{{n}}}", rf"\sqrt{{{a * a * n}}}"])
    wrong = [rf"{a}\sqrt{{{m}}}", rf"{a + 1}\sqrt{{{n}}}", rf"-{a}\sqrt{{{n}}}", rf"\sqrt{{{a * n}}}", rf"{a}\sqrt[3]{{{n}}}",
             rf"{a}+\sqrt{{{n}}}", f"{a * n}", f"{a * n ** 0.5:.6f}", rf"\sqrt{{{a * a * n + 1}}}"]  # fmt: skip
    return Miss(gold, rng.choice(wrong), "radical")


def nesting(rng: random.Random) -> Miss:
    b = rng.choice([2, 3, 5, 7, 11, 13])
    a = rng.choice([n for n in range(2, 30) if n != b])
    gold = rf"\sqrt{{{a}+\sqrt{{{b}}}}}"
    wrong = [rf"\sqrt{{{a}-\sqrt{{{b}}}}}", rf"\sqrt{{{a}}}+\sqrt{{{b}}}", rf"\sqrt{{\sqrt{{{a}}}+{b}}}", rf"{a}+\sqrt{{\sqrt{{{b}}}}}",
             rf"\sqrt{{{a}+{b}}}"]  # fmt: skip
    return Miss(gold, rng.choice(wrong), "nesting")


def tiny(rng: random.Random) -> Miss:
    n = rng.randint(20, 400)
    return Miss(
        *rng.choice(
            [
                (rf"\frac{{1}}{{2^{{{n}}}}}", rf"\frac{{1}}{{2^{{{n + 1}}}}}"),
                (f"10^{{{n}}}", f"10^{{{n}}}+1"),
                (rf"1-10^{{-{n}}}", "1"),
                (r"\sqrt{2}", rf"\sqrt{{2}}+10^{{-{n}}}"),
                (rf"\frac{{1}}{{{n}!}}", rf"\frac{{1}}{{{n + 2}!}}"),
                (rf"1-\frac{{1}}{{e^{{{n}}}}}", rf"1+\frac{{1}}{{e^{{{n}}}}}"),
            ]
        ),
        "tiny",
    )


def equation(rng: random.Random) -> Miss:
    a, b, c = rng.randint(1, 20), rng.randint(1, 20), rng.randint(1, 40)
    gold = f"{a}x+{b}y={c}"
    wrong = [f"{a}x-{b}y={c}", f"{a}x+{b}y={-c}", f"{a}x+{b}y={c + 1}", f"{a + 1}x+{b}y={c}", f"{a}x+{b}y", f"{a}x+{b}z={c}", f"{c}",
             f"{a}x+{b}y<{c}", f"{a}x^2+{b}y={c}"]  # fmt: skip
    return Miss(gold, rng.choice(wrong), "equation")


def line(rng: random.Random) -> Miss:
    a, b = rng.randint(2, 20), rng.randint(1, 20)
    return Miss(
        f"y={a}x+{b}",
        rng.choice([f"y={a}x-{b}", f"x={a}y+{b}", f"y={a + 1}x+{b}", f"y=-{a}x+{b}", f"{a}x+y={b}", f"y+{a}x+{b}=0"]),
        "line",
    )


def matrix(rng: random.Random) -> Miss | None:
    rows = [[rng.randint(-9, 9) for _ in range(2)] for _ in range(2)]

    def write(cells: list[list[int]], kind: str) -> str:
        return rf"\begin{{{kind}}}" + r" \\ ".join(" & ".join(map(str, row)) for row in cells) + rf"\end{{{kind}}}"

    changed = [row[:] for row in rows]
    changed[rng.randrange(2)][rng.randrange(2)] += rng.choice([-1, 1, 7])
    turned = [list(column) for column in zip(*rows, strict=True)]
    wrong = changed if turned == rows or rng.random() < 0.5 else turned
    return Miss(write(rows, "pmatrix"), write(wrong, rng.choice(["pmatrix", "bmatrix"])), "matrix")


def choice(rng: random.Random) -> Miss:
    gold, wrong = rng.sample("ABCDE", 2)
    return Miss(
        gold,
        rng.choice([wrong, f"({wrong})", f"{wrong}.", rf"\text{{{wrong}}}", f"{wrong}. 12", str(ord(wrong) - 64)]),
        "choice",
    )


NAMES = [
    "Evelyn",
    "Marcus",
    "Tuesday",
    "Friday",
    "even",
    "odd",
    "red",
    "blue",
    "Paris",
    "London",
    "increasing",
    "decreasing",
    "Yes",
    "No",
    "true",
    "false",
]


def word(rng: random.Random) -> Miss:
    gold, wrong = rng.sample(NAMES, 2)
    return Miss(
        gold, rng.choice([wrong, rf"\text{{{wrong}}}", f"not {gold}", f"{gold} and {wrong}", f"un{gold}"]), "word"
    )


def ratio(rng: random.Random) -> Miss | None:
    a, b = rng.sample(range(1, 40), 2)
    return Miss(f"{a}:{b}", rng.choice([f"{b}:{a}", f"{a}:{b + 1}", f"{a}.{b}", f"{a + b}", f"{a}:{b}:{a}"]), "ratio")


def complex_number(rng: random.Random) -> Miss:
    a, b = rng.randint(1, 40), rng.randint(2, 40)
    return Miss(
        f"{a}+{b}i",
        rng.choice([f"{a}-{b}i", f"-{a}+{b}i", f"{a}+{b}", f"{a}+{b + 1}i", f"{a}+i", f"({a}, {b})"]),
        "complex",
    )


MISSES: list[Callable[[random.Random], Miss | None]] = [
    number, digit, number, digit, unit, money, percent, order, element, interval, inequality, polynomial, radical, nesting, tiny, equation, line,
    matrix, choice, word, ratio, complex_number,
]  # fmt: skip

#: None where the response could be right after all.
Wrapper = Callable[[random.Random, Miss], tuple[str, str] | None]


def _plain(template: str) -> Wrapper:
    return lambda rng, m: (template.replace("WRONG", m.wrong), "said plainly")


PLAIN: list[Wrapper] = [
    _plain(t)
    for t in (
        r"\boxed{WRONG}", r"So it is \boxed{WRONG}.", "#### WRONG", "Let us see.\nThe answer is WRONG.", "<answer>WRONG</answer>", r"\(WRONG\)",
        "WRONG", "$WRONG$", r"<think>a b c</think>\boxed{WRONG}", "**WRONG**", r"\boxed{\boxed{WRONG}}", r"\[\boxed{WRONG}\]", "Final Answer: WRONG",
    )
]  # fmt: skip


def _both(template: str) -> Wrapper:
    def wrap(rng: random.Random, miss: Miss) -> tuple[str, str]:
        n = str(rng.randint(2, 99))
        return template.replace("RIGHT", miss.gold).replace("WRONG", miss.wrong).replace("NUMBER", n), template

    return wrap


_LAST = re.compile(r"-?\d+(?:\.\d+)?(?=\D*$)")


def _computed(template: str, unmoved: Callable[[Fraction, int], bool]) -> Wrapper:
    """Arithmetic on the right answer, or on the last number in it; none where that number is ``unmoved`` by it."""

    def wrap(rng: random.Random, miss: Miss) -> tuple[str, str] | None:
        n = rng.randint(2, 99)
        numbers = [Fraction(found) for found in _LAST.findall(miss.gold)]
        if (value := _value(miss.gold)) is not None:
            numbers.append(value)
        if miss.kind == "matrix" or any(unmoved(number, n) for number in numbers):
            return None
        return template.replace("RIGHT", miss.gold).replace("NUMBER", str(n)), template

    return wrap


COMPUTED: list[Wrapper] = [
    _computed(r"\boxed{RIGHT+NUMBER}", lambda value, n: False),
    _computed(r"\boxed{RIGHT \cdot NUMBER}", lambda value, n: value == 0),
    _computed(r"\boxed{\frac{RIGHT}{NUMBER}}", lambda value, n: value == 0),
    _computed(r"\boxed{(RIGHT)^{NUMBER}}", lambda value, n: value in (-1, 0, 1)),
    _computed(r"\boxed{\sqrt{RIGHT}+NUMBER}", lambda value, n: (value - n) ** 2 == value),
]

WRAPPERS: list[Wrapper] = COMPUTED + [
    _both(t)
    for t in (
        r"\boxed{RIGHT} or \boxed{WRONG}", r"\boxed{WRONG} or \boxed{RIGHT}", r"\boxed{RIGHT \text{ or } WRONG}", r"\boxed{RIGHT, WRONG}",
        r"\boxed{RIGHT \text{ and } WRONG}", r"\boxed{\text{not } RIGHT}", r"<think>\boxed{RIGHT}</think> So \boxed{WRONG}", r"<think>it is \boxed{RIGHT}",
        r"\boxed{RIGHT", r"\boxed{RIGHT}, the final answer is WRONG.", r"\boxed{}RIGHT", r"\boxed{\boxed{RIGHT}, \boxed{WRONG}}",
        "The answer is either RIGHT or WRONG.", "RIGHT or WRONG", "RIGHT, or maybe WRONG", "not RIGHT", "The answer is not RIGHT.", "anything but RIGHT",
        "The question asks whether it is RIGHT. It is not.\nThe answer is WRONG.", "RIGHT? No.\nAnswer: WRONG", r"\boxed{\{RIGHT; WRONG\}}",
        r"I could say \boxed{RIGHT}. But \boxed{WRONG}.", r"\boxed{RIGHT \ne WRONG}",
        r"\boxed{NUMBER \mid RIGHT}", r"\boxed{RIGHT = WRONG}", r"\boxed{WRONG}" + "\n" * 3 + "RIGHT",
        r"\boxed{RIGHT \to WRONG}", r"\boxed{x \mid RIGHT}", r"<answer>RIGHT</answer><answer>WRONG</answer>", r"\fbox{WRONG} \boxed{}", r"\boxed{[RIGHT, WRONG]}",
        "RIGHT\nWRONG", "RIGHT WRONG", r"\boxed{RIGHT WRONG}", "it is at least RIGHT", "It might be RIGHT, but I am not sure.", r"\boxed{RIGHT} is what they want, but \boxed{WRONG} is true.",
    )
]  # fmt: skip
