"""Wrong monologues spliced into a right one: "wait, that's wrong", and then the way that works (algorithms §2.22).

What must stay true: every wrong segment is of a trace that was verified wrong, and states no answer; it is cut at or after a
step that is known to be wrong, unless the recipe allows some cuts at random; the rest is a right trace, whole, or from where it
leaves a prefix that both share, so that nothing of the discarded part is taken as a fact; segments partition the text; loss is
on ground that is common to right traces, on markers and on the right trace, never on a step that may be wrong.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, Final

from tracemill.schemas import ids
from tracemill.schemas.enums import SegmentKind
from tracemill.tasks.linearize.base import Segment
from tracemill.tasks.mining.markers import marker
from tracemill.tasks.steps.base import FirstError, Steps
from tracemill.verifiers.extract import extract

LINEARIZER: Final = "splice"

#: Most steps beyond the wrong one that a detour goes on for, and more where code or thought must first be closed.
EXTRA: Final = 2
CLOSING: Final = 3
#: A right trace states its answer within so many characters of its end.
TAIL: Final = 600
#: Most detours of one splice.
DETOURS: Final = 4

_TAG: Final = re.compile(r"<\|(text|code|execution)\|>")
_FENCE: Final = re.compile(r"^[ \t]*```", re.MULTILINE)
_OPENING: Final = re.compile(r"\s*(?:<think>\s*|<\|text\|>\s*)+")


@dataclass(frozen=True, slots=True)
class Wrong:
    """A wrong trace and what is known of its first error; its first ``ground`` steps are common to right traces."""

    steps: Steps
    error: FirstError | None
    on_policy: bool
    ground: int


@dataclass(frozen=True, slots=True)
class Splice:
    """A spliced text. ``parameters`` say how it was made; ``trace_ids`` are its sources, the right one last."""

    text: str
    segments: tuple[Segment, ...]
    loss_spans: tuple[tuple[int, int], ...]
    trace_ids: tuple[str, ...]
    parameters: dict[str, Any]

    @property
    def stream_id(self) -> str:
        return ids.digest("stream", list(self.trace_ids), LINEARIZER, ids.text_hash(self.text))

    def row(self, verified: bool) -> dict[str, Any]:
        """The row of ``streams``."""
        return {
            "stream_id": self.stream_id,
            "trace_ids": list(self.trace_ids),
            "linearizer": LINEARIZER,
            "text": self.text,
            "segments": [
                {"start": s.start, "end": s.end, "kind": s.kind.value, "node_id": s.node_id} for s in self.segments
            ],
            "loss_spans": [{"start": start, "end": end} for start, end in self.loss_spans],
            "backtracks": self.parameters["detours"],
            "dead_ends": self.parameters["detours"],
            "verified": verified,
            "parameters": ids.canonical_json(self.parameters),
        }


class Unspliceable(Exception):
    """These traces make no splice; the message is the reason."""


def control(right: Steps) -> Splice:
    """A clean right trace without a marker, so that a model does not learn to doubt everything."""
    segment = Segment(0, len(right.text), SegmentKind.FINAL, right.trace_id)
    parameters = {"detours": 0, "cut": "none", "resume": "none", "on_policy": True, "marker": None}
    return Splice(right.text, (segment,), ((0, len(right.text)),), (right.trace_id,), parameters)


def splice(wrongs: Sequence[Wrong], right: Steps, rng: Random, random_cut: bool = False) -> Splice:
    """``wrongs`` in order, each with a marker behind it, then ``right``. Raises ``Unspliceable``."""
    if any(_format(wrong.steps.text) != _format(right.text) for wrong in wrongs):
        raise Unspliceable("another_format")
    builder = _Builder()
    newline = "\n\n" if right.segmenter == "paragraph" else "\n"
    shared = _shared(wrongs[0], right) if len(wrongs) == 1 else 0
    cuts, said = [], ""
    for place, wrong in enumerate(wrongs):
        first, stop, policy = _cut(wrong, rng, random_cut)
        cuts.append(policy)
        start = wrong.steps.spans[0][0] if place == 0 else _opening(wrong.steps.text)
        bad = wrong.steps.spans[first][0]
        builder.add(wrong.steps.text[start:bad], SegmentKind.EXPLORE_OK, wrong.steps.trace_id)
        body = wrong.steps.text[max(bad, start) : wrong.steps.spans[stop - 1][1]]
        builder.add(body, SegmentKind.EXPLORE_BAD, wrong.steps.trace_id)
        resuming = shared > 0
        said = marker(rng, resuming)
        gap = "" if body.endswith("\n") else newline
        builder.add(f"{gap}{said}{newline}", SegmentKind.MARKER, "")
    start = right.spans[shared][0] if shared else _opening(right.text)
    if "<think>" in right.text[start:] and "<think>" in builder.text:
        raise Unspliceable("two_thoughts")
    if "</think>" in builder.text or ("<think>" in builder.text and "</think>" not in right.text[start:]):
        raise Unspliceable("thought_does_not_fit")
    builder.add(right.text[start:], SegmentKind.FINAL, right.trace_id)
    parameters = {
        "detours": len(wrongs),
        "cut": cuts[0],
        "cuts": cuts,
        "resume": "last_good_step" if shared else "scratch",
        "on_policy": all(wrong.on_policy for wrong in wrongs),
        "marker": said,
        "error_sources": [None if wrong.error is None else wrong.error.source.value for wrong in wrongs],
    }
    sources = (*(wrong.steps.trace_id for wrong in wrongs), right.trace_id)
    return Splice(builder.text, tuple(builder.segments), builder.loss_spans(), sources, parameters)


def detours(rng: Random, more: float, available: int) -> int:
    """How many: 1, and each further one with the chance ``more`` (a geometric law), as far as there are traces."""
    count = 1
    while count < min(available, DETOURS) and rng.random() < more:
        count += 1
    return count


def states_answer(text: str) -> bool:
    """Whether a step commits to an answer, right or wrong."""
    return extract(text).how in ("box", "marker")


def _cut(wrong: Wrong, rng: Random, random_cut: bool) -> tuple[int, int, str]:
    """(first step that may be wrong, the step to stop before, how that was decided)."""
    texts = wrong.steps.texts
    ends = (step for step, text in enumerate(texts) if "</think>" in text or states_answer(text))
    answered = next(ends, len(texts))
    if wrong.error is not None and wrong.error.verified:
        first = wrong.error.step
        extra = rng.randint(0, EXTRA)
        policy = "post_error" if extra else "first_error"
    elif random_cut and answered > 1:
        first, extra, policy = rng.randint(1, answered - 1), 0, "random"
    else:
        raise Unspliceable("no_verified_error")
    if first >= answered:
        raise Unspliceable("error_in_answer")
    bad = 0 if policy == "random" else min(first, wrong.ground)
    for stop in range(min(first + 1 + extra, answered), min(first + 1 + extra + CLOSING, answered) + 1):
        if not _is_open(wrong.steps.text[: wrong.steps.spans[stop - 1][1]]):
            return bad, stop, policy
    raise Unspliceable("code_does_not_end")


def _format(text: str) -> tuple[bool, ...]:
    """How a trace is laid out; a change of it in the middle would give a splice away."""
    return tuple(mark in text for mark in ("```", "<|code|>", "<think>", "<<"))


def rambles(text: str) -> bool:
    """Whether a trace goes on long after the answer that it states."""
    return len(text) > TAIL and states_answer(text) and not states_answer(text[-TAIL:])


def _is_open(text: str) -> bool:
    """Whether ``text`` ends inside code."""
    tags = _TAG.findall(text)
    return len(_FENCE.findall(text)) % 2 == 1 or bool(tags and tags[-1] != "text")


def _shared(wrong: Wrong, right: Steps) -> int:
    """How many leading steps both have, where the wrong trace is still right; 0 where they begin apart."""
    limit = min(wrong.ground, wrong.error.step) if wrong.error is not None and wrong.error.verified else 0
    count = 0
    for one, other in zip(wrong.steps.texts[:limit], right.texts[:-1], strict=False):
        if one.split() != other.split():
            break
        count += 1
    return count


def _opening(text: str) -> int:
    """Where a trace begins behind the tags that open its thought: they are said once, at the beginning of all."""
    match = _OPENING.match(text)
    return match.end() if match else 0


class _Builder:
    """The text as it grows, cut into segments."""

    def __init__(self) -> None:
        self.text = ""
        self.segments: list[Segment] = []

    def add(self, text: str, kind: SegmentKind, trace: str) -> None:
        if text:
            start, self.text = len(self.text), self.text + text
            self.segments.append(Segment(start, len(self.text), kind, trace))

    def loss_spans(self) -> tuple[tuple[int, int], ...]:
        """Everything but the wrong segments, neighbours joined."""
        spans: list[tuple[int, int]] = []
        for segment in self.segments:
            if segment.kind is SegmentKind.EXPLORE_BAD:
                continue
            if spans and spans[-1][1] == segment.start:
                spans[-1] = (spans[-1][0], segment.end)
            else:
                spans.append((segment.start, segment.end))
        return tuple(spans)


def seam_surprisal(
    surprisals: Sequence[float], tokens: Sequence[tuple[int, int]], seams: Sequence[int], width: int = 8
) -> float:
    """The largest surprisal (nats) of the first ``width`` tokens behind any seam: a jump there gives a splice away.

    ``tokens`` are the character spans of the tokens, ``surprisals`` theirs under the student; ``seams`` are where segments
    begin behind the first. 0 where there is no seam.
    """
    most = 0.0
    for seam in seams:
        behind = [value for value, (start, _) in zip(surprisals, tokens, strict=True) if start >= seam][:width]
        most = max([most, *behind])
    return most
