"""Measures of a Countdown search from its text alone, a model's as well as our own (algorithms §2.19).

``rating`` falls with the nodes looked at; ``alignment`` says which of the twelve symbolic strategies a search went about its
problem like: the overlap of the states that both looked at.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final, Literal

from tracemill.tasks.domains.countdown import Countdown, State
from tracemill.tasks.domains.countdown_instances import WIDTHS, Mixed
from tracemill.tasks.linearize.mixture import searched
from tracemill.tasks.linearize.stream_of_search import EXPLORE_LINE

#: Nodes of the whole game by how many numbers there are: what a rating is a share of.
MOST_NODES: Final = {2: 4, 3: 48, 4: 1152, 5: 46080}
#: The strategies of the mixture: a heuristic, and a width (0: depth-first).
STRATEGIES: Final[tuple[tuple[Literal["sum", "mult"], int], ...]] = tuple(
    (heuristic, width) for heuristic in ("sum", "mult") for width in (0, *WIDTHS)
)
_NUMBERS: Final = re.compile(r"\d+")

States = frozenset[tuple[int, ...]]


def rating(explored: int, inputs: int, solved: bool) -> float:
    """max(0, 1 - (explored + 1) / most nodes), and 0 without a solution."""
    return max(0.0, 1.0 - (explored + 1) / MOST_NODES[inputs]) if solved else 0.0


def gap(explored: int, inputs: int) -> float:
    """The nodes looked at to those of a shortest solution, which takes a step less than there are numbers."""
    return explored / (inputs - 1)


def looked_at(text: str) -> States:
    """The states that a stream says it looked at, each as its numbers in order of size; lines that are none are left out."""
    found = (EXPLORE_LINE.fullmatch(line) for line in text.splitlines())
    return frozenset(tuple(sorted(map(int, _NUMBERS.findall(said["result"])))) for said in found if said is not None)


def overlap(first: States, second: States) -> float:
    """Of the states that either looked at, the share that both did; 1 where neither did."""
    either = first | second
    return len(first & second) / len(either) if either else 1.0


def alignment(
    text: str, state: State, seed: int = 0, strategies: Iterable[tuple[Literal["sum", "mult"], int]] = STRATEGIES
) -> dict[str, float]:
    """The overlap of a stream over ``state`` with each strategy, as ``dfs-sum`` or ``bfs-mult-3``; the nearest first.

    ``seed`` is the tree's, which breadth-first searches shuffle by.
    """
    said = looked_at(text)
    found = {}
    for heuristic, width in strategies:
        _, tree = searched(Mixed(seed, state, heuristic, width))
        states = frozenset(
            tuple(sorted(int(n) for n in node.state.numbers))
            for node in tree.nodes.values()
            if node is not tree.root and node.status != "rejected"
        )
        found[strategy_name(heuristic, width)] = overlap(said, states)
    return dict(sorted(found.items(), key=lambda item: -item[1]))


def strategy_name(heuristic: str, width: int) -> str:
    return f"bfs-{heuristic}-{width}" if width else f"dfs-{heuristic}"


def state_of(text: str) -> State:
    """The state that a stream begins at. Raises ValueError where its first line is none."""
    shown = text.removeprefix("Current State: ").partition(", Operations")[0]
    return Countdown().read(shown)
