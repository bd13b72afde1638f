import pytest

from tracemill.schemas.enums import Outcome
from tracemill.verifiers.base import Candidate
from tracemill.verifiers.code.hidden import changed, hidden_inputs
from tracemill.verifiers.code.mutation import mutants
from tracemill.verifiers.code.sanity import check, sanity

CLAMP = "def clamp(x, lo, hi):\n    if x < lo:\n        return lo\n    if x > hi:\n        return hi\n    return x\n"
GOOD = [
    "assert clamp(5, 1, 3) == 3",
    "assert clamp(0, 1, 3) == 1",
    "assert clamp(2, 1, 3) == 2",
    "assert clamp(9, -5, 9) == 9",
]


def judged(tests, reference, **options):
    config = sanity({"time_limit": 1.0}, **options).config
    return check(Candidate("p", reference, spec={"tests": tests, "entry_point": "clamp"}), config)


def test_a_sound_problem_has_a_mutation_score():
    found = judged(GOOD, CLAMP)
    assert (found.outcome, found.reason) == (Outcome.CORRECT, "sound")
    assert found.score is not None
    assert found.score >= 0.8
    assert found.evidence["faults"] > 4
    assert found.isolation
    assert found.cpu_ms > 0


@pytest.mark.parametrize(
    ("tests", "reference", "reason"),
    [
        (GOOD, CLAMP.replace("x > hi", "x < hi"), "gold_fails"),
        (GOOD, "def other(): pass", "gold_fails"),
        (["assert clamp(5, 1, 3) =="], CLAMP, "gold_fails"),
        (["import nowhere\nfor i in [1]:\n    assert clamp(5, 1, 3) == 3"], CLAMP, "gold_fails"),
        (["assert clamp(5, 1, 3) == 3"], CLAMP, "weak_tests"),
        (["assert clamp(5, 0, 1) == 1", "assert clamp(7, 0, 1) == 1"], CLAMP, "passes_trivial"),
        (["assert not clamp(0, 0, 0)"], CLAMP, "passes_trivial"),
        (["clamp(1, 2, 3)"], "import random\ndef clamp(*a): return 1", "passes_trivial"),
    ],
)
def test_what_is_wrong_with_a_problem_is_named(tests, reference, reason):
    found = judged(tests, reference, threshold=0.9)
    assert (found.outcome, found.reason) == (Outcome.INCORRECT, reason), found


def test_a_reference_that_is_right_by_chance_is_flaky():
    coin = "import os\ndef clamp(x, lo, hi):\n    return max(lo, min(x, hi)) + (os.urandom(1)[0] > 127)\n"
    reasons = {judged(GOOD[:1], coin, mutants=0).reason for _ in range(24)}
    assert "flaky" in reasons


def test_a_fault_that_changes_nothing_is_not_held_against_the_tests():
    # x < lo and x <= lo give the same clamp, whatever the tests
    assert judged(GOOD, CLAMP, mutants=1).score in (None, 1.0)


def test_without_a_reference_trivial_programs_are_tried():
    assert judged(GOOD, "").reason == "sound"
    assert judged(["assert clamp(1, 1, 1) == 1"], "").reason == "passes_trivial"


def test_programs_over_standard_input_are_tried_too():
    config = sanity({"time_limit": 1.0}).config

    def reason(cases, reference):
        return check(Candidate("p", reference, spec={"cases": cases}), config).reason

    double = "n = int(input())\nprint(n * 2)"
    assert reason([["2", "4"], ["-3", "-6"]], double) == "sound"
    assert reason([["2", "4"]], double) == "passes_trivial"
    assert reason([["2", ""]], "input()") == "passes_trivial"
    assert reason([["2", "4"], ["-3", "6"]], double) == "gold_fails"


def test_a_mutant_differs_in_one_place_and_is_the_same_each_time():
    made = mutants(CLAMP, 100)
    assert made == mutants(CLAMP, 100)
    assert len(made) == len(set(made)) >= 6
    for mutant in made:
        compile(mutant, "m", "exec")
        pairs = list(zip(mutant.splitlines(), CLAMP.splitlines(), strict=True))
        assert sum(one != other for one, other in pairs) == 1
    assert len(mutants(CLAMP, 3)) == 3
    assert mutants("not python(", 5) == []


def test_hidden_inputs_are_new_and_of_the_same_types():
    known = [[3, "abc", [1.5, 2.5]], [4, "", []]]
    found = hidden_inputs(known, 15)
    assert found == hidden_inputs(known, 15)
    assert len(found) == 15
    for arguments in found:
        assert arguments not in known
        assert [type(one) for one in arguments] == [int, str, list]
    assert hidden_inputs([], 5) == hidden_inputs([[]], 5) == []


def test_a_changed_value_keeps_its_type():
    import random

    chance = random.Random(1)
    for value in (True, 3, 2.5, "ab", [1, 2], (1, "a"), {"k": 1}, None):
        assert type(changed(value, chance)) is type(value)
