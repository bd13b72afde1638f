"""Writes problems.jsonl: 120 short word problems of one or two steps with integer answers. Same seed, same file.

python data/word_sums/generate.py
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path

COUNT, SEED = 120, 20
NAMES = ("Ada", "Bo", "Chen", "Dina", "Emil", "Farah", "Goran", "Hana", "Ines", "Jomo")
THINGS = ("pears", "stamps", "marbles", "tickets", "shells", "pencils", "cards", "beads")


def problems(count: int = COUNT, seed: int = SEED) -> Iterator[dict[str, str]]:
    """Rows with ``prompt``, ``gold`` and ``reference_solution``, all different."""
    rng = random.Random(seed)
    seen: set[str] = set()
    while len(seen) < count:
        name, other = rng.sample(NAMES, 2)
        thing = rng.choice(THINGS)
        a, b, c = rng.randint(12, 99), rng.randint(2, 11), rng.randint(2, 9)
        row = rng.choice((_given_away, _bought, _shared))(name, other, thing, a, b, c)
        if row["prompt"] not in seen:
            seen.add(row["prompt"])
            yield row


def _row(prompt: str, gold: int, solution: str) -> dict[str, str]:
    return {"prompt": prompt, "gold": str(gold), "reference_solution": f"{solution}\n#### {gold}"}


def _given_away(name: str, other: str, thing: str, a: int, b: int, c: int) -> dict[str, str]:
    prompt = f"{name} has {a} {thing} and gives {b} of them to {other}. How many {thing} does {name} have left?"
    return _row(prompt, a - b, f"{a} - {b} = {a - b}")


def _bought(name: str, other: str, thing: str, a: int, b: int, c: int) -> dict[str, str]:
    prompt = (
        f"{name} has {a} {thing} and buys {c} bags with {b} {thing} in each. How many {thing} does {name} have now?"
    )
    return _row(prompt, a + b * c, f"{c} * {b} = {b * c}\n{a} + {b * c} = {a + b * c}")


def _shared(name: str, other: str, thing: str, a: int, b: int, c: int) -> dict[str, str]:
    prompt = (
        f"{name} and {other} share {b * c * 2} {thing} equally, and {name} then loses {c}. How many does {name} have?"
    )
    return _row(prompt, b * c - c, f"{b * c * 2} / 2 = {b * c}\n{b * c} - {c} = {b * c - c}")


if __name__ == "__main__":
    out = Path(__file__).with_name("problems.jsonl")
    out.write_text("".join(json.dumps(row) + "\n" for row in problems()))
