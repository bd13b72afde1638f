"""A search told in paragraphs: steps as they are, and between them phrases that check an end and go back to a step.

The grammar that journey, astro, interleaved and condensed share. A paragraph is a step from where the telling stands,
unless it is one of: a setup, a "go back" that names its step by number, an evaluation of an end, a ``<verify>`` block.
What must stay true: ``parse`` gives the visited path of every text that ``Teller`` wrote, for steps of any text. A blank
line inside a step is written as a line of one space, and a step that reads like a phrase begins with one more space.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from tracemill.schemas.enums import NodeStatus, SegmentKind
from tracemill.schemas.errors import DataError
from tracemill.tasks.domains.base import Domain
from tracemill.tasks.linearize.base import Place, Stream, Writer, winning_ids
from tracemill.tasks.linearize.phrases import (
    DOUBTS,
    RETURNS,
    RIGHT,
    WRONG,
    Palette,
    is_right,
    is_wrong,
    place_of,
    quoted,
    read_return,
)
from tracemill.tasks.search.tree import Node, Tree

BREAK: Final = "\n\n"
#: What carries no loss: what was given, and steps that lead away from every goal.
MASKED: Final = (SegmentKind.SETUP, SegmentKind.EXPLORE_BAD)
_SETUP: Final = re.compile(r'We start from "(?:[^"\\\n]|\\[^\n])*"\.')
_VERIFY: Final = re.compile(r"<verify>\n(?P<said>.*)\nVerdict: (?P<verdict>right|wrong)\n</verify>", re.DOTALL)
_SPACES: Final = re.compile(r" *")


@dataclass(slots=True)
class Teller:
    """Tells ``tree`` as ``linearizer``, from the setup on in domains where the root's state says anything. ``quotes`` names a step by
    its text too; ``loss`` ``all`` masks the setup alone.
    """

    linearizer: str
    tree: Tree[Any]
    domain: Domain[Any]
    options: Mapping[str, Any] = field(default_factory=dict)
    quotes: bool = False
    writer: Writer = field(default_factory=Writer)
    backtracks: int = 0
    dead_ends: int = 0
    winning: frozenset[str] = field(init=False)
    palette: Palette = field(init=False)
    reasons: Mapping[str, str] = field(init=False)

    def __post_init__(self) -> None:
        self.winning = winning_ids(self.tree)
        self.palette = Palette(int(self.tree.tree_id.rpartition("_")[2][:15], 16) ^ int(self.options.get("seed", 0)))
        self.reasons = self.options.get("reasons", {})
        shown = self.domain.show(self.tree.root.state)
        if self.domain.name != "text" and shown:
            self._block(f"We start from {json.dumps(shown)}.", SegmentKind.SETUP, self.tree.root)

    def step(self, node: Node[Any]) -> None:
        """The step to ``node`` from its parent, where the telling stands."""
        if node.goal:
            kind = SegmentKind.FINAL
        else:
            kind = SegmentKind.EXPLORE_OK if node.node_id in self.winning else SegmentKind.EXPLORE_BAD
        self._block(escaped(node.step), kind, node)
        self.writer.told.append(node.node_id)

    def evaluate(self, node: Node[Any]) -> None:
        """A phrase that says how the end ``node`` was judged."""
        if node.goal:
            self._block(self.palette.draw(RIGHT), SegmentKind.FINAL, node)
        else:
            self._block(self.palette.draw(WRONG), SegmentKind.VERIFY, node)

    def verify(self, node: Node[Any], said: str, right: bool) -> None:
        """A ``<verify>`` block with the words ``said`` and their verdict on the text up to ``node``."""
        lines = [line for line in said.replace("</verify>", "").splitlines() if line.strip()]
        inside = "\n".join(lines) or "Checked."
        block = f"<verify>\n{inside}\nVerdict: {'right' if right else 'wrong'}\n</verify>"
        self._block(block, SegmentKind.VERIFY, node)

    def back(self, left: Node[Any], node: Node[Any]) -> None:
        """Leave ``left``, and go back to ``node`` above it."""
        reason = " ".join(self.reasons.get(left.node_id, "").split())
        doubt = self.palette.draw(DOUBTS) + (f" {reason}" if reason else "")
        said = self.palette.draw(RETURNS).format(step=place_of(node.depth, node.step if self.quotes else None))
        found = read_return(f"{doubt} {said}")
        if found is None or (found.number, found.reason) != (
            node.depth,
            reason,
        ):  # the reason itself reads like a phrase
            doubt = self.palette.draw(DOUBTS)
        if self.writer.size:
            self.writer.add(BREAK, self.writer.segments[-1].kind, self.writer.segments[-1].node_id)
        self.writer.add(f"{doubt} ", SegmentKind.MARKER, left.node_id)
        self.writer.add(said, SegmentKind.BACKTRACK, node.node_id)
        self.writer.told.append(node.node_id)
        self.backtracks += 1
        self.dead_ends += 1

    def through(self, ends: Sequence[Node[Any]]) -> None:
        """From the root to each of ``ends`` in turn, back through the node that two neighbours share last."""
        here = self.tree.root
        for end in ends:
            shared = meet(here, end)
            if shared is not here:
                self.back(here, shared)
            for node in below(shared, end):
                self.step(node)
            if end.terminal and not end.goal:
                self.evaluate(end)
            here = end

    def stream(self) -> Stream:
        masked = (SegmentKind.SETUP,) if self.options.get("loss") == "all" else MASKED
        return self.writer.stream(self.linearizer, backtracks=self.backtracks, dead_ends=self.dead_ends, masked=masked)

    def _block(self, text: str, kind: SegmentKind, node: Node[Any]) -> None:
        if self.writer.size:
            last = self.writer.segments[-1]
            self.writer.add(BREAK, last.kind, last.node_id)
        self.writer.add(text, kind, node.node_id)


def escaped(step: str) -> str:
    """``step`` as one paragraph that is not read as a phrase."""
    said = "\n".join(line + " " if _SPACES.fullmatch(line) else line for line in step.split("\n"))
    return " " + said if _is_phrase(said.lstrip(" ")) else said


def plain(block: str) -> str:
    """The step that ``escaped`` wrote as ``block``."""
    if block.startswith(" ") and _is_phrase(block.lstrip(" ")):
        block = block[1:]
    return "\n".join(line[1:] if line and _SPACES.fullmatch(line) else line for line in block.split("\n"))


def parse(text: str) -> tuple[Place, ...]:
    """The nodes that ``text`` goes to, in order, each as its steps from the root.

    Raises ``DataError`` for a text that is not of the grammar: one that goes back to a step that is not there, or quotes it
    wrongly; one that does not go on after it; one that ends otherwise than with a step.
    """
    here: Place = ()
    told: list[Place] = []
    last = ""
    for number, block in enumerate(text.split(BREAK), 1):
        kind = _kind(block)
        if last in ("wrong", "back") and kind != {"wrong": "back", "back": "step"}[last]:
            raise _bad(number, block)
        if kind == "back":
            here = _returned(here, block, number)
            told.append(here)
        elif kind == "step":
            here = (*here, plain(block))
            told.append(here)
        elif kind == "setup" and number > 1:
            raise _bad(number, block)
        last = kind
    if last not in ("step", "right", "verify"):
        raise DataError("the stream does not end with a step", where=f"paragraph {text.count(BREAK) + 1}")
    return tuple(told)


def failing_ids(tree: Tree[Any]) -> frozenset[str]:
    """Nodes below which, through first parents, lies an end that was verified wrong or a place without any next step."""
    found: set[str] = set()
    for node in reversed(tree.nodes.values()):
        if node.status is NodeStatus.DEAD and node.node_id not in found:
            found.update(above.node_id for above in node.lineage())
    return frozenset(found)


def own_children(node: Node[Any], skip: frozenset[str] = frozenset()) -> list[Node[Any]]:
    """The children that ``node`` created, but for those in ``skip``."""
    return [child for child in node.children if child.parent is node and child.node_id not in skip]


def meet(a: Node[Any], b: Node[Any]) -> Node[Any]:
    """The lowest common ancestor, through first parents."""
    common = [x for x, y in zip(a.lineage(), b.lineage(), strict=False) if x is y]
    return common[-1]


def below(top: Node[Any], node: Node[Any]) -> Sequence[Node[Any]]:
    """The nodes from ``top``, without it, down to ``node``."""
    return node.lineage()[top.depth + 1 :]


def _kind(block: str) -> str:
    if is_wrong(block):
        return "wrong"
    if is_right(block):
        return "right"
    if _SETUP.fullmatch(block):
        return "setup"
    if _VERIFY.fullmatch(block):
        return "verify"
    return "step" if read_return(block) is None else "back"


def _is_phrase(text: str) -> bool:
    return _kind(text) != "step"


def _returned(here: Place, block: str, number: int) -> Place:
    found = read_return(block)
    if found is None or found.number >= len(here):
        raise _bad(number, block)
    if found.quote is not None and found.quote != quoted(here[found.number - 1]):
        raise DataError(f"step {found.number} does not begin so: {found.quote!r}", where=f"paragraph {number}")
    return here[: found.number]


def _bad(number: int, block: str) -> DataError:
    return DataError(f"not a paragraph that can stand here: {block[:80]!r}", where=f"paragraph {number}")
