"""The portfolio: tactics of core Lean worth trying on a goal, read from how the goal is written.

What must stay true: the same goal gives the same tactics in the same order; each weighs at least something, so that a
best-first search reaches all of them; with ``finishing`` left out no tactic stands for a whole decision procedure.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

#: Decision procedures and simplifiers that close many goals by themselves.
FINISHING: Final = ("omega", "grind", "simp_all", "decide")

#: Of each kind of name in a header so many are used, the last ones.
NAMES: Final = 6
_KINDS: Final = {"theorem": "theorems", "lemma": "theorems", "inductive": "inductives", "structure": "inductives"}
_DECLARED: Final = re.compile(
    r"^(?:@\[[^\]]*\]\s*)?(?:(?:noncomputable|private|protected|public)\s+)*(def|abbrev|theorem|lemma|inductive|structure)\s+([^\s:({\[]+)",
    re.MULTILINE,
)
_HYPOTHESIS: Final = re.compile(r"^([^\s⊢:][^:⊢]*?) : (.*)$")
_NAME: Final = re.compile(r"[^\W\d][\w'₀-₉.]*")
_LEMMAS: Final = (
    "Nat.add_comm",
    "Nat.add_assoc",
    "Nat.mul_comm",
    "Nat.mul_assoc",
    "Nat.add_zero",
    "Nat.zero_add",
    "Nat.mul_add",
    "Nat.add_mul",
    "Nat.mul_succ",
    "Nat.succ_mul",
    "Nat.add_succ",
    "Nat.succ_add",
    "Nat.pow_succ",
    "Nat.mul_one",
    "Nat.one_mul",
    "Nat.mul_zero",
    "Nat.zero_mul",
)


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


def portfolio(goals: tuple[str, ...], *, finishing: bool = True, names: Names | None = None) -> list[tuple[str, float]]:
    """(tactic, weight) for the first of ``goals``; ``names`` are those of the theorem's header."""
    names = names or Names()
    if not goals:
        return []
    context, target = read_goal(goals[0])
    found: dict[str, float] = {}

    def add(tactic: str, weight: float) -> None:
        found.setdefault(tactic, weight)

    if finishing:
        for tactic, weight in zip(FINISHING, (8.0, 8.0, 6.0, 3.0), strict=True):
            add(tactic, weight)
        if names.definitions or names.theorems:
            used = ", ".join((*names.definitions, *names.theorems))
            add(f"simp_all [{used}]", 3.0)
            add(f"grind [{used}]", 3.0)
    for tactic, weight in (("rfl", 4.0), ("assumption", 4.0), ("contradiction", 3.0)):
        add(tactic, weight)
    _on_target(target, add)
    for known, kind in context:
        for name in known:
            _on_hypothesis(name, kind, target, add, names)
    for name in names.definitions:
        if name.rpartition(".")[2] in target:
            add(f"unfold {name}", 2.0)
            add(f"simp [{name}]", 2.0)
        add(f"simp only [{name}] at *", 0.5)
    for name in names.theorems:
        add(f"apply {name}", 1.0)
        add(f"rw [{name}]", 0.7)
        add(f"simp [{name}]", 0.7)
    for tactic, weight in (("simp", 4.0), ("intros", 2.0), ("simp [*]", 1.0), ("constructor", 2.0), ("split", 1.0)):
        add(tactic, weight)
    negated = any(kind.startswith("¬") or kind.endswith("False") for _, kind in context)
    if negated and target != "False":
        add("exfalso", 0.7)
    if ("∨" in target or "∃" in target or "¬" in target) and not any("hn" in known for known, _ in context):
        add("apply Classical.byContradiction; intro hn", 0.3)
    if "=" in target or "≤" in target or "<" in target:
        for lemma in _LEMMAS:
            add(f"rw [{lemma}]", 0.5)
    if "=" in target:
        add("funext x", 1.0 if "fun " in target else 0.4)
        add("symm", 0.4)
    return list(found.items())


def read_goal(goal: str) -> tuple[list[tuple[list[str], str]], str]:
    """((names, type) of each hypothesis, target) of a goal as Lean shows it; names that a tactic cannot say are left out."""
    context: list[tuple[list[str], str]] = []
    lines: list[str] = []
    for line in goal.split("\n"):
        if line.startswith(" ") and lines:
            lines[-1] += f" {line.strip()}"
        else:
            lines.append(line)
    target = ""
    for line in lines:
        if line.startswith("⊢"):
            target = line[1:].strip()
        elif (match := _HYPOTHESIS.match(line)) is not None:
            names = [name for name in match[1].split() if _NAME.fullmatch(name) and "✝" not in name]
            context.append((names, match[2].partition(":=")[0].strip()))
    return context, target


def _on_target(target: str, add: object) -> None:
    assert callable(add)
    if target.startswith("∀") or "→" in target:
        name = "h" if not target.startswith("∀") else "x"
        add(f"intro {name}", 5.0)
        add("intro a", 1.0)
    if target.startswith("¬"):
        add("intro h", 5.0)
    if "∧" in target or "↔" in target:
        add("constructor", 6.0)
    if "∨" in target:
        add("left", 3.0)
        add("right", 3.0)
    if target.startswith("∃"):
        for witness in ("0", "1", "_"):
            add(f"refine ⟨{witness if witness != '_' else '_'}, ?_⟩", 1.0)


def _on_hypothesis(name: str, kind: str, target: str, add: object, names: Names) -> None:
    assert callable(add)
    if kind in ("Prop", "Type", "Sort u", "Type u") or kind.startswith("Type"):
        if kind == "Prop":
            add(f"by_cases hc : {name}", 0.5)
        return
    if kind == "Nat":
        add(f"induction {name} with | zero => ?_ | succ n ih => ?_", 2.0)
        add(f"cases {name} with | zero => ?_ | succ m => ?_", 0.7)
    elif kind.startswith("List"):
        add(f"induction {name} with | nil => ?_ | cons a l ih => ?_", 2.0)
        add(f"cases {name} with | nil => ?_ | cons b m => ?_", 0.7)
    elif kind == "Bool":
        add(f"cases {name}", 2.0)
    elif kind.split(" ")[0] in names.inductives:
        add(f"cases {name}", 3.0)
        add(f"induction {name}", 3.0)
    elif kind in ("Int", "String"):
        return
    else:
        add(f"exact {name}", 3.0)
        add(f"apply {name}", 2.5)
        top = kind.split(" → ")[0] if "→" in kind else kind
        if "∃" in kind[:1] or "∧" in top or "↔" in top:
            add(f"cases {name} with | intro a b => ?_", 4.0 if "→" not in kind else 0.5)
        if "∧" in top:
            add(f"exact {name}.1", 1.0)
            add(f"exact {name}.2", 1.0)
        if "↔" in top:
            add(f"exact {name}.mp", 0.4)
            add(f"exact {name}.mpr", 0.4)
            add(f"apply {name}.mp", 0.6)
            add(f"apply {name}.mpr", 0.6)
        if "∨" in kind:
            add(f"cases {name} with | inl u => ?_ | inr v => ?_", 4.0 if "→" not in kind else 0.5)
        if "=" in kind or "↔" in kind:
            add(f"rw [{name}]", 2.0)
            add(f"rw [← {name}]", 1.0)
            add(f"subst {name}", 0.7)
            add(f"exact {name}.symm", 0.7)
        add(f"simp [{name}]", 1.0)
        add(f"simp at {name}", 0.7)
        add(f"cases {name}", 0.7)
        if "→" in kind or kind.startswith(("∀", "¬")):
            add(f"exact absurd (by assumption) {name}", 0.3)
            add(f"refine {name} ?_", 1.0)
            add(f"exact {name} (by assumption)", 1.5)
    if target == "False" and kind.startswith("¬"):
        add(f"apply {name}", 5.0)
