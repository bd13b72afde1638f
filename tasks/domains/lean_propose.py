"""Tactics from an engine: what it is asked about a state, and which of its lines are taken for tactics.

What must stay true: an answer is text of somebody else. A line that could end the proof without one (``sorry``), that runs code, that is a
command, or that reaches out of its place (brackets that do not match) is no tactic; what passes is tried by Lean under the verifier's
policy all the same, and only the verifier says what is proved. A tactic's weight is the share that the answers gave it: an answer
weighs the geometric mean of its tokens' probabilities (1 where the engine does not say), and its lines share it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from tracemill.tasks.domains.text_prompts import proposals
from tracemill.tasks.engines.base import Completion
from tracemill.tasks.segment import split_reasoning
from tracemill.tasks.templates import Template

#: Of an answer so many lines are taken, of at most so many characters each.
LINES: Final = 8
LONGEST: Final = 200
QUESTION: Final = (
    "\n\nThe proof is written in Lean 4 (core library only), one tactic after the other. These goals are left:\n\n{{goals}}\n\n"
    "Propose the next tactic for the first goal: up to {{k}} candidates, one a line, the best first, and nothing else."
)
_REFUSED: Final = re.compile(
    r"(?<![\w.])(?:sorry|admit|native_decide|run_tac|unsafe|axiom|opaque|theorem|lemma|example|def|abbrev|instance|inductive|structure|class"
    r"|namespace|section|end|open|import|export|variable|universe|set_option|attribute|macro|macro_rules|elab|syntax|notation|infix[lr]?|prefix"
    r"|postfix|initialize|deriving|mutual|partial|noncomputable|private|protected|stop|include_str|by_elab|run_cmd|dbg_trace|sleep"
    r"|implemented_by|extern)(?![\w'])|sorryAx|unsafeCast|ofReduceBool|trustCompiler"
)
_PAIRS: Final = {")": "(", "]": "[", "}": "{", "⟩": "⟨", "›": "‹"}
#: Words before or after a tactic that are none of it.
_BEFORE: Final = re.compile(r"^by\s+")
_AFTER: Final = re.compile(r"\s*(?:--.*)?$")


def asking(template: Template) -> Template:
    """``template`` with the question about the goals that are left; its shots and its begun answer stay out."""
    return replace(template, name=f"{template.name}+tactics", then=QUESTION, shots=(), prefill="")


def tactics_of(text: str) -> list[str]:
    """The tactics that an answer proposes, in its order, each once; its thoughts, fences, bullets and comments are passed over."""
    _, said, _ = split_reasoning(text)
    lines = (line for line in proposals(said) if not line.startswith("```"))
    found = (_BEFORE.sub("", _AFTER.sub("", line).rstrip(";,").strip("`").strip()) for line in lines)
    return list(dict.fromkeys(tactic for tactic in found if is_tactic(tactic)))[:LINES]


def is_tactic(line: str) -> bool:
    """Whether a line may be tried at all."""
    if not line or len(line) > LONGEST or not line.isprintable() or not (line[0].isalpha() or line[0] in "·<("):
        return False
    if (
        _REFUSED.search(line)
        or "#" in line
        or "«" in line
        or "/-" in line
        or "--" in line
        or '"' in line
        or "`" in line
    ):
        return False
    open_: list[str] = []
    for letter in line:
        if letter in _PAIRS.values():
            open_.append(letter)
        elif letter in _PAIRS and (not open_ or open_.pop() != _PAIRS[letter]):
            return False
    return not open_


def weighed(answers: Sequence[Completion]) -> list[tuple[str, float]]:
    """(tactic, log-probability) of all that the answers propose, the likeliest first; together they are 1."""
    shares: dict[str, float] = {}
    for answer in answers:
        tactics = tactics_of(answer.text) if answer.error is None else []
        for tactic in tactics:
            shares[tactic] = shares.get(tactic, 0.0) + _weight(answer) / len(tactics)
    total = math.fsum(shares.values())
    found = [(tactic, math.log(share / total)) for tactic, share in shares.items()]
    return sorted(found, key=lambda item: -item[1])


def mixed(one: Sequence[tuple[str, float]], other: Sequence[tuple[str, float]]) -> list[tuple[str, float]]:
    """Half of each of two distributions over tactics, the likeliest first; all of the one where the other is empty."""
    if not one or not other:
        return list(one or other)
    shares: dict[str, float] = {}
    for tactic, logprob in (*one, *other):
        shares[tactic] = shares.get(tactic, 0.0) + 0.5 * math.exp(logprob)
    return sorted(((tactic, math.log(share)) for tactic, share in shares.items()), key=lambda item: -item[1])


def _weight(answer: Completion) -> float:
    if answer.logprob_sum is None or not answer.completion_tokens:
        return 1.0
    return math.exp(max(answer.logprob_sum / answer.completion_tokens, -50.0))
