"""The traps of the reference code, each switched on beside ours (§2.19, §D): what it does, and that ours does not."""

from __future__ import annotations

import heapq
import re

import pytest

from tracemill.tasks.domains.base import Draw
from tracemill.tasks.domains.countdown import Countdown, State, solution
from tracemill.tasks.domains.countdown_instances import drawn, split_targets
from tracemill.tasks.linearize import direct, stream_of_search
from tracemill.tasks.linearize.bulk import streams
from tracemill.tasks.linearize.mixture import searched
from tracemill.tasks.search.breadth_first import BreadthFirst
from tracemill.tasks.search.budget import Budgets
from tracemill.tasks.search.depth_first import DepthFirst
from tracemill.tasks.search.drive import run_now
from tracemill.tasks.search.growth import Growth, grown, plant
from tracemill.tasks.search.rng import SplitMix, mix
from tracemill.tasks.search.tree import Plot
from tracemill.tasks.search.values import Own
from tracemill.verifiers.stream_of_search import replay

TRAIN = split_targets(4).train


def lax(text: str) -> bool:
    """Trap 1: the checker behind the published accuracy, by its behaviour: used numbers stay available."""
    first = re.match(r"Current State: (\d+):\[(.*?)\]", text)
    if first is None or "Goal Reached" not in text:
        return False
    available = [int(n) for n in first[2].split(", ")]
    before = text[: text.index("Goal Reached")]
    last = re.findall(r"Current State: \d+:\[.*?\], Operations: \[(.*?)\]", before)[-1]
    final = re.findall(r"Exploring Operation: (\S+?),", before)[-1]
    for step in [s.strip("'") for s in last.split(", ") if s] + [final]:
        a, sign, b, c = re.fullmatch(r"(\d+)([-+*/])(\d+)=(\d+)", step).groups()
        value = {"+": int(a) + int(b), "-": int(a) - int(b), "*": int(a) * int(b), "/": int(a) / max(int(b), 1)}[sign]
        if value != int(c) or int(a) not in available or int(b) not in available:
            return False
        available.append(int(c))
    return available[-1] == int(first[1])


def test_trap_1_a_number_used_twice_is_valid_for_the_lax_checker_alone():
    text = (
        "Current State: 45:[5, 3, 2, 7], Operations: []\n"
        "Exploring Operation: 5*3=15, Resulting Numbers: [2, 7, 15]\n"
        "Generated Node #0,0: 45:[2, 7, 15] Operation: 5*3=15\n"
        "Moving to Node #0,0\n"
        "Current State: 45:[2, 7, 15], Operations: ['5*3=15']\n"
        "Exploring Operation: 15*3=45, Resulting Numbers: [45]\n"
        "45,45 equal: Goal Reached\n"
    )
    assert lax(text)
    assert replay(text).counts["numbers"] > 0


def dropping_all_copies(numbers: tuple[int, ...], steps: tuple[str, ...]) -> list[int]:
    """Trap 2: sizes of the states of an optimal path where every copy of an operand goes."""
    left, sizes = list(numbers), []
    for step in steps:
        a, _, b, c = re.fullmatch(r"(\d+)([-+*/])(\d+)=(\d+)", step).groups()
        left = [n for n in left if n not in (int(a), int(b))] + [int(c)]
        sizes.append(len(left))
    return sizes


def test_trap_2_duplicated_operands_lose_one_copy_each():
    """§2.19: the reference's optimal paths have wrong sizes in 47 % of rows with duplicates."""
    domain, wrong, duplicated = Countdown(value_name="oracle"), 0, 0
    (chunk,) = streams(seed=8, count=2000, targets=TRAIN)
    states = [domain.initial(problem) for problem in chunk.problems]
    for state in (state for state in states if len(set(state.numbers)) < 4):
        steps = solution(state.numbers, state.target)
        duplicated += 1
        wrong += dropping_all_copies(state.numbers, steps) != [3, 2, 1]
        growth = Growth(domain, plant(domain, Plot("p", "m", "dfs", {}, 0), state, Budgets()), value=Own())

        tree = run_now(grown(DepthFirst(1.0), growth))
        stream = direct.write(tree, domain)
        found = replay(stream.text)
        assert found.solved
        assert [len(re.findall(r"\d+", m)) for m in re.findall(r"Resulting Numbers: \[(.*?)\]", stream.text)] == [
            3,
            2,
            1,
        ]
    assert duplicated > 40
    assert 0.25 < wrong / duplicated < 0.75


def test_trap_3_two_searches_in_one_process_do_not_leak_into_each_other():
    """The reference's search has a mutable default list: here a search has no state but its tree."""
    for index in range(20):
        mixed = drawn(9, index, TRAIN)
        alone = stream_of_search.write(*reversed(searched(mixed)))
        for other in range(3):
            searched(drawn(10, other, TRAIN))
        assert stream_of_search.write(*reversed(searched(mixed))) == alone


class WithEnds(BreadthFirst):
    """The reference's frontier: ends go to the heap too, and are moved to under ids that were never made."""

    def grow(self, growth):
        rng = SplitMix(mix(growth.tree.plot.seed, 0))
        heap = [(0.0, 0, growth.tree.root)]
        while heap:
            for _, _, node in [heapq.heappop(heap) for _ in range(min(self.width, len(heap)))]:
                growth.visit(node)
                if node.terminal:
                    continue
                (offers,) = yield from growth.offer([node], None)
                kept = sorted(offers, key=lambda o: -o.node.value)[: self.width]
                rng.shuffle(kept)
                for offer in kept:
                    child = growth.admit(offer)
                    if child.goal:
                        return "solved"
                    heapq.heappush(heap, (-child.value, child.created, child))
        return "exhausted"


def test_trap_of_the_frontier_does_not_change_what_is_solved():
    """So the golden share of §2.19 holds for the search without it."""
    moved = 0
    for index in range(120):
        mixed = drawn(12, index, TRAIN)
        if not mixed.width:
            continue
        domain, ours = searched(mixed)
        growth = Growth(
            domain,
            plant(domain, Plot("", "m", "bfs", {}, mixed.seed), mixed.state, Budgets()),
            value=Own(mixed.heuristic, ends=True),
        )
        theirs = run_now(grown(WithEnds(mixed.width), growth))
        assert bool(theirs.goals()) == bool(ours.goals())
        moved += sum(bool(n.visited) for n in theirs.nodes.values() if n.terminal)
        assert not any(n.visited for n in ours.nodes.values() if n.terminal)
    assert moved > 100


def test_trap_5_reaching_the_goal_is_not_enough():
    """A right last line behind a wrong one is no valid stream."""
    mixed = next(m for m in (drawn(13, i, TRAIN) for i in range(50)) if searched(m)[1].goals() and not m.width)
    text = stream_of_search.write(*reversed(searched(mixed))).text
    assert replay(text).solved
    lines = text.split("\n")
    at = next(i for i, line in enumerate(lines) if line.startswith("Exploring"))
    lines[at] = re.sub(r"=(\d+),", lambda m: f"={int(m[1]) + 1},", lines[at])
    broken = "\n".join(lines)
    assert broken.endswith("Goal Reached\n")
    assert not replay(broken).solved


@pytest.mark.parametrize("numbers", [(7, 7, 7, 7), (2, 2, 3, 3)])
def test_states_of_equal_numbers_keep_their_sizes(numbers):
    for step in Countdown().expand(State(24, numbers), None, Draw(0)):
        assert len(step.state.numbers) == 3
