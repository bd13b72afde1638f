"""The portfolio: tactics of core Lean worth trying on a goal, read from how the goal is written.

What must stay true: the same goal gives the same tactics in the same order; each weighs at least something, so that a
best-first search reaches all of them; with ``finishing`` left out no tactic stands for a whole decision procedure.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from tracemill.tasks.domains.lean_goal import read_goal, shape

#: Decision procedures and simplifiers that close many goals by themselves.
FINISHING: Final = ("omega", "grind", "simp_all", "decide")

#: Of each kind of name in a header so many are used, the last ones.
NAMES: Final = 6
_KINDS: Final = {"theorem": "theorems", "lemma": "theorems", "inductive": "inductives", "structure": "inductives"}
_DECLARED: Final = re.compile(
    r"^(?:@\[[^\]]*\]\s*)?(?:(?:noncomputable|private|protected|public)\s+)*(def|abbrev|theorem|lemma|inductive|structure)\s+([^\s:({\[]+)",
    re.MULTILINE,
)
_NAME: Final = re.compile(r"[^\W\d][\w'₀-₉.]*")
_HIDDEN: Final = re.compile(r"\S*✝\S*")
_GROUP: Final = re.compile(r"[({⦃]([^(){}⦃⦄]*)[)}⦄]")
_SORTS: Final = ("Prop", "Type", "Type u", "Sort u", "Type u_1", "Sort u_1")
#: Lemmas of arithmetic to rewrite with, and a sign that the goal must have for it.
_SIGN: Final[Mapping[str, str]] = {
    "Nat.add_comm": "+",
    "Nat.add_assoc": "+",
    "Nat.add_left_comm": "+",
    "Nat.add_right_comm": "+",
    "Nat.add_zero": "+",
    "Nat.zero_add": "+",
    "Nat.add_succ": "+",
    "Nat.succ_add": "+",
    "← Nat.add_assoc": "+",
    "Nat.mul_comm": "*",
    "Nat.mul_assoc": "*",
    "Nat.mul_add": "*",
    "Nat.add_mul": "*",
    "Nat.mul_succ": "*",
    "Nat.succ_mul": "*",
    "Nat.mul_one": "*",
    "Nat.one_mul": "*",
    "Nat.mul_zero": "*",
    "Nat.zero_mul": "*",
    "Nat.pow_succ": "^",
    "Nat.pow_zero": "^",
    "Nat.mul_pow": "^",
    "Nat.pow_add": "^",
    "Nat.pow_mul": "^",
}
_LEMMAS: Final = tuple(_SIGN)
_SORTING: Final = (
    "Nat.add_comm",
    "Nat.add_left_comm",
    "Nat.add_assoc",
    "Nat.mul_comm",
    "Nat.mul_left_comm",
    "Nat.mul_assoc",
)
_DISTRIBUTING: Final = ("Nat.mul_add", "Nat.add_mul")
_RELATIONS: Final[Mapping[str, tuple[str, ...]]] = {
    "=": (
        "exact Nat.le_antisymm ‹_› ‹_›",
        "apply Nat.le_antisymm",
        "exact Nat.eq_zero_of_le_zero ‹_›",
        "exact Nat.succ.inj ‹_›",
        "exact Nat.add_right_cancel ‹_›",
        "exact Nat.add_left_cancel ‹_›",
        "apply Nat.add_right_cancel",
        "apply congrArg",
        "exact Nat.eq_of_mul_eq_mul_left ‹_› ‹_›",
    ),
    "≤≥": (
        "exact Nat.le_trans ‹_› ‹_›",
        "apply Nat.le_of_lt",
        "apply Nat.le_of_lt_succ",
        "apply Nat.le_of_succ_le_succ",
        "apply Nat.succ_le_succ",
        "apply Nat.le_succ_of_le",
        "exact Nat.zero_le _",
        "exact Nat.pos_of_ne_zero ‹_›",
        "exact Nat.succ_le_of_lt ‹_›",
    ),
    "<>": (
        "exact Nat.lt_trans ‹_› ‹_›",
        "exact Nat.lt_of_lt_of_le ‹_› ‹_›",
        "exact Nat.lt_of_le_of_lt ‹_› ‹_›",
        "apply Nat.lt_of_lt_of_le",
        "apply Nat.lt_of_le_of_lt",
        "apply Nat.succ_lt_succ",
        "apply Nat.lt_succ_of_le",
        "exact Nat.pos_of_ne_zero ‹_›",
        "exact Nat.mod_lt _ ‹_›",
    ),
}


@dataclass(frozen=True, slots=True)
class Names:
    """What a header declares: definitions to unfold, theorems to use, inductive types to take apart."""

    definitions: tuple[str, ...] = ()
    theorems: tuple[str, ...] = ()
    inductives: tuple[str, ...] = ()

    @classmethod
    def of(cls, header: str) -> Names:
        """The names at the beginnings of declarations; of each kind the last ``NAMES``."""
        found: dict[str, list[str]] = {}
        for kind, name in _DECLARED.findall(header):
            found.setdefault(_KINDS.get(kind, "definitions"), []).append(name)
        return cls(**{kind: tuple(dict.fromkeys(names))[-NAMES:] for kind, names in found.items()})


def portfolio(
    goals: tuple[str, ...], *, finishing: bool = True, simp: bool = True, names: Names | None = None
) -> list[tuple[str, float]]:
    """(tactic, weight) for the first of ``goals``; ``names`` are those of the theorem's header.

    Without ``simp`` nothing simplifies by rules: what is left are the elementary steps of a proof.
    """
    if not goals:
        return []
    shown, target = read_goal(goals[0])
    context = [([n for n in some if _NAME.fullmatch(n)], kind.partition(" := ")[0]) for some, kind in shown]
    view = _Goal(context, target, names or Names(), {name for known, _ in context for name in known}, {})
    add = view.add
    if finishing:
        for tactic, weight in zip(FINISHING, (8.0, 8.0, 6.0, 3.0), strict=True):
            add(tactic, weight)
        used = ", ".join((*view.names.definitions, *view.names.theorems))
        if used:
            add(f"simp_all [{used}]", 3.0)
            add(f"grind [{used}]", 3.0)
    for tactic, weight in (("rfl", 4.0), ("assumption", 4.0), ("contradiction", 3.0)):
        add(tactic, weight)
    if goals[0].count("✝") and (count := len(set(_HIDDEN.findall(goals[0].rpartition("⊢")[0])))) <= 6:
        add(f"rename_i {' '.join(view.fresh('u') for _ in range(count))}", 1.5)
    _on_target(view)
    for known, kind in context:
        for name in known:
            _on_hypothesis(name, kind, view)
    _on_names(view)
    for tactic, weight in (("simp", 4.0), ("simp [*]", 1.5), ("constructor", 2.0), ("split", 1.0), ("simp at *", 0.7)):
        add(tactic, weight)
    _on_arithmetic(view)
    return [(tactic, weight) for tactic, weight in view.found.items() if simp or not tactic.startswith("simp")]


@dataclass(slots=True)
class _Goal:
    """The goal that tactics are collected for, the names in it, and what was found."""

    context: list[tuple[list[str], str]]
    target: str
    names: Names
    taken: set[str]
    found: dict[str, float]

    def add(self, tactic: str, weight: float) -> None:
        self.found.setdefault(tactic, weight)

    def fresh(self, base: str) -> str:
        """A name that nothing here has yet, or was given before."""
        base = base if _NAME.fullmatch(base) else "x"
        name = next(n for n in (base, *(f"{base}{i}" for i in range(1, 99))) if n not in self.taken)
        self.taken.add(name)
        return name

    def of_type(self, kind: str) -> list[str]:
        """The names of that type, at most four."""
        return [name for known, other in self.context if other == kind for name in known][:4]


def _binders(text: str, goal: _Goal) -> list[str]:
    """Fresh names for all that can be introduced before the conclusion of ``text``."""
    found: list[str] = []
    while len(found) < 8:
        mark, left, right = shape(text)
        if mark == "∀":
            said = _GROUP.findall(left) or [left.partition(":")[0]]
            found += [goal.fresh(name) for part in said for name in part.partition(":")[0].split()]
        elif mark == "→":
            found.append(goal.fresh("h"))
        elif mark == "¬" or (mark == "≠" and not found):
            return [*found, goal.fresh("h")]
        else:
            return found
        text = right
    return found


def _on_target(goal: _Goal) -> None:
    target, add = goal.target, goal.add
    mark, left, _ = shape(target)
    names = _binders(target, goal)
    if names:
        add(f"intro {' '.join(names)}", 6.0)
        if len(names) > 1:
            add(f"intro {names[0]}", 1.0)
    elif target.split(" ")[0] in goal.names.definitions:
        add(f"intro {goal.fresh('x')}", 1.0)
    inner = shape(shape(target)[1])
    if mark == "→" and inner[0] in ("∧", "∃"):
        add(f"intro ⟨{goal.fresh('h')}, {goal.fresh('h')}⟩", 4.0)
    if mark == "→" and inner[0] == "∨":
        add("rintro (h | h)", 4.0)
    if mark == "=" and any(sign in target for sign in ("∧", "∨", "↔", "∀", "∃", "True", "False")):
        add("apply propext", 3.0)
    if mark in ("∧", "↔"):
        add("constructor", 6.0)
        add("constructor <;> intro h", 1.0 if mark == "↔" else 0.1)
    if mark == "∨":
        add("left", 3.0)
        add("right", 3.0)
        if not any(shown in (left, f"¬{left}", f"¬({left})") for _, shown in goal.context):
            add(f"rcases Classical.em ({left}) with hc | hc", 0.7)
    if mark == "∃":
        kind = left.partition(":")[2].strip()
        values = [n for known, k in goal.context if not shape(k)[0] and k not in _SORTS for n in known]
        witnesses = goal.of_type(kind) if kind else values[-4:]
        numbers = ["0", "1"] if kind in ("Nat", "Int", "") else []
        for witness in (*witnesses, *(f"{w} + 1" for w in witnesses[:2] if kind == "Nat"), *numbers):
            add(f"refine ⟨{witness}, ?_⟩", 1.5)
        add("refine ⟨_, ?_⟩", 0.5)
        for proof in ("‹_›", "Or.inl ‹_›", "Or.inr ‹_›", "‹_›, ‹_›"):
            add(f"exact ⟨_, {proof}⟩", 1.5 if proof == "‹_›" else 0.7)
        add("exact ⟨_, rfl⟩", 1.0)
    if mark == "=" or (mark == "" and "if " in target):
        split = (("split", 3.0),) if "if " in target or "match " in target else ()
        funext = (f"funext {goal.fresh('x')}", 2.0 if "fun " in target else 0.3)
        for tactic, weight in (*split, funext, ("symm", 0.4), ("congr", 0.6)):
            add(tactic, weight)
    if mark == "≠":
        add("exact Ne.symm ‹_›", 0.5)
    if target == "False":
        add("exact absurd ‹_› ‹¬_›", 1.0)
    elif any(shape(kind)[0] in ("¬", "≠") or kind.endswith("False") for _, kind in goal.context):
        add("exfalso", 1.0)
    if mark in ("∨", "∃") and not any(kind.startswith("¬") for _, kind in goal.context):
        add(f"apply Classical.byContradiction; intro {goal.fresh('hn')}", 0.3)
    if mark == "" and "if " in target:
        add("split", 3.0)


def _on_hypothesis(name: str, kind: str, goal: _Goal) -> None:
    add, target = goal.add, goal.target
    head = kind.split(" ")[0]
    if kind == "Prop":
        if any(shown in (name, f"¬{name}") for _, shown in goal.context):
            return
        add(f"rcases Classical.em {name} with hc | hc", 0.7)
        return
    if re.match(r"(Type|Sort)\b", kind) or kind in ("Int", "String", "Char"):
        return
    if kind in ("Nat", "Bool") or head in ("List", "Option") or head in goal.names.inductives:
        _by_cases(name, kind, head, goal)
        return
    mark, left, right = shape(kind)
    if mark in ("", "→", "∀") and right and re.search(r"(Nat|Int|Bool|Prop|Type|α|β)$", kind) and mark == "→":
        return  # a function
    add(f"exact {name}", 3.0)
    if mark == "∧":
        one, two = goal.fresh(f"{name}l"), goal.fresh(f"{name}r")
        add(f"obtain ⟨{one}, {two}⟩ := {name}", 5.0)
        add(f"exact {name}.1", 1.5)
        add(f"exact {name}.2", 1.5)
        if shape(target)[0] == "∧":
            add(f"exact ⟨{name}.2, {name}.1⟩", 1.5)
    elif mark == "∃":
        bound = (left.partition(":")[0].split() or ["w"])[0]
        add(f"obtain ⟨{goal.fresh(bound)}, {goal.fresh('h' + bound)}⟩ := {name}", 5.0)
    elif mark == "∨":
        add(f"rcases {name} with {name} | {name}", 5.0)
    elif mark == "↔":
        for tactic, weight in ((f"rw [{name}]", 2.0), (f"rw [← {name}]", 1.0), (f"simp [{name}]", 1.0)):
            add(tactic, weight)
        add(f"apply {name}.mp", 1.0)
        add(f"apply {name}.mpr", 1.0)
    elif mark == "=":
        for tactic, weight in (
            (f"rw [{name}]", 2.0),
            (f"rw [← {name}]", 1.0),
            (f"subst {name}", 1.5),
            (f"exact {name}.symm", 0.7),
            (f"cases {name}", 1.0),
            (f"injection {name} with {goal.fresh('hi')}", 0.4),
            (f"simp [{name}]", 1.0),
        ):
            add(tactic, weight)
        others = [n for known, k in goal.context if k != "Nat" and shape(k)[0] for n in known if n != name]
        for other in others[-3:]:
            add(f"rw [{name}] at {other}", 0.5)
            add(f"exact {name}.trans {other}", 0.4)
            add(f"exact {name}.symm.trans {other}", 0.2)
    elif mark in ("→", "∀", "¬", "≠"):
        add(f"apply {name}", 3.0)
        add(f"exact {name} ‹_›", 1.5)
        if mark in ("¬", "≠"):
            add(f"exact absurd ‹_› {name}", 1.5)
            if target == "False":
                add(f"apply {name}", 5.0)
        else:
            if mark == "→":
                add(f"have {goal.fresh(name)} := {name} ‹_›", 1.0)
            for value in [n for known, k in goal.context if k in left or not shape(k)[0] for n in known if n != name][
                :3
            ]:
                add(f"have {goal.fresh(name)} := {name} {value}", 0.7 if mark == "∀" else 0.4)
            add(f"rw [{name}]", 0.7)
            add(f"simp [{name}]", 0.7)
    elif mark in ("≤", "<", "≥", ">"):
        add(f"exact Nat.le_of_lt_succ {name}", 0.3)
        add(f"exact Nat.le_trans {name} ‹_›", 0.7)
        add(f"exact Nat.lt_of_lt_of_le {name} ‹_›", 0.5)
        add(f"exact Nat.lt_of_le_of_lt {name} ‹_›", 0.5)
        add(f"cases {name}", 1.0)
    else:
        add(f"cases {name}", 1.5)
        add(f"apply {name}", 1.0)
        add(f"simp [{name}]", 0.7)
    for definition in goal.names.definitions:
        if definition.rpartition(".")[2] in kind:
            add(f"unfold {definition} at {name}", 1.0)
    add(f"simp at {name}", 1.0)


def _by_cases(name: str, kind: str, head: str, goal: _Goal) -> None:
    add = goal.add
    if kind == "Bool":
        add(f"cases {name}", 3.0)
        return
    cases, one, two = {
        "Nat": ("| zero => ?_ | succ {0} => ?_", "n", ""),
        "List": ("| nil => ?_ | cons {0} {1} => ?_", "a", "l"),
        "Option": ("| none => ?_ | some {0} => ?_", "a", ""),
    }.get(head, ("", "", ""))
    mentioned = re.search(rf"(?<![\w.]){re.escape(name)}(?![\w'])", goal.target) is not None
    scale = 1.0 if mentioned else 0.3
    if not cases:
        add(f"cases {name}", 3.0 * scale)
        add(f"induction {name}", 3.0 * scale)
        add(f"cases {name} <;> rfl", 1.5 * scale)
        return
    split = cases.format(goal.fresh(one), goal.fresh(two or "b"))
    add(f"cases {name} with {split}", 1.0 * scale)
    if head != "Option":
        hypothesis = goal.fresh("ih")
        last = split.replace("succ n", "succ n").rpartition(" =>")
        inductive = f"{last[0]} {hypothesis} =>{last[2]}"
        add(f"induction {name} with {inductive}", 2.5 * scale)
        others = [n for k in ("Nat", kind) for n in goal.of_type(k) if n != name]
        if others:
            add(f"induction {name} generalizing {' '.join(dict.fromkeys(others))} with {inductive}", 0.7 * scale)


def _on_names(goal: _Goal) -> None:
    add, names = goal.add, goal.names
    said = [name for name in names.definitions if name.rpartition(".")[2] in goal.target]
    for name in said:
        add(f"unfold {name}", 2.0)
        add(f"simp [{name}]", 2.0)
        add(f"fun_induction {name}", 0.7)
    if len(names.definitions) > 1:
        add(f"simp [{', '.join(names.definitions)}]", 2.0)
        add(f"simp [{', '.join(names.definitions)}] at *", 1.0)
    for name in names.definitions:
        add(f"simp only [{name}] at *", 0.5)
    for name in names.theorems:
        for tactic, weight in ((f"apply {name}", 1.0), (f"rw [{name}]", 0.8), (f"simp [{name}]", 0.8)):
            add(tactic, weight)
    if names.theorems:
        add(f"simp [{', '.join((*names.theorems, *names.definitions))}]", 1.0)
        add(f"simp [{', '.join((*names.theorems, *names.definitions))}, *]", 0.7)


def _on_arithmetic(goal: _Goal) -> None:
    target, add = goal.target, goal.add
    mark = shape(target)[0]
    numbers = any(kind in ("Nat", "Int") for _, kind in goal.context) or re.search(r"\d|Nat", target) is not None
    if numbers and mark in ("∨", "") and len(pair := goal.of_type("Nat")[:2]) == 2:
        add(f"rcases Nat.lt_or_ge {pair[0]} {pair[1]} with hc | hc", 0.7)
        add(f"rcases Nat.le_total {pair[0]} {pair[1]} with hc | hc", 0.7)
    if not numbers or mark not in ("=", "≤", "<", "≥", ">", "≠"):
        return
    plain = [lemma for lemma in _LEMMAS if _SIGN[lemma] in target]
    for lemma in plain:
        add(f"rw [{lemma}]", 0.6)
    if "+" in target or "*" in target:
        add(f"simp [{', '.join(_SORTING)}]", 1.5)
        add(f"simp [{', '.join((*_DISTRIBUTING, *_SORTING))}]", 1.0)
        add(f"simp [{', '.join((*_DISTRIBUTING, *_SORTING))}, *]", 0.5)
    if "^" in target:
        add("simp [Nat.pow_succ]", 1.0)
        add(f"simp [Nat.pow_succ, {', '.join((*_DISTRIBUTING, *_SORTING))}, *]", 0.7)
    pair = goal.of_type("Nat")[:2]
    if len(pair) == 2:
        add(f"rcases Nat.lt_or_ge {pair[0]} {pair[1]} with hc | hc", 0.5)
    for relation, tactics in _RELATIONS.items():
        if mark in relation:
            for tactic in tactics:
                add(tactic, 0.5)
