"""A problem from a piece of Lean with one theorem: what stands before it, its statement, and its proof.

What must stay true: a piece with two theorems, with none, or with more than ``end``s and questions after it gives nothing, because
what its proof needs could not be told apart. An ``example`` is a theorem that gets a name, unless its proof mentions a section variable
that its statement does not: then what an example states depends on its proof, and a theorem's statement never does.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from tracemill.verifiers.lean.submission import comment_end

NAME: Final = "snippet"

_THEOREM: Final = re.compile(
    r"^(?:@\[[^\]\n]*\]\s*)?(?:(?:private|protected|nonrec)\s+)*(theorem|lemma|example)\b", re.MULTILINE
)
_NEXT: Final = re.compile(
    r"^(?=\S)(?!--|/-|·|\||\)|\]|\}|where\b|by\b|end\b|#|termination_by\b|decreasing_by\b)", re.MULTILINE
)
_TAIL: Final = re.compile(r"^(?:end\b|#).*\Z", re.MULTILINE | re.DOTALL)
_TOKEN: Final = re.compile(r'--[^\n]*|/-|"(?:\\.|[^"\\])*"|:=|[(\[{⟨⦃)\]}⟩⦄]|\n\s*\|(?!\|)|:(?!:|=)')
_WORD: Final = re.compile(r"[^\W\d][\w'!?]*")
_VARIABLE: Final = re.compile(r"^variable\b((?:.|\n(?=[ \t]))*)", re.MULTILINE)
_BINDER: Final = re.compile(r"[(\[{]([^:()\[\]{}]+):")
_OPEN, _CLOSE = "([{⟨⦃", ")]}⟩⦄"


@dataclass(frozen=True, slots=True)
class Snippet:
    """``statement`` is a named theorem without its body; ``proof`` is that body as written, from ``:=`` or ``|`` on."""

    header: str
    statement: str
    proof: str


def snippet_of(lean: str) -> Snippet | None:
    """The one theorem of a piece of Lean; None where there is not exactly one, or where it is not the last thing."""
    found = list(_THEOREM.finditer(_blanked(lean)))
    if len(found) != 1:
        return None
    start = found[0].start()
    text = lean[start:]
    split = _body(text)
    if split is None:
        return None
    statement, proof = text[:split].rstrip(), text[split:]
    tail = _TAIL.search(proof)
    if tail is not None:
        proof = proof[: tail.start()]
    if _NEXT.search(_blanked(proof), 1):
        return None
    header = lean[:start].strip()
    if found[0][1] == "example":
        mentioned = _words(proof) & _variables(header)
        if mentioned - _words(statement):
            return None
        statement = re.sub(r"^((?:.|\n)*?)\bexample\b", rf"\1theorem {NAME}", statement, count=1)
    return Snippet(header, statement, proof.strip())


def _words(text: str) -> frozenset[str]:
    return frozenset(_WORD.findall(_blanked(text)))


def _variables(header: str) -> frozenset[str]:
    """The names that ``variable`` commands bind."""
    names: set[str] = set()
    for command in _VARIABLE.findall(_blanked(header)):
        for binder in _BINDER.findall(command):
            names.update(binder.split())
    return frozenset(names)


def _body(text: str) -> int | None:
    """Where the body begins: the first ``:=``, or ``|`` at a line's beginning, outside brackets and after the colon."""
    depth, typed, at = 0, False, 0
    while (found := _TOKEN.search(text, at)) is not None:
        token, at = found[0], found.end()
        if token == "/-":
            at = comment_end(text, found.start())
        elif token in _OPEN:
            depth += 1
        elif token in _CLOSE:
            depth -= 1
        elif token == ":" and depth == 0:
            typed = True
        elif token == ":=" and depth == 0:
            return found.start() if typed else None
        elif token.endswith("|") and depth == 0 and typed:
            return found.start() + 1
    return None


def _blanked(text: str) -> str:
    """The text with comments and strings as spaces of the same length, so that places agree."""
    out: list[str] = []
    at = 0
    for found in re.compile(r'--[^\n]*|/-|"(?:\\.|[^"\\])*"').finditer(text):
        if found.start() < at:
            continue
        end = comment_end(text, found.start()) if found[0] == "/-" else found.end()
        out.append(text[at : found.start()])
        out.append(re.sub(r"[^\n]", " ", text[found.start() : end]))
        at = end
    return "".join(out) + text[at:]
