"""The program in a model's answer.

What must stay true: the thinking block is never read; an answer that was cut inside its program has none. With fenced
blocks the program is the last one that defines the wanted function, else the last one; without, the whole answer, if it
looks like a program. A completion goes on from the prompt; a whole program stands after the prompt's own code, whose
imports and helpers it may use. Only regular expressions look at the answer: it is compiled in the sandbox alone, which
takes the first of several readings that compiles.
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

_THINK_END: Final = re.compile(r"</(?:think|thinking)>")
_THINK: Final = re.compile(r"<(?:think|thinking)>")
_FENCE: Final = re.compile(r"^[ \t]{0,8}(`{3,}|~{3,})[ \t]*([^\n`]*)$", re.MULTILINE)
_PYTHON: Final = frozenset({"python", "py", "python3", "py3", "python2", ""})
_LOOKS: Final = re.compile(
    r"^(?:def|class|async def|import|from|for|while|if|try|with|print|return|@)\b|^[A-Za-z_][\w.\[\], ]*(?:[-+*/]?=|\()",
    re.MULTILINE,
)


@dataclass(frozen=True, slots=True)
class Program:
    """``texts`` to run, the first that compiles; none, and the ``reason``. ``how`` says where it was found."""

    texts: tuple[str, ...]
    reason: str
    how: str = "none"


def program_of(response: str, entry: str | None, prompt: str = "", finish_reason: str = "stop") -> Program:
    """The program that ``response`` commits to; ``entry`` is the function that the tests call, None for whole programs."""
    text = response
    if "</think" in text:
        ends = list(_THINK_END.finditer(text))
        text = text[ends[-1].end() :] if ends else text
    if "<think" in text and _THINK.search(text):
        return Program((), "the thinking block does not end")
    code_prompt = is_code(prompt)
    if code_prompt and text[:1] in (" ", "\t") and text.lstrip()[:3] not in ("```", "~~~"):
        return Program(_readings(prompt, text, entry), "completion of the prompt", "completion")
    blocks, open_block = _blocks(text)
    if open_block is not None:
        if finish_reason == "length":
            return Program((), "the answer was cut inside its program")
        blocks.append(open_block)
    if blocks:
        chosen = next((block for block in reversed(blocks) if defines(block, entry)), blocks[-1])
        return Program(_readings(prompt if code_prompt else "", chosen, entry), "fenced block", "fence")
    if not text.strip():
        return Program((), "the answer is empty")
    if code_prompt and not defines(text, entry):
        return Program(_readings(prompt, text, entry), "completion of the prompt", "completion")
    if _LOOKS.search(text) is None:
        return Program((), "no program in the answer")
    return Program(_readings(prompt if code_prompt else "", text, entry), "the whole answer", "whole")


def _readings(prompt: str, text: str, entry: str | None) -> tuple[str, ...]:
    """``text`` by itself, after the prompt's code, or going on from it: under its documentation, or in its place."""
    if not prompt:
        return (text,)
    if defines(text, entry):
        return (f"{prompt.rstrip()}\n\n{text}", text)
    return (prompt + text, head(prompt) + text)


def _blocks(text: str) -> tuple[list[str], str | None]:
    """The bodies of the fenced blocks of Python (or of no named language), and of one that does not end."""
    found: list[str] = []
    opened: tuple[str, bool, int] | None = None
    for match in _FENCE.finditer(text):
        mark, language = match[1], match[2].strip().lower()
        if opened is None:
            words = language.split()
            opened = (mark, (words[0] if words else "") in _PYTHON, match.end() + 1)
        elif not language and mark.startswith(opened[0]):
            if opened[1]:
                found.append(text[opened[2] : match.start()])
            opened = None
    unfinished = text[opened[2] :] if opened is not None and opened[1] else None
    return found, unfinished


def defines(text: str, entry: str | None) -> bool:
    """Whether ``text`` seems to define the function (or the class of the method) ``entry`` at its top level."""
    if entry is None:
        return False
    return _definition(entry).search(text) is not None


@lru_cache(maxsize=4096)
def _definition(entry: str) -> re.Pattern[str]:
    head = re.escape(entry.partition(".")[0])
    return re.compile(
        rf"^(?:async[ \t]+)?(?:def|class)[ \t]+{head}\b|^{head}[ \t]*=|^class[ \t]+Solution\b.*?^[ \t]+def[ \t]+{head}\b",
        re.MULTILINE | re.DOTALL,
    )


@lru_cache(maxsize=1024)
def is_code(prompt: str) -> bool:
    """Whether a problem's prompt is Python itself: the head of a function to complete."""
    if "def " not in prompt:
        return False
    try:
        tree = ast.parse(prompt)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return any(isinstance(node, ast.FunctionDef | ast.ClassDef) for node in tree.body)


@lru_cache(maxsize=1024)
def head(prompt: str) -> str:
    """A code prompt up to the documentation of its last function, where that has no more."""
    last = ast.parse(prompt).body[-1]
    if isinstance(last, ast.FunctionDef) and len(last.body) == 1 and ast.get_docstring(last) is not None:
        return "".join(prompt.splitlines(keepends=True)[: last.body[0].lineno - 1])
    return prompt


@lru_cache(maxsize=1024)
def helpers(prompt: str, entry: str | None) -> str:
    """What a code prompt defines besides ``entry``: trusted, for the tests' own use."""
    if not is_code(prompt):
        return ""
    body = [node for node in ast.parse(prompt).body if getattr(node, "name", None) != entry]
    return ast.unparse(ast.Module(body, []))
