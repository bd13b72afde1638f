"""Trees of any shape with steps of any text, and trees of every search on every exact domain."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import strategies as st

from tracemill.schemas.enums import NodeStatus
from tracemill.tasks.domains.countdown import Countdown, State
from tracemill.tasks.domains.sudoku import Sudoku, generated
from tracemill.tasks.domains.text import Text, Thoughts
from tracemill.tasks.engines.base import Sampling
from tracemill.tasks.linearize import phrases
from tracemill.tasks.search.budget import Budgets
from tracemill.tasks.search.drive import run_now
from tracemill.tasks.search.growth import Growth, grown, plant
from tracemill.tasks.search.registry import build_search, parameters_of
from tracemill.tasks.search.rng import SplitMix
from tracemill.tasks.search.tree import Node, Plot, Tree
from tracemill.tasks.search.values import MonteCarlo, Own, Squashed
from tracemill.tasks.templates import Template

#: Texts that try to be read as something else.
HOSTILE = st.one_of(
    st.sampled_from(
        [
            *phrases.WRONG[:3],
            *phrases.RIGHT[:3],
            "",
            " ",
            "\n",
            "a\n\nb",
            "\n\n",
            "  x",
            "<verify>\nx\nVerdict: right\n</verify>",
        ]
    ),
    st.builds(
        lambda doubt, back, number: f"{doubt} {back.format(step=phrases.place_of(number))}",
        st.sampled_from(phrases.DOUBTS),
        st.sampled_from(phrases.RETURNS),
        st.integers(0, 3),
    ),
    st.sampled_from(['We start from "x".', ' We start from "x".', "  " + phrases.WRONG[0]]),
)
STEPS = st.one_of(st.text(max_size=12), HOSTILE, st.builds("{}\n\n{}".format, HOSTILE, st.text(max_size=5)))


def text_domain() -> Text:
    async def nobody(*args: Any, **kwargs: Any) -> Any:
        raise AssertionError("nothing is asked")

    return Text(nobody, nobody, Template("t"), Sampling())


@st.composite
def trees(draw: Callable[[Any], Any], steps: st.SearchStrategy[str] = STEPS, goal: bool = True) -> Tree[Thoughts]:
    """A tree of up to 30 nodes; with ``goal`` at least one end is right."""
    tree: Tree[Thoughts] = Tree(Plot(f"p_{draw(st.integers(0, 10**6))}", "m_1", "test", {}, 3), Thoughts())
    nodes = [tree.root]
    for _ in range(draw(st.integers(1, 30))):
        parent = draw(st.sampled_from(nodes))
        step = draw(steps)
        node = Node(Thoughts((*parent.state.steps, step)), step)
        tree.link(parent, node, step)
        nodes.append(node)
    leaves = [node for node in nodes if not node.children]
    right = draw(st.sampled_from(leaves))
    for node in nodes:
        node.value = draw(st.sampled_from([None, 0.1, 0.9]))
        if node.children:
            node.status = NodeStatus.EXPANDED
            continue
        wins = goal and (node is right or draw(st.integers(0, 5)) == 0)
        node.reward = node.value = 1.0 if wins else 0.0
        node.status = NodeStatus.GOAL if wins else NodeStatus.DEAD
        if draw(st.integers(0, 6)) == 0 and not wins:
            node.reward, node.status = None, NodeStatus.OPEN
    return tree


@pytest.fixture
def domain() -> Text:
    return text_domain()


@pytest.fixture
def any_tree() -> Callable[..., st.SearchStrategy[Tree[Thoughts]]]:
    return trees


SEARCHES: dict[str, dict[str, Any]] = {
    "dfs": {},
    "bfs": {"width": 3},
    "best_first": {},
    "beam": {"width": 2, "k": 5},
    "dvts": {"n": 4, "m": 2},
    "best_of_n": {"n": 3},
    "guess_and_check": {"n": 6},
    "mcts": {"iterations": 25, "k": 4, "parallel": 3},
}
DOMAINS = ("countdown", "game24", "sudoku")


def start(name: str, seed: int) -> tuple[Any, Any]:
    """A domain and a state of it, solvable or not."""
    rng = SplitMix(seed)
    if name == "sudoku":
        return Sudoku(cell="first"), generated(seed % 50, 0, side=4, clues=5)[0]
    if name == "game24":
        return Countdown(rational=True), State(24, tuple(1 + rng.below(9) for _ in range(4)))
    return Countdown(value_name="mult"), State(10 + rng.below(91), tuple(1 + rng.below(30) for _ in range(4)))


def make_tree(
    domain_name: str, search_name: str, seed: int, *, merge: Any = "none", budgets: Budgets | None = None
) -> tuple[Any, Tree[Any]]:
    domain, state = start(domain_name, seed)
    search = build_search(search_name, SEARCHES[search_name])
    value: Any = Own("own", ends=search_name in ("dfs", "bfs"))
    if search_name == "mcts":
        value = MonteCarlo(2) if seed % 2 else Squashed()
    plot = Plot("p", "m", search.name, parameters_of(search), seed)
    limits = budgets or Budgets()
    growth = Growth(domain, plant(domain, plot, state, limits), budgets=limits, value=value, merge=merge)
    return domain, run_now(grown(search, growth))


@pytest.fixture
def grow() -> Callable[..., tuple[Any, Tree[Any]]]:
    return make_tree


@pytest.fixture
def searches() -> list[str]:
    return list(SEARCHES)
