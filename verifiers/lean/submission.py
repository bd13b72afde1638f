"""From a model's response to what Lean is given: which text, on top of which header, in which shape.

What must stay true: the header and the statement come from the problem, and only the proof from the response. A response says
its proof in one place: its fenced Lean block (the last that declares something, when there are several), or, without a fence, itself. The
thinking block is never read, and a fence that does not end holds no proof. Lines keep their numbers, so that a message's position is one in the response's code.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

_THINK_END: Final = re.compile(r"</(?:think|thinking)>")
_THINK: Final = re.compile(r"<(?:think|thinking)>")
_FENCE: Final = re.compile(r"^[ \t]*```[ \t]*([\w+-]*)[^\n]*\n(.*?)^[ \t]*```[ \t]*$", re.MULTILINE | re.DOTALL)
_TAGS: Final = frozenset({"lean", "lean4"})
#: A line that begins a declaration. What is none of these in the whole text is the proof term.
_DECLARATION: Final = re.compile(
    r"^[ \t]*(?:@\[[^\n]*?\][ \t]*)?(?:(?:private|protected|noncomputable|nonrec|public|partial|unsafe|scoped|local)[ \t]+)*"
    r"(?:theorem|lemma|def|abbrev|example|inductive|structure|class|instance|axiom|opaque|import|prelude|namespace|section"
    r"|variable|universe|macro|macro_rules|notation|infixl?|infixr|prefix|postfix|syntax|elab|elab_rules|initialize|mutual"
    r"|attribute|end|#\w+|run_cmd|run_meta|run_elab|include|omit|declare_\w+|simproc|deriving|export)\b",
    re.MULTILINE,
)
_IMPORT: Final = re.compile(r"(?:public\s+|meta\s+)*import\s+(?:all\s+)?([\w.«»]+)[ \t]*")
_NAME: Final = re.compile(r"(?:theorem|lemma)\s+([^\s.({\[:⦃]+(?:\.[^\s.({\[:⦃]+)*)")
_TAIL: Final = re.compile(r"\s*:=(?:\s*by)?(?:\s*sorry)?\s*\Z")

#: Longest code that is given to Lean, in characters.
LONGEST: Final = 400_000


@dataclass(frozen=True, slots=True)
class Submission:
    """``source`` is elaborated on top of the header; its first ``offset`` lines are ours. ``imports`` are the response's own.

    ``single``: the response is the body alone, so the source must be exactly one command.
    """

    source: str
    code: str
    offset: int = 0
    single: bool = False
    imports: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Header:
    """The modules to import (never empty) and the text after the imports."""

    imports: tuple[str, ...]
    text: str


def header_of(text: str) -> Header:
    """A problem's header apart; without an import it is Lean's ``Init``."""
    imports, rest = split_imports(text)
    return Header(imports or ("Init",), rest.strip())


def statement_text(statement: str) -> str:
    """The statement without ``:= by sorry``, ``:=`` and the like at its end."""
    return _TAIL.sub("", statement).strip()


def target_name(statement: str) -> str | None:
    """The theorem's name as written."""
    found = _NAME.search(statement)
    return found[1] if found else None


def code_of(response: str, statement: str, finish_reason: str = "stop") -> tuple[str | None, str]:
    """(the Lean code that the response gives, why there is none)."""
    ends = list(_THINK_END.finditer(response))
    text = response[ends[-1].end() :] if ends else response
    if _THINK.search(text):
        return None, "the thinking block does not end"
    fences = [(found[1].lower(), found[2]) for found in _FENCE.finditer(text)]
    if not fences:
        if "```" in text:
            return None, "the code block does not end"
        if finish_reason == "length":
            return None, "the response was cut"
        return (text, "") if text.strip() else (None, "the response is empty")
    tagged = [code for tag, code in fences if tag in _TAGS]
    blocks = tagged or [code for tag, code in fences if not tag]
    if not blocks:
        return None, "no Lean code block"
    name = target_name(statement)
    named = [code for code in blocks if name and re.search(rf"(?<![\w.]){re.escape(name)}(?![\w.'])", code)]
    if named:
        return named[-1], ""
    if len({" ".join(code.split()) for code in blocks}) > 1:
        return None, "several different code blocks, and none declares the theorem"
    return blocks[-1], ""


def submission_of(code: str, header: Header, statement: str) -> Submission:
    """The source to elaborate for this code: a whole submission as it stands, a proof term after the statement."""
    imports, rest = split_imports(code)
    if imports or _DECLARATION.search(_without_comments(rest)):
        return Submission(_without_header(rest, header.text), code, imports=imports)
    body = rest.strip("\n")
    lead = rest[: len(rest) - len(rest.lstrip("\n"))].count("\n")
    stripped = body.lstrip()
    if stripped.startswith(":="):
        body = body.replace(":=", "  ", 1)
    joint = "" if stripped.startswith("|") else " :="
    return Submission(f"{statement}{joint}\n{body}\n", code, statement.count("\n") + 1 - lead, True)


def split_imports(text: str) -> tuple[tuple[str, ...], str]:
    """(modules that the text imports at its head, the text with those commands blanked). Lines keep their numbers."""
    modules: list[str] = []
    out: list[str] = []
    at = 0
    while True:
        after = _blank(text, at)
        found = _IMPORT.match(text, after)
        if found is None:
            return tuple(modules), "".join(out) + text[at:]
        modules.append(found[1])
        out.append(text[at:after])
        at = found.end()


def _blank(text: str, at: int) -> int:
    """Where the white space and comments that begin at ``at`` end."""
    while at < len(text):
        if text[at].isspace():
            at += 1
        elif text.startswith("--", at):
            end = text.find("\n", at)
            at = len(text) if end < 0 else end
        elif text.startswith("/-", at) and not text.startswith(("/--", "/-!"), at):
            at = comment_end(text, at)
        else:
            break
    return at


def comment_end(text: str, at: int) -> int:
    """Where the block comment that begins at ``at`` ends, nested ones included; the end of the text where it does not."""
    depth = 0
    for found in re.compile(r"/-|-/").finditer(text, at):
        depth += 1 if found[0] == "/-" else -1
        if depth == 0:
            return found.end()
    return len(text)


def _without_comments(text: str) -> str:
    """The text without comments, well enough to see whether a line begins a declaration."""
    out: list[str] = []
    at = 0
    for found in re.compile(r"--[^\n]*|/-").finditer(text):
        if found.start() < at:
            continue
        out.append(text[at : found.start()])
        at = comment_end(text, found.start()) if found[0] == "/-" else found.end()
    return "".join(out) + text[at:]


def _without_header(text: str, header: str) -> str:
    """The text with the problem's header blanked where it begins with it, word for word."""
    words = header.split()
    if not words:
        return text
    found = re.match(r"\s*" + r"\s+".join(map(re.escape, words)) + r"(?!\S)", text)
    if found is None:
        return text
    return "\n" * text.count("\n", 0, found.end()) + text[found.end() :]
