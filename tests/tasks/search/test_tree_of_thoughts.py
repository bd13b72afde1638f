"""Tree of Thoughts on Game of 24: proposals and votes of a scripted model, exact arithmetic as the judge (§2.17)."""

from __future__ import annotations

import re
from fractions import Fraction
from functools import cache
from itertools import permutations

import pytest
from tests.tasks.domains.conftest import Asker

from tracemill.schemas.enums import Outcome, TreeStatus
from tracemill.schemas.records import Problem
from tracemill.tasks.domains.text import Text, Thoughts
from tracemill.tasks.engines.base import Completion, Sampling
from tracemill.tasks.search.budget import Budgets
from tracemill.tasks.search.drive import run, run_now
from tracemill.tasks.search.growth import Growth, grown, plant
from tracemill.tasks.search.rows import edge_rows, node_rows, tree_row
from tracemill.tasks.search.tree import Plot
from tracemill.tasks.search.tree_of_thoughts import BREADTH, DUPLICATE, THRESHOLD, TreeOfThoughts
from tracemill.tasks.search.values import Own, Votes
from tracemill.tasks.templates import Template
from tracemill.verifiers.base import Judgement

SOLVABLE = ["4 9 10 13", "1 5 5 5", "3 3 8 8", "1 2 3 4", "2 2 2 9", "6 6 6 6"]
LINE = re.compile(r"(\S+) ([-+*/]) (\S+) = (\S+) \(left: ([^)]*)\)")


def moves(left):
    """(line, numbers left) of every legal move."""
    found = {}
    for a, b, *_ in permutations(range(len(left)), 2):
        x, y = left[a], left[b]
        rest = [n for i, n in enumerate(left) if i not in (a, b)]
        results = {"+": x + y, "-": x - y, "*": x * y} | ({"/": x / y} if y else {})
        for op, z in results.items():
            numbers = tuple(sorted([*rest, z]))
            found[f"{x} {op} {y} = {z} (left: {' '.join(map(str, numbers))})"] = numbers
    return found


@cache
def solvable(left):
    if len(left) == 1:
        return left[0] == 24
    return any(solvable(numbers) for numbers in set(moves(left).values()))


def left_of(start, text):
    said = LINE.findall(text)
    return tuple(sorted(Fraction(n) for n in (said[-1][4] if said else start).split()))


class Player(Asker):
    """Proposes every legal move and votes by the exact oracle, or always "likely"."""

    def __init__(self, numbers, knows=True):
        super().__init__(self.answer, Problem(f"Make 24 of {numbers}.", "none", "test"))
        self.numbers, self.knows = numbers, knows
        self.asked = []

    def answer(self, request):
        said = request.messages[-1]["content"]
        self.asked.append(said)
        if "Several solutions" in said:
            parts = re.split(r"Solution \d+:\n", said)[1:]
            good = [i for i, part in enumerate(parts, 1) if solvable(left_of(self.numbers, part))]
            return Completion(f"The best is {good[0] if good else 1}", "stop", 5, 4)
        left = left_of(self.numbers, said)
        if "sure, likely or impossible" in said:
            word = ("sure" if solvable(left) else "impossible") if self.knows else "likely"
            return Completion(f"I think it is {word}", "stop", 5, 4)
        lines = list(moves(left)) if len(left) > 1 else [f"\\boxed{{{left[0]}}}"]
        return Completion("\n".join(lines), "stop", 5, 3 * len(lines))

    async def verify(self, response, finish_reason):
        """Exact: every line is a legal move from the numbers before it, and the last leaves 24."""
        left = tuple(sorted(Fraction(n) for n in self.numbers.split()))
        for line in response.split("\n\n")[:-1]:
            if line not in moves(left):
                return Judgement(Outcome.INCORRECT, "not a move")
            left = moves(left)[line]
        right = left == (24,) and response.endswith("\\boxed{24}")
        return Judgement(Outcome.CORRECT if right else Outcome.INCORRECT, "checked")


def search(player, merge="none", budgets=None, **options):
    domain = Text(
        player.generate,
        player.verify,
        Template("t"),
        Sampling(),
        expansion="propose",
        step_tokens=16,
        rollout_tokens=32,
        same=lambda text: str(left_of(player.numbers, text)),
    )
    budgets = budgets or Budgets()
    tree = plant(domain, Plot("p_1", "m_1", "tot", {}, 1), Thoughts(), budgets)
    growth = Growth(domain, tree, budgets=budgets, value=Votes(3), merge=merge)
    return grown(TreeOfThoughts(**{"k": 60, **options}), growth)


@pytest.mark.parametrize("numbers", SOLVABLE)
async def test_with_a_judge_who_knows_a_breadth_of_five_solves_every_solvable_game(numbers):
    tree = await run(search(Player(numbers)))
    assert tree.status is TreeStatus.SOLVED
    (goal, *_) = tree.goals()
    assert goal.depth == 4
    assert len([n for n in tree.nodes.values() if n.edges]) <= 1 + 5 + 5 + 5


async def test_an_unsolvable_game_is_never_said_to_be_solved():
    tree = await run(search(Player("1 1 1 1")))
    assert tree.status is TreeStatus.EXHAUSTED
    assert tree.goals() == []


async def test_duplicates_are_worth_nothing_and_nobody_is_asked_about_them():
    player = Player("1 2 3 4")
    tree = await run(search(player, b=2))
    first = [n for n in tree.nodes.values() if n.depth == 1]
    assert len(first) > len({n.key for n in first})
    for node in first:
        twins = [n for n in first if n.key == node.key]
        assert [n.value_source for n in twins[1:]] == [DUPLICATE] * (len(twins) - 1)
        assert all(n.value == 0.0 for n in twins[1:])
    votes = [said for said in player.asked if "sure, likely" in said]
    fresh = [n for n in tree.nodes.values() if n.value_source == "votes"]
    assert len(votes) == 3 * len(fresh)


async def test_a_breadth_first_level_keeps_the_best_and_the_rest_stay_in_the_tree():
    tree = await run(search(Player("4 9 10 13"), b=2))
    for depth in (1, 2):
        level = [n for n in tree.nodes.values() if n.depth == depth]
        kept = [n for n in level if n.edges]
        assert len(kept) == 2
        assert min(n.value for n in kept) >= max(n.value for n in level if n not in kept)
        assert {n.prune_reason for n in level if n not in kept} <= {BREADTH, DUPLICATE}


async def test_depth_first_does_not_look_below_the_threshold():
    tree = await run(search(Player("4 9 10 13"), order="dfs", threshold=0.5))
    assert tree.status is TreeStatus.SOLVED
    assert all(n.value >= 0.5 for n in tree.nodes.values() if n.edges and n.parents)
    assert THRESHOLD in {n.prune_reason for n in tree.nodes.values()}
    assert len([n for n in tree.nodes.values() if n.edges]) == 4  # a judge who knows never turns back


async def test_a_vote_for_the_best_of_a_level_steers_too():
    tree = await run(search(Player("1 2 3 4"), judge="vote", b=1))
    assert tree.status is TreeStatus.SOLVED
    assert {n.value for n in tree.nodes.values() if n.value_source == "vote"} == {0.0, 1.0}


async def test_the_same_answers_give_the_same_tree_and_nothing_is_asked_again():
    player = Player("4 9 10 13", knows=False)

    def documents(tree):
        show = Text.show
        return tree_row(tree), node_rows(tree, lambda s: show(None, s)), edge_rows(tree)

    first = documents(await run(search(player)))
    asked = len(player.asked)
    assert documents(await run(search(player))) == first
    assert len(player.asked) == asked


@pytest.mark.parametrize("tokens", [1, 40, 333, 2000])
async def test_a_budget_of_tokens_holds_exactly(tokens):
    class Terse(Player):
        def answer(self, request):
            said = super().answer(request)
            most = request.sampling.max_tokens
            return Completion(said.text, said.finish_reason, 5, min(most, said.completion_tokens))

    tree = await run(search(Terse("4 9 10 13", knows=False), budgets=Budgets(tokens=tokens)))
    assert tree.tokens <= tokens


def test_it_walks_on_symbolic_domains_as_well(digits, plot):
    domain = digits(goal="120")
    growth = Growth(domain, plant(domain, plot, "", Budgets()), value=Own())
    tree = run_now(grown(TreeOfThoughts(k=3, b=1, depth=3), growth))
    assert [goal.state for goal in tree.goals()] == ["120"]
