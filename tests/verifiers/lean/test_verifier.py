import json
import pickle

import pytest

from tracemill.schemas.errors import UsageError
from tracemill.verifiers.base import EVIDENCE_BYTES, Candidate
from tracemill.verifiers.lean import choose, verifier
from tracemill.verifiers.lean.levels import ProofLevel
from tracemill.verifiers.registry import build_verifier


def said(**fields):
    return "SAY=" + json.dumps(fields, separators=(",", ":")).replace(" ", "\\u0020")


def test_a_clean_answer_is_correct_at_its_level(check_with):
    judgement = check_with("fine")
    assert judgement.outcome == "correct"
    assert judgement.evidence["level"] == "replay_same_process"
    assert (judgement.evidence["lean"], judgement.evidence["back_end"]) == ("9.9.9", "lean-embedded 9.9.9")
    assert judgement.answer == "fine"


@pytest.mark.parametrize(
    ("fields", "outcome", "level"),
    [
        (
            {"errors": True, "messages": [{"severity": "error", "line": 2, "column": 1, "text": "no"}]},
            "incorrect",
            "none",
        ),
        ({"axioms": ["t uses sorryAx"]}, "incorrect", "compiles"),
        ({"statement": ["t: has another type"]}, "incorrect", "axioms"),
        ({"replay": ["t: refused"]}, "incorrect", "pinned"),
        ({"blocked": {"what": "Lean.Parser.Command.eval", "line": 1, "column": 0}}, "unparsed", "none"),
        ({"stopped": "Lean.Parser.Command.exit"}, "unparsed", "none"),
        ({"stopped": "time"}, "timeout", "none"),
        ({"timeout": True}, "timeout", "none"),
        ({"timeout": True, "exception": "interrupted"}, "timeout", "none"),
        ({"problem": "no module Mathlib"}, "error", "none"),
        ({"exception": "ours"}, "error", "none"),
    ],
)
def test_each_failing_check_has_its_outcome_and_level(check_with, fields, outcome, level):
    judgement = check_with(said(**fields))
    assert (judgement.outcome, judgement.evidence["level"]) == (outcome, level)


@pytest.mark.parametrize("field", ["errors", "axioms", "statement", "replay"])
def test_a_check_that_was_not_made_is_never_a_pass(check_with, field):
    assert check_with(said(**{field: None})).outcome != "correct"


@pytest.mark.parametrize(
    ("word", "outcome"), [("HANG", "timeout"), ("STACK", "memory"), ("DIE", "error"), ("OTHER", "error")]
)
def test_a_lost_process_is_never_a_pass(check_with, word, outcome):
    assert check_with(word, time_limit=0.5).outcome == outcome


def test_a_level_above_what_was_reached_is_not_correct(check_with):
    assert check_with("fine", level="replay_fresh_process").evidence["level"] == "replay_fresh_process"
    refused = check_with(said(certificate={"bad": ["t: refused"]}), level="replay_fresh_process")
    assert (refused.outcome, refused.evidence["level"]) == ("incorrect", "replay_same_process")
    assert refused.evidence["replay"] == ["t: refused"]
    none = check_with(said(certificate=None), level="replay_fresh_process")
    assert none.outcome == "incorrect"


def test_a_lower_level_can_be_asked_for_and_is_recorded(check_with):
    judgement = check_with(said(replay=["not checked"]), level="pinned")
    assert (judgement.outcome, judgement.evidence["level"]) == ("correct", "pinned")


def test_positions_are_those_of_the_response(check_with):
    message = {"severity": "error", "line": 3, "column": 4, "text": "no"}
    error = {"line": 3, "column": 4, "goals": "⊢ False"}
    term = check_with("by skip\n  " + said(errors=True, messages=[message], first_error=error))
    assert term.evidence["messages"][0]["line"] == 2  # one line of statement is ours
    assert term.evidence["first_error"] == {"line": 2, "column": 4, "goals": "⊢ False"}
    whole = check_with("import Std\n\ntheorem t : True := " + said(errors=True, messages=[message]))
    assert whole.evidence["messages"][0]["line"] == 3


def test_an_import_of_the_response_s_own_that_is_not_there_is_its_own_failure(check_with):
    absent = said(problem="it has no such module: Std.Nothing")
    assert check_with(f"import Std.Nothing\ntheorem t : True := {absent}").outcome == "incorrect"
    assert check_with(f"theorem t : True := {absent}").outcome == "error"


def test_evidence_stays_small(check_with):
    messages = [{"severity": "error", "line": 1, "column": 0, "text": "é" * 5000}] * 20
    evidence = check_with(said(errors=True, messages=messages)).evidence
    assert len(json.dumps(evidence)) < EVIDENCE_BYTES


def test_a_header_of_the_submission_s_own_is_compared_as_a_whole(check_with):
    again = said(
        errors=True,
        messages=[
            {"severity": "error", "line": 1, "column": 0, "text": "`f`_has already been declared".replace("_", " ")}
        ],
    )
    judgement = check_with(f"theorem t : f = 1 := {again}", header="def f := 1")
    assert judgement.outcome == "incorrect"
    assert verifier._SESSIONS[next(iter(verifier._SESSIONS))].reader.requests == 2


@pytest.mark.parametrize(
    "spec", [{}, {"statement": ""}, {"statement": 3}, {"statement": "theorem t : True", "header": 3}]
)
def test_a_problem_without_its_inputs_is_an_error(spec):
    assert verifier.check(Candidate("s", "trivial", spec=spec), {}).outcome == "error"


@pytest.mark.parametrize(
    ("response", "reason"),
    [
        ("", "empty"),
        ("```lean\ntheorem t : True := trivial", "does not end"),
        ("<think>```lean\ntheorem t : True := trivial\n```", "thinking"),
        ("import Lean\ntheorem t : True := trivial", "import not allowed: Lean"),
        ("x" * 500_000, "longer"),
    ],
)
def test_what_gives_no_proof_is_unparsed(check_with, response, reason):
    judgement = check_with(response)
    assert judgement.outcome == "unparsed"
    assert reason in judgement.reason


@pytest.mark.parametrize(
    "options",
    [
        {"levle": "pinned"},
        {"level": "none"},
        {"level": "certain"},
        {"level": "second_checker"},
        {"backend": "other"},
        {"axioms": ["sorryAx"]},
        {"axioms": "propext"},
        {"commands": "any"},
    ],
)
def test_options_that_mean_nothing_are_refused(options, standin, monkeypatch):
    real = choose.backend
    monkeypatch.setattr(choose, "backend", lambda name, *a, **k: standin if name != "other" else real(name))
    with pytest.raises(UsageError):
        verifier.verifier(options)


def test_the_time_limit_reaches_the_check_and_the_verdict_s_identity(standin, monkeypatch):
    monkeypatch.setattr(choose, "backend", lambda *_, **__: standin)
    ten, twenty = build_verifier("lean", time_limit=10), build_verifier("lean", time_limit=20)
    assert (ten.config["time_limit"], ten.time_limit) == (10.0, 10.0)
    assert ten.config_hash != twenty.config_hash
    assert pickle.loads(pickle.dumps(ten)) == ten


def test_the_levels_are_a_ladder():
    assert [level.value for level in sorted(ProofLevel, key=lambda level: level.rank)][1:] == [
        "compiles", "axioms", "pinned", "replay_same_process", "replay_fresh_process", "second_checker",
    ]  # fmt: skip
    assert ProofLevel.SECOND_CHECKER.reaches(ProofLevel.PINNED)
    assert not ProofLevel.PINNED.reaches(ProofLevel.REPLAY_SAME_PROCESS)
