"""Steps of a trace as the locators see them, and what a locator finds.

What must stay true: a first error is the 0-based index of the first wrong step; a locator that cannot tell says nothing;
what it found always carries its source; two different sources that agree on a step make a consensus, and a locator
counts as verified only where its precision was measured to be at least ``TRUSTED`` (``benchmarks/first_error.py``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

Span = tuple[int, int]

#: Measured precision from which on a locator's find counts as a verified error.
TRUSTED: Final = 0.9


class Source(StrEnum):
    """Who says that a step is wrong, or what it is worth."""

    ARITHMETIC = "arithmetic"  # an equation in the step, worked out
    EXECUTION = "execution"  # code in the step, run
    LEAN = "lean"  # Lean's first error
    DIVERGENCE = "divergence"  # where right siblings go another way
    MC_SEARCH = "mc_search"  # binary search over rollouts (OmegaPRM)
    MC = "mc"  # rollouts from every step (Math-Shepherd): the label is hard, the share of right ones is soft
    ORACLE = "oracle"  # an exact solver
    JUDGE = "judge"  # a model's opinion
    HUMAN = "human"  # labels that came with the data
    CONSENSUS = "consensus"  # two sources agree


#: Sources whose finds are verified errors. The measured precisions are in docs/mining.md.
VERIFIED: Final = frozenset(
    {
        Source.ARITHMETIC,
        Source.EXECUTION,
        Source.LEAN,
        Source.DIVERGENCE,
        Source.ORACLE,
        Source.HUMAN,
        Source.CONSENSUS,
    }
)


@dataclass(frozen=True, slots=True)
class Steps:
    """A trace cut into steps. ``segmenter`` names who cut it: an index means nothing without it."""

    trace_id: str
    text: str
    spans: tuple[Span, ...]
    segmenter: str

    @classmethod
    def of(cls, trace_id: str, text: str, spans: Iterable[Mapping[str, int]], segmenter: str) -> Steps:
        """A trace's steps from its columns."""
        return cls(trace_id, text, tuple((span["start"], span["end"]) for span in spans), segmenter)

    @property
    def texts(self) -> list[str]:
        return [self.text[start:end] for start, end in self.spans]

    def at(self, position: int) -> int | None:
        """The step that holds a character; None outside the text."""
        for index, (start, end) in enumerate(self.spans):
            if start <= position < end:
                return index
        return None


@dataclass(frozen=True, slots=True)
class FirstError:
    """The first wrong step, and who says so. ``agreed`` tells whether another source says the same."""

    step: int
    source: Source
    agreed: bool = False

    @property
    def verified(self) -> bool:
        return self.source in VERIFIED


def consensus(found: Iterable[FirstError]) -> FirstError | None:
    """The earliest step that two different sources name, as a find of ``Source.CONSENSUS``; None where no two agree."""
    named: dict[int, set[Source]] = {}
    for error in found:
        named.setdefault(error.step, set()).add(error.source)
    agreed = sorted(step for step, sources in named.items() if len(sources - {Source.CONSENSUS}) > 1)
    return FirstError(agreed[0], Source.CONSENSUS, True) if agreed else None


def best(found: Sequence[FirstError]) -> FirstError | None:
    """What to act on: the consensus, else the earliest verified find, else the earliest of all."""
    agreed = consensus(found)
    if agreed is not None:
        return agreed
    ranked = sorted(found, key=lambda error: (not error.verified, error.step, error.source.value))
    return ranked[0] if ranked else None
