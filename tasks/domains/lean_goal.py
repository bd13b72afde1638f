"""Goals as Lean shows them, read: hypotheses, target, and how a proposition is put together.

What must stay true: reading is a guess from text, for choosing what to try; nothing that it says is ever taken for a proof.
"""

from __future__ import annotations

import re
from typing import Final

_LINE: Final = re.compile(r"^(?P<names>[^\s⊢:][^:⊢]*?) : (?P<kind>.*)$")
_OPEN: Final = "([{⟨⦃"
_CLOSE: Final = ")]}⟩⦄"
#: From the loosest to the tightest.
_CONNECTIVES: Final = ("↔", "→", "∨", "∧", "¬", "=", "≠", "≤", "≥", "<", ">")


def read_goal(goal: str) -> tuple[list[tuple[list[str], str]], str]:
    """((names, type) of each hypothesis in order, target). A name that no tactic can say has a ``✝``."""
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
        elif (match := _LINE.match(line)) is not None:
            context.append((match["names"].split(), match["kind"].strip()))
    return context, target


def shape(text: str) -> tuple[str, str, str]:
    """(connective, left, right) of a proposition: the outermost of ∀ ∃ ↔ → ∨ ∧ ¬ and relations, or '' and the whole of it.

    Of ∀ and ∃ the left side is the binders and the right side the body.
    """
    text = bare(text)
    if text[:1] in ("∀", "∃"):
        depth = 0
        for at, letter in enumerate(text):
            depth += (letter in _OPEN) - (letter in _CLOSE)
            if letter == "," and depth == 0:
                return text[0], text[1:at].strip(), text[at + 1 :].strip()
        return text[0], "", text
    found: dict[str, int] = {}
    depth = 0
    for at, letter in enumerate(text):
        depth += (letter in _OPEN) - (letter in _CLOSE)
        if depth == 0 and (text.startswith("fun ", at) or letter in "∀∃"):
            break
        if depth == 0 and letter in _CONNECTIVES and letter != "¬" and text[at - 1 : at] == " ":
            found.setdefault(letter, at)
    for mark in _CONNECTIVES:
        if mark in found:
            return mark, text[: found[mark]].strip(), text[found[mark] + 1 :].strip()
        if mark == "¬" and text.startswith("¬"):
            return "¬", "", text[1:].strip()
    return "", text, ""


def split(text: str, mark: str) -> list[str]:
    """The parts of ``text`` between the ``mark``s outside brackets."""
    parts, depth, start = [], 0, 0
    for at, letter in enumerate(text):
        depth += (letter in _OPEN) - (letter in _CLOSE)
        if depth == 0 and text.startswith(mark, at):
            parts.append(text[start:at].strip())
            start = at + len(mark)
    return [*parts, text[start:].strip()]


def bare(text: str) -> str:
    """``text`` without the brackets around all of it."""
    text = text.strip()
    while text.startswith("(") and _closing(text) == len(text) - 1:
        text = text[1:-1].strip()
    return text


def _closing(text: str) -> int:
    """Where the bracket that ``text`` begins with is closed."""
    depth = 0
    for at, letter in enumerate(text):
        depth += (letter in _OPEN) - (letter in _CLOSE)
        if depth == 0:
            return at
    return len(text)
