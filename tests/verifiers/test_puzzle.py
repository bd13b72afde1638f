import pytest

from tracemill.schemas.enums import Outcome
from tracemill.verifiers.base import Candidate
from tracemill.verifiers.pool import verify_all
from tracemill.verifiers.puzzle import check, harmless
from tracemill.verifiers.registry import build_verifier

reasoning_gym = pytest.importorskip("reasoning_gym")


def puzzle(family, index=0, seed=1, size=3, **options):
    entry = reasoning_gym.create_dataset(family, seed=seed, size=size, **options)[index]
    return {"family": family, "options": options, "seed": seed, "index": index, "size": size}, entry


def judged(spec, response, gold=None, finish_reason="stop"):
    return check(Candidate("a", response, gold, spec, finish_reason=finish_reason), {})


@pytest.mark.parametrize(
    "family", ["chain_sum", "basic_arithmetic", "products", "countdown", "propositional_logic", "letter_counting"]
)
def test_the_family_s_own_scorer_decides(family):
    spec, entry = puzzle(family, index=1)
    if entry["answer"] is None:
        pytest.skip("this family has no single answer")
    right = judged(spec, f"work\n<answer>{entry['answer']}</answer>", gold=entry["answer"])
    assert (right.outcome, right.score) == (Outcome.CORRECT, 1.0)
    wrong = judged(spec, r"\boxed{zzz}", gold=entry["answer"])
    assert wrong.outcome in (Outcome.INCORRECT, Outcome.UNPARSED)


def test_another_solution_than_the_gold_is_right_where_the_family_says_so():
    spec, entry = puzzle("countdown")
    other = f"({entry['answer']})"
    assert judged(spec, f"<answer>{other}</answer>", gold=entry["answer"]).outcome is Outcome.CORRECT


def test_the_way_a_number_is_written_does_not_matter():
    spec, entry = puzzle("products", min_digits=3, max_digits=3)
    written = f"\\boxed{{{int(entry['answer']):,}}}"
    assert judged(spec, written, gold=entry["answer"]).outcome is Outcome.CORRECT


def test_a_grid_is_read_from_a_fenced_block_or_as_the_whole_response():
    spec, entry = puzzle("sudoku", size=1)
    grid = entry["answer"]
    assert judged(spec, f"Here:\n```\n{grid}\n```\n", gold=grid).outcome is Outcome.CORRECT
    assert judged(spec, f"<think>hm</think>\n{grid}", gold=grid).outcome is Outcome.CORRECT
    assert judged(spec, f"<think>hm {grid}", gold=grid).outcome is Outcome.UNPARSED
    assert judged(spec, f"Here:\n```\n{grid}\n```\n", gold=grid, finish_reason="length").outcome is Outcome.UNPARSED


def test_a_gold_answer_that_is_not_the_entry_s_is_our_error():
    spec, _ = puzzle("chain_sum")
    assert judged(spec, r"\boxed{1}", gold="not it").outcome is Outcome.ERROR


@pytest.mark.parametrize("missing", ["family", "options", "seed", "index", "size"])
def test_an_incomplete_spec_is_our_error(missing):
    spec, entry = puzzle("chain_sum")
    del spec[missing]
    assert judged(spec, r"\boxed{1}", gold=entry["answer"]).outcome is Outcome.ERROR


def test_an_unknown_family_is_an_error_verdict():
    spec = {"family": "no_such", "options": {}, "seed": 0, "index": 0, "size": 1}
    (verdict,) = verify_all(build_verifier("puzzle"), [Candidate("a", r"\boxed{1}", None, spec)], 1)
    assert verdict.judgement.outcome is Outcome.ERROR


def test_a_scorer_that_praises_nonsense_is_not_believed():
    for index in range(3):
        spec, entry = puzzle("game_of_life_halting", index=index)
        assert judged(spec, "<answer>whatever</answer>", gold=str(entry["answer"])).outcome is not Outcome.CORRECT
        assert judged(spec, f"<answer>{entry['answer']}</answer>", gold=str(entry["answer"])).outcome is Outcome.CORRECT


EVALUATING = ["countdown", "puzzle24", "n_queens", "spiral_matrix", "binary_matrix", "string_insertion",
              "simple_integration", "polynomial_multiplication"]  # fmt: skip


@pytest.mark.parametrize("family", EVALUATING)
def test_no_answer_is_evaluated_as_code(family, tmp_path):
    spec, entry = puzzle(family)
    target = tmp_path / "pwned"
    for attack in (f"open('{target}', 'w')", f"[open('{target}', 'w')]", f"1+[open('{target}','w') for _ in [0]][0]",
                   f" \topen('{target}', 'w')", f"(lambda: open('{target}','w'))()"):  # fmt: skip
        found = judged(spec, f"<answer>{attack}</answer>", gold=entry["answer"])
        assert found.outcome is not Outcome.CORRECT
    assert not target.exists()


@pytest.mark.parametrize("family", EVALUATING)
def test_the_guard_lets_the_right_answer_through(family):
    spec, entry = puzzle(family)
    assert judged(spec, f"<answer>{entry['answer']}</answer>", gold=entry["answer"]).outcome is Outcome.CORRECT


@pytest.mark.parametrize(
    "text", ["9**9**9", "9**(9**9)", "1" * 5000, "x.y", "f(1)", "a[0]", "2**65", "[1]*9", "10**-99"]
)
def test_arithmetic_that_could_grow_is_refused(text):
    assert not harmless(text, "arithmetic")


@pytest.mark.parametrize("text", ["1+2*3", "(4 - x)**(3/2)/3 + C", "sin(x)*exp(-x)", "-7/2"])
def test_plain_arithmetic_is_let_through(text):
    assert harmless(text, "arithmetic")
