"""What a strategy is: ordinary code over one problem and a ``generate`` callable.

A strategy never stores anything. Resuming it is running it again with ``generate`` served from the ledger, so it must
ask for the same things in the same order whenever it is given the same answers.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from tracemill.schemas import ids
from tracemill.schemas.enums import TraceKind
from tracemill.schemas.errors import UsageError
from tracemill.schemas.records import Problem
from tracemill.tasks.engines.base import Capabilities, Completion, Sampling
from tracemill.tasks.templates import Template
from tracemill.verifiers.base import Judgement


@dataclass(frozen=True, slots=True)
class Draft:
    """One attempt to be stored as a trace. ``path`` is its place below the problem (``"3"``, ``"3/rationalised"``).

    ``template`` is the one that the stored prompt is rebuilt from, with the problem and no other variables; for a
    rationalised attempt it is the one without the hint.
    ``parent`` is the path of the draft that this one revises; ``tree_id`` and ``node_id`` name the end of a search that its
    text is.
    """

    path: str
    kind: TraceKind
    template: Template
    completion: Completion
    seed: int
    parent: str | None = None
    tree_id: str | None = None
    node_id: str | None = None


@dataclass(frozen=True, slots=True)
class Made:
    """What a strategy made besides attempts: rows of other tables (``trees``, ``nodes``, ``edges``, ``streams``, ``drops``)."""

    drafts: Sequence[Draft]
    rows: Mapping[str, Sequence[Mapping[str, Any]]] = field(default_factory=dict)


class Generate(Protocol):
    """Ask the engine once, for the attempt at ``path``. Served from the ledger where the answer was paid for already."""

    def __call__(
        self,
        template: Template,
        path: str,
        *,
        variables: Mapping[str, str] | None = None,
        draw: int = 0,
        sampling: Sampling | None = None,
    ) -> Awaitable[tuple[Completion, int]]: ...


#: Check a response to this problem with the problem's own verifier.
Verify = Callable[[str, str], Awaitable[Judgement]]  # (response, finish_reason)


@dataclass(frozen=True, slots=True)
class Context:
    """All that a strategy may use. ``index`` counts independent runs of the strategy on the problem, from 0."""

    problem: Problem
    index: int
    template: Template
    sampling: Sampling
    generate: Generate
    verify: Verify
    parameters: Mapping[str, Any] = field(default_factory=dict)
    capabilities: Capabilities = field(default_factory=Capabilities)
    policy_id: str = ""

    @property
    def seed(self) -> int:
        """Of this run of a search on the problem: its own at every index."""
        return ids.derive_seed(self.sampling.seed, f"{self.problem.problem_id}/{self.index}", 0)

    @property
    def asking(self) -> dict[str, Any]:
        """What identifies a tree that an engine was asked for, beside its problem, its policy and its parameters."""
        return {
            "template_id": self.template.template_id,
            "sampling_id": self.sampling.sampling_id,
            "max_tokens": self.sampling.max_tokens,
        }


def refuse_parameters(name: str, given: Iterable[str], known: Iterable[str]) -> None:
    """Raises ``UsageError`` for the first of the parameters ``given`` to the strategy ``name`` that is not ``known``."""
    for unknown in sorted(set(given) - set(known)):
        raise UsageError(f"strategy {name!r} has no parameter {unknown!r}", where="strategy.parameters")


#: A strategy: from a context to the attempts made, the attempt at path ``str(context.index)`` first.
Strategy = Callable[[Context], Awaitable[list[Draft] | Made]]
