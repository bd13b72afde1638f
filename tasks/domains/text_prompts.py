"""What a search over text asks a model besides the problem: to go on, to propose, to judge, to improve, to join.

Each question is a template of its own, made of the attempt's, so that a stored request rebuilds the prompt byte for byte:
the text so far is the mark ``{{prefix}}``. Reading the answers is pure and takes nothing that is not there.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from tracemill.tasks.templates import Template

#: A vote's value: sure, likely and impossible weigh 20 : 1 : 0.001 (Tree of Thoughts, arXiv 2305.10601).
VOTES: Final[Mapping[str, float]] = {"sure": 1.0, "likely": 0.05, "impossible": 0.00005}

NEXT: Final = "\n\nThe solution so far:\n\n{{prefix}}\n\nWrite the next step of it alone, and nothing else."
PROPOSE: Final = (
    "\n\nThe solution so far:\n\n{{prefix}}\n\nList different possible next steps, one a line, and nothing else. "
    "Where nothing is missing but the answer, the line is the final answer in \\boxed{}."
)
VOTE: Final = (
    "\n\nThe solution so far:\n\n{{prefix}}\n\nCan it still end in the right answer? "
    "Say in one line why, and end with one word: sure, likely or impossible."
)
IMPROVE: Final = "\n\nA solution that is not right yet:\n\n{{prefix}}\n\nFind what is wrong in it and write the whole solution again."
CHOOSE: Final = (
    "\n\nSeveral solutions so far:\n\n{{prefix}}\n\nWhich of them is the most likely to end in the right answer? "
    "Say in one line why, and end with its number."
)
AGGREGATE: Final = "\n\nSeveral attempts:\n\n{{prefix}}\n\nTake what is right in each and write one whole solution."

_WORD: Final = re.compile(r"\b(sure|likely|unlikely|impossible)\b", re.IGNORECASE)
_BULLET: Final = re.compile(r"^\s*(?:[-*•]|\(?\d{1,3}[.):])\s+")


def continued(template: Template) -> Template:
    """``template`` with an answer that is begun: its text is the variable ``prefix``."""
    return replace(template, name=f"{template.name}+prefix", prefill=template.prefill + "{{prefix}}")


def asking(template: Template, question: str) -> Template:
    """``template`` with ``question`` after the problem; no answer is begun."""
    name = {
        NEXT: "next",
        PROPOSE: "propose",
        VOTE: "vote",
        CHOOSE: "choose",
        IMPROVE: "improve",
        AGGREGATE: "aggregate",
    }
    return replace(template, name=f"{template.name}+{name.get(question, 'ask')}", then=question, prefill="")


def proposals(text: str) -> list[str]:
    """The proposed steps, one a line, without bullets or numbers; each once."""
    lines = (_BULLET.sub("", line).strip() for line in text.splitlines())
    return list(dict.fromkeys(line for line in lines if line))


def vote_of(text: str) -> str | None:
    """The last of the three words that ``text`` says; None where it says none, or "unlikely"."""
    found = _WORD.findall(text)
    word = found[-1].lower() if found else None
    return word if word in VOTES else None


def choice_of(text: str, choices: int) -> int | None:
    """The 0-based place of the last number in ``text`` that is one of ``choices``; None where it says none."""
    found = [int(number) for number in re.findall(r"(?<![\w.])\d{1,4}(?!\w)", text)]
    return found[-1] - 1 if found and 1 <= found[-1] <= choices else None
