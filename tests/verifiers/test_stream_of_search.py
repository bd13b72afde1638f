"""The strict check of a stream: what an independent oracle calls illegal is caught, all of it, and nothing else is (§2.19)."""

from __future__ import annotations

import importlib.util
import random
import re
from collections import Counter
from pathlib import Path

import pytest

from tracemill.tasks.domains.countdown_instances import split_targets
from tracemill.tasks.linearize.bulk import streams
from tracemill.verifiers.base import Candidate
from tracemill.verifiers.registry import build_verifier
from tracemill.verifiers.stream_of_search import replay

_spec = importlib.util.spec_from_file_location("sos_oracle", Path(__file__).with_name("sos_oracle.py"))
assert _spec is not None
assert _spec.loader is not None
oracle = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(oracle)


@pytest.fixture(scope="module")
def texts() -> list[str]:
    (chunk,) = streams(seed=3, count=160, targets=split_targets(4).train)
    return [text for text in chunk.streams["text"].to_pylist() if len(text) < 6000]


# What is done to a text: each takes its lines and a source of chance, and changes the lines in place.


def change_a_digit(lines, rng):
    at = rng.randrange(len(lines))
    digits = [m.start() for m in re.finditer(r"\d", lines[at])]
    if digits:
        i = rng.choice(digits)
        lines[at] = lines[at][:i] + rng.choice("0123456789") + lines[at][i + 1 :]


def change_a_character(lines, rng):
    at = rng.randrange(len(lines))
    i = rng.randrange(len(lines[at]) + 1)
    lines[at] = lines[at][:i] + rng.choice("0 1,:#[]'+-*/=x٣\t") + lines[at][i + rng.randrange(2) :]


def drop_a_line(lines, rng):
    if len(lines) > 1:
        del lines[rng.randrange(len(lines))]


def repeat_a_line(lines, rng):
    at = rng.randrange(len(lines))
    lines.insert(rng.randrange(len(lines) + 1), lines[at])


def swap_two_lines(lines, rng):
    i, j = rng.randrange(len(lines)), rng.randrange(len(lines))
    lines[i], lines[j] = lines[j], lines[i]


def cut_the_end(lines, rng):
    del lines[rng.randrange(1, len(lines) + 1) :]


def move_elsewhere(lines, rng):
    places = [i for i, line in enumerate(lines) if line.startswith("Moving")]
    ids = [m[1] for line in lines if (m := re.match(r"Generated Node #([\d,]+):", line))] + ["0", "0,31", "0,0,9"]
    if places:
        lines[rng.choice(places)] = f"Moving to Node #{rng.choice(ids)}"


def move_and_come_back(lines, rng):
    """A legal detour, wherever the search stands: on to a node that is known, and back."""
    at = rng.randrange(1, len(lines) + 1)
    seen = re.findall(r"Generated Node #([\d,]+): (.*) Operation", "\n".join(lines[:at]))
    states = [i for i, line in enumerate(lines[:at]) if line.startswith("Current State")]
    here = next((lines[i - 1] for i in reversed(states) if i), "Moving to Node #0")
    steps = {"0": lines[0]}
    for i in states[1:]:
        steps[lines[i - 1].removeprefix("Moving to Node #")] = lines[i]
    if seen:
        node = rng.choice(seen)[0]
        if node in steps:
            lines[at:at] = [f"Moving to Node #{node}", steps[node], here, lines[states[-1]]]


def rename_a_node(lines, rng):
    """Another index for a child that was never moved to is as good; any other renaming is not."""
    made = [i for i, line in enumerate(lines) if line.startswith("Generated")]
    if made:
        at = rng.choice(made)
        lines[at] = re.sub(r"(,)(\d+):", lambda m: f",{int(m[2]) + rng.choice([0, 1, 40])}:", lines[at], count=1)


def turn_operands_round(lines, rng):
    at = rng.randrange(len(lines))
    old = re.search(r"(\d+)([-+*/])(\d+)=(\d+)", lines[at])
    if old:
        new = f"{old[3]}{old[2]}{old[1]}={old[4]}"
        for i in range(len(lines)) if rng.random() < 0.6 else [at]:
            lines[i] = re.sub(rf"(?<!\d){re.escape(old[0])}(?!\d)", new, lines[i])


def reuse_a_number(lines, rng):
    """The exploit of §2.19: operands that the node does not have, with arithmetic that holds."""
    places = [i for i, line in enumerate(lines) if line.startswith("Exploring")]
    if places:
        at = rng.choice(places)
        first = re.findall(r"\d+", lines[0].partition(":")[2].partition("]")[0])[1:] or ["1"]
        a, b = int(rng.choice(first)), int(rng.choice(first))
        lines[at] = re.sub(r"\d+[-+*/]\d+=\d+", f"{a}+{b}={a + b}", lines[at])


def double_an_operand(lines, rng):
    """The other exploit: one number used as both operands."""
    places = [i for i, line in enumerate(lines) if line.startswith("Exploring")]
    if places:
        at = rng.choice(places)
        a = int(re.search(r"(\d+)[-+*/]", lines[at])[1])
        lines[at] = re.sub(r"\d+[-+*/]\d+=\d+", f"{a}*{a}={a * a}", lines[at])


def shuffle_numbers(lines, rng):
    places = [i for i, line in enumerate(lines) if line.startswith("Exploring")]
    if places:
        at = rng.choice(places)
        shown = re.search(r"\[(.*)\]", lines[at])[1]
        numbers = shown.split(", ")
        rng.shuffle(numbers)
        for i in range(len(lines)) if rng.random() < 0.6 else [at]:
            lines[i] = lines[i].replace(f"[{shown}]", f"[{', '.join(numbers)}]")


def flip_an_end(lines, rng):
    places = [i for i, line in enumerate(lines) if "equal" in line]
    if places:
        at = rng.choice(places)
        if "unequal" in lines[at]:
            lines[at] = lines[at].replace("unequal: No Solution", "equal: Goal Reached")
        else:
            lines[at] = lines[at].replace("equal: Goal Reached", "unequal: No Solution")


def claim_an_end(lines, rng):
    lines.insert(rng.randrange(len(lines) + 1), rng.choice(["No solution found.", "24,24 equal: Goal Reached", ""]))


MUTATIONS = [
    change_a_digit, change_a_character, drop_a_line, repeat_a_line, swap_two_lines, cut_the_end, move_elsewhere,
    move_and_come_back, rename_a_node, turn_operands_round, reuse_a_number, double_an_operand, shuffle_numbers, flip_an_end,
    claim_an_end,
]  # fmt: skip


def test_every_stream_of_ours_is_legal_for_both(texts):
    assert len(texts) > 60
    for text in texts:
        assert oracle.legal(text)
        found = replay(text)
        assert found.mistakes == ()
        assert found.solved == text.endswith("Goal Reached\n")
        assert found.explored == text.count("Exploring Operation")


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda m: m.__name__)
def test_a_mutation_is_caught_exactly_where_the_oracle_calls_it_illegal(texts, mutation):
    rng = random.Random(mutation.__name__)
    seen: Counter[bool] = Counter()
    for text in texts:
        for _ in range(12):
            lines = text.removesuffix("\n").split("\n")
            mutation(lines, rng)
            mutated = "\n".join(lines) + "\n"
            if mutated == text:
                continue
            legal = oracle.legal(mutated)
            seen[legal] += 1
            assert (replay(mutated).mistakes == ()) == legal, mutated
    assert seen[False] + seen[True] > 100


def test_some_mutations_are_legal(texts):
    """So that catching everything would be noticed."""
    rng = random.Random(0)
    legal = 0
    for text in texts:
        for mutation in (move_and_come_back, rename_a_node, turn_operands_round, shuffle_numbers):
            lines = text.removesuffix("\n").split("\n")
            mutation(lines, rng)
            mutated = "\n".join(lines) + "\n"
            legal += mutated != text and oracle.legal(mutated)
    assert legal > 50


REUSE = """Current State: 45:[5, 3, 2, 7], Operations: []
Exploring Operation: 5*3=15, Resulting Numbers: [2, 7, 15]
Generated Node #0,0: 45:[2, 7, 15] Operation: 5*3=15
Moving to Node #0,0
Current State: 45:[2, 7, 15], Operations: ['5*3=15']
Exploring Operation: 15*3=45, Resulting Numbers: [45]
45,45 equal: Goal Reached
"""


def test_the_number_that_the_published_checker_lets_be_used_twice_is_not_there():
    """Trap 1 of §2.19: the reference calls this path valid."""
    found = replay(REUSE)
    assert not found.solved
    assert found.mistakes[0].kind == "numbers"
    assert found.mistakes[0].line == 6
    assert "3 is not there" in found.mistakes[0].why


@pytest.mark.parametrize(
    ("old", "new", "kind"),
    [
        ("5*3=15, R", "5*3=16, R", "arithmetic"),
        ("5*3=15, Resulting Numbers: [2, 7, 15]", "7-2=5, Resulting Numbers: [2, 7, 15]", "numbers"),
        ("5*3=15, Resulting Numbers: [2, 7, 15]", "3-5=2, Resulting Numbers: [2, 7, 2]", "arithmetic"),
        ("5*3=15, Resulting Numbers: [2, 7, 15]", "7/2=3, Resulting Numbers: [5, 3, 3]", "arithmetic"),
        ("5*3=15, Resulting Numbers: [2, 7, 15]", "5*5=25, Resulting Numbers: [2, 7, 15]", "numbers"),
        ("Moving to Node #0,0", "Moving to Node #0,1", "exploration"),
        ("Generated Node #0,0:", "Generated Node #0:", "exploration"),
        ("Generated Node #0,0:", "Generated Node #0,0,0:", "exploration"),
        ("Exploring Operation: 15", "Exploring operation: 15", "formatting"),
        ("45,45 equal: Goal Reached\n", "", "formatting"),
        ("Operations: ['5*3=15']", "Operations: ['5*2=10']", "exploration"),
        ("Current State: 45:[2, 7, 15]", "Current State: 45:[2, 7]", "numbers"),
    ],
)
def test_each_kind_of_error_has_its_name(old, new, kind):
    assert old in REUSE
    found = replay(REUSE.replace(old, new, 1)).mistakes
    assert kind in {mistake.kind for mistake in found}


def test_a_stream_of_another_problem_is_not_a_stream_of_this_one(texts):
    solved = next(text for text in texts if text.endswith("Goal Reached\n"))
    target, numbers = re.match(r"Current State: (\d+):\[(.*?)\]", solved).groups()
    spec = {"numbers": [int(n) for n in numbers.split(", ")], "target": int(target)}
    verifier = build_verifier("stream_of_search")
    assert verifier.check(Candidate("a", solved, spec=spec), {}).outcome == "correct"
    other = {**spec, "target": int(target) + 1}
    assert verifier.check(Candidate("a", solved, spec=other), {}).outcome == "incorrect"
    assert verifier.check(Candidate("a", solved, spec={}), {}).outcome == "error"
    assert verifier.check(Candidate("a", solved, spec=spec, finish_reason="length"), {}).outcome == "unparsed"


def test_hostile_text_is_read_in_linear_time():
    for text in (
        "Exploring Operation: " + "1+" * 200_000,
        "[" * 300_000,
        "Current State: " + "9" * 400_000,
        "\n" * 200_000,
    ):
        assert replay(text).mistakes
