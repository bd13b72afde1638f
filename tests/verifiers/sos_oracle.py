"""What a legal Stream of Search text is, a second time and in another way: every move is looked up among all that there are.

Shares no code with the verifier: no regular expressions, no multiset arithmetic; a line is legal if it is one of the lines
that could have been written in its place.
"""

from __future__ import annotations

from itertools import permutations


def moves(numbers: tuple[int, ...]) -> set[tuple[str, tuple[int, ...]]]:
    """(equation, sorted numbers left) of every legal step."""
    found = set()
    for i, j in permutations(range(len(numbers)), 2):
        a, b = numbers[i], numbers[j]
        rest = [n for k, n in enumerate(numbers) if k not in (i, j)]
        results = {"+": a + b, "*": a * b}
        if a >= b:
            results["-"] = a - b
            if b > 0 and (a // b) * b == a:
                results["/"] = a // b
        for sign, c in results.items():
            found.add((f"{a}{sign}{b}={c}", tuple(sorted([*rest, c]))))
    return found


def numbers_in(text: str) -> tuple[int, ...] | None:
    """The numbers of ``[1, 2]`` where it is written exactly so."""
    if not (text.startswith("[") and text.endswith("]")):
        return None
    try:
        found = tuple(int(part) for part in text[1:-1].split(", "))
    except ValueError:
        return None
    return found if str(list(found)) == text and all(n >= 0 for n in found) else None


def legal(text: str) -> bool:
    """Whether every line of ``text`` can stand where it stands, from the first state to an end."""
    lines = text.removesuffix("\n").split("\n")
    head = "Current State: "
    if not lines[0].startswith(head) or not lines[0].endswith(", Operations: []"):
        return False
    target, _, shown = lines[0][len(head) : -len(", Operations: []")].partition(":")
    start = numbers_in(shown)
    if start is None or not target.isdecimal() or str(int(target)) != target or not target.isascii():
        return False
    known: dict[str, tuple[str, tuple[str, ...]]] = {"0": (shown, ())}
    here = "0"
    rest = lines[1:]
    while rest:
        line = rest.pop(0)
        if line == "No solution found.":
            return not rest
        if line.startswith("Moving to Node #"):
            here = line.removeprefix("Moving to Node #")
            if here not in known or not rest:
                return False
            shown, steps = known[here]
            if rest.pop(0) != f"Current State: {target}:{shown}, Operations: {list(steps)}":
                return False
            continue
        shown, steps = known[here]
        numbers = numbers_in(shown)
        assert numbers is not None
        step, comma, left = line.removeprefix("Exploring Operation: ").partition(", Resulting Numbers: ")
        after = numbers_in(left)
        if not line.startswith("Exploring Operation: ") or not comma or after is None or not rest:
            return False
        if (step, tuple(sorted(after))) not in moves(numbers):
            return False
        follow = rest.pop(0)
        if len(after) == 1:
            if str(after[0]) == target:
                return follow == f"{target},{target} equal: Goal Reached" and not rest
            if follow != f"{after[0]},{target} unequal: No Solution":
                return False
            continue
        tag, _, state = follow.partition(": ")
        name = tag.removeprefix("Generated Node #")
        parent, _, index = name.rpartition(",")
        if not tag.startswith("Generated Node #") or name in known or parent != here:
            return False
        if not (index.isdecimal() and index.isascii() and str(int(index)) == index):
            return False
        if state != f"{target}:{left} Operation: {step}":
            return False
        known[name] = (left, (*steps, step))
    return True
