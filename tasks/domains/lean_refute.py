"""Small counterexamples: a tactic that succeeds only where the first goal of a state is false, so that no proof goes on from there.

What must stay true: the tactic proves, in Lean, the negation of the goal with its whole context taken into it (``¬ ∀ x, h x → T x``),
so a state that it succeeds on is a dead end whatever tactics there are; it says nothing where it fails. Values come from the
types' names alone: numbers, booleans, propositions, small types, and lists, pairs, options and functions of them. What the text of
the goal says of them (``truth``) only chooses the values that Lean is given to check.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice, product
from math import prod
from typing import Final

from tracemill.tasks.domains.lean_goal import bare, read_goal, shape, split
from tracemill.tasks.search.rng import SplitMix

#: Counterexamples that one tactic tries, and how many lists of values are looked at to choose them.
TRIED: Final = 6
LOOKED: Final = 1_000
NAME: Final = "refuted"
_CHECK: Final = "(first | decide | (simp; done) | omega | infer_instance)"
_PROVED: Final = "?_"
_HOLE: Final = re.compile(r"\?\w")
_PLAIN: Final[Mapping[str, tuple[str, ...]]] = {
    "Nat": ("0", "1", "2", "3"),
    "Int": ("0", "1", "-1", "2"),
    "Bool": ("true", "false"),
    "Prop": ("True", "False"),
    "Char": ("'a'", "'b'"),
    "String": ('""', '"a"'),
    "Type": ("Nat",),
    "Unit": ("()",),
    "ULift Bool": ("⟨true⟩", "⟨false⟩"),
    "PUnit": ("⟨⟩",),
}


def refutation(goals: Sequence[str]) -> str | None:
    """The tactic for the first of ``goals``; None where there is nothing to try.

    That is where a goal has a hole, a hypothesis is a definition (``x : Nat := 3``), or no values make the goal false.
    """
    if not goals or any(_HOLE.search(goal) for goal in goals):
        return None
    groups, target = read_goal(goals[0])
    context = [(name, kind) for names, kind in groups for name in names]
    if any(" := " in kind for _, kind in context):
        return None
    hidden = iter([f"hidden{i}" for i, _ in enumerate(name for name, _ in context if "✝" in name)])
    names = [next(hidden) if "✝" in name else name for name, _ in context]
    tries = _tries(context, target)
    if not tries:
        return None
    unnamed = [name for name, (shown, _) in zip(names, context, strict=True) if "✝" in shown]
    wrong = " | ".join(f"(refine absurd (@f {' '.join(values)}) ?_ <;> {_CHECK})" for values in tries)
    steps = [f"rename_i {' '.join(unnamed)}"] if unnamed else []
    steps += [f"revert {' '.join(names)}"] if names else []
    steps += ["apply Classical.byContradiction", "intro not_so", f"have {NAME} : type_of% not_so := ?_", "rotate_left"]
    steps += ["clear not_so", "intro f", f"(first | {wrong})", "clear not_so"]
    return f"focus ({'; '.join(steps)})"


def is_refuted(before: Sequence[str], after: Sequence[str]) -> bool:
    """Whether the tactic has shown it: nothing is left of the first goal's context but what it proved."""
    return len(after) == len(before) and [names for names, _ in read_goal(after[0])[0]] == [[NAME]]


def truth(text: str, values: Mapping[str, str]) -> bool | None:
    """Whether a proposition holds for ``values`` (terms as text), as far as it can be told; None where it cannot."""
    mark, left, right = shape(text)
    if mark in ("∀", "∃"):
        bound = {name for part in re.split(r"[(){}:,]", left) for name in part.split()}
        return truth(right, {name: value for name, value in values.items() if name not in bound})
    if mark == "¬":
        said = truth(right, values)
        return None if said is None else not said
    if mark in ("∧", "∨", "→", "↔"):
        one, two = truth(left, values), truth(right, values)
        if mark == "↔":
            return None if one is None or two is None else one is two
        if mark == "→":
            one, mark = None if one is None else not one, "∨"
        if mark in ("∧", "∨") and (mark == "∨") in (one, two):
            return mark == "∨"
        return None if one is None or two is None else mark == "∧"
    if mark:
        number, other = _number(left, values), _number(right, values)
        if number is None or other is None:
            same = bare(left) == bare(right)
            return (mark in ("=", "≤", "≥")) if same else None
        return {
            "=": number == other,
            "≠": number != other,
            "≤": number <= other,
            "≥": number >= other,
            "<": number < other,
            ">": number > other,
        }[mark]
    return _atom(bare(text), values)


def _atom(text: str, values: Mapping[str, str]) -> bool | None:
    """A proposition that is a name, or a predicate of one argument."""
    said = values.get(text, text)
    if said in ("True", "False"):
        return said == "True"
    head, _, argument = text.partition(" ")
    body = values.get(head, "").strip("()")
    if body.startswith("fun _") and body.rpartition("=> ")[2] in ("True", "False"):
        return body.endswith("True")
    if body.startswith("fun x => x = "):
        number, other = _number(argument, values), _number(body.rpartition("= ")[2], values)
        return None if number is None or other is None else number == other
    return None


def _number(text: str, values: Mapping[str, str]) -> int | None:
    """A sum or product of natural numbers and names."""
    text = bare(text)
    for mark in (" + ", " - ", " * "):
        parts = split(text, mark)
        if len(parts) > 1:
            one, two = _number(mark.join(parts[:-1]), values), _number(parts[-1], values)
            if one is None or two is None:
                return None
            return one + two if mark == " + " else one * two if mark == " * " else max(0, one - two)
    said = values.get(text, text)
    if said.isdigit():
        return int(said)
    if text.startswith(("Nat.succ ", "succ ")):
        inner = _number(text.partition(" ")[2], values)
        return None if inner is None else inner + 1
    return None


def _tries(context: Sequence[tuple[str, str]], target: str) -> list[list[str]]:
    """At most ``TRIED`` lists of arguments: values for what is data, and a proof by checking for everything else."""
    types: dict[str, str] = {}
    choices: list[tuple[str, ...]] = []
    claims: list[str] = []
    values: tuple[str, ...]
    for name, kind in context:
        sort = re.match(r"(Type|Sort)\b[^→]*$", kind)
        if sort is not None:
            values = ("Nat",) if kind == "Type" else ("(ULift Bool)",) if sort[1] == "Type" else ("PUnit",)
            types[name] = bare(values[0])
        else:
            values = _values(kind, types)
        if not values:
            claims.append(kind)
        choices.append(tuple(_bracketed(value) for value in values) or (_PROVED,))
    ranked: list[tuple[int, int, list[str]]] = []
    for at, chosen in enumerate(_lists(choices)):
        given = {name: value for (name, _), value in zip(context, chosen, strict=True)}
        known = [truth(claim, given) for claim in claims]
        said = truth(target, given)
        if said is not True and False not in known:
            ranked.append((known.count(None) + (said is None), at, chosen))
    return [chosen for _, _, chosen in sorted(ranked)[:TRIED]]


def _lists(choices: Sequence[tuple[str, ...]]) -> Iterator[list[str]]:
    if prod(map(len, choices)) <= LOOKED:
        yield from map(list, product(*choices))
        return
    rng = SplitMix(len(choices))
    for _ in range(LOOKED):
        yield [values[rng.below(len(values))] for values in choices]


def _values(kind: str, types: Mapping[str, str]) -> tuple[str, ...]:
    """A few terms of a type; none for a proposition or a type that is not known."""
    kind = bare(types.get(bare(kind), kind))
    if kind in _PLAIN:
        return _PLAIN[kind]
    sources = split(kind, "→")
    if len(sources) > 1:
        known = [_values(source, types) for source in sources]
        if not all(known):
            return ()
        constant = [f"fun {' '.join('_' for _ in sources[1:])} => {value}" for value in known[-1][:2]]
        if known[-1] == _PLAIN["Prop"]:
            constant.append(f"fun x{' _' * (len(sources) - 2)} => x = {known[0][0]}")
        elif len(sources) == 2 and known[0] == known[1]:
            constant.append("fun x => x")
        return tuple(constant)
    factors = split(kind, "×")
    if len(factors) > 1:
        known = [_values(factor, types) for factor in factors]
        return tuple(f"({', '.join(values)})" for values in islice(product(*known), 3)) if all(known) else ()
    head, _, rest = kind.partition(" ")
    inner = _values(rest, types) if head in ("List", "Array", "Option") else ()
    if not inner:
        return ()
    if head == "Option":
        return ("none", f"some {_bracketed(inner[0])}")
    mark = "#" if head == "Array" else ""
    return (f"{mark}[]", f"{mark}[{inner[0]}]", f"{mark}[{', '.join(inner[:2])}]")


def _bracketed(value: str) -> str:
    return f"({value})" if re.search(r"[\s-]", value) and not value.startswith(("(", "[", "#")) else value
