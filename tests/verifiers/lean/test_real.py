"""The verifier over a real Lean: nothing false is accepted, what is proved is, and memory stays flat. ``make test-lean``."""

import gzip
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
import cheats
import real

from tracemill.verifiers.base import Candidate
from tracemill.verifiers.canaries.lean import suite
from tracemill.verifiers.lean import backend as backends
from tracemill.verifiers.lean import choose, verifier
from tracemill.verifiers.lean.process import LeanProcess
from tracemill.verifiers.lean.snippet import snippet_of
from tracemill.verifiers.lean.tactics import TacticEnvironment
from tracemill.verifiers.pool import verify_all

pytestmark = pytest.mark.lean


@pytest.fixture(scope="module")
def lean():
    """``lean(response, statement, header)``: the judgement by one Lean process that the module shares."""
    built = verifier.verifier({"time_limit": 10.0, "backend": "embedded"})
    verifier.prepare(built.config)
    (session,) = verifier._SESSIONS.values()

    def run(response, statement, header=""):
        verifier.prepare(built.config)
        return verifier.check(Candidate("s", response, spec={"statement": statement, "header": header}), built.config)

    run.process = session.reader
    yield run
    session.reader.close()
    session.judge.close()


@pytest.mark.parametrize("klass", cheats.CLASSES)
def test_no_cheat_passes(lean, klass):
    accepted, ours = [], []
    for row in cheats.CLASSES[klass]:
        judgement = lean(*real.task(row, cheats.FALSE))
        if judgement.outcome == "correct":
            accepted.append(row[0])
        if judgement.outcome == "error":
            ours.append((row[0], judgement.reason))
    assert (accepted, ours) == ([], [])
    assert not Path("/tmp/tracemill_pwned").exists()


def test_proofs_of_every_kind_pass(lean):
    refused = []
    for row in cheats.PROOFS:
        judgement = lean(*real.task(row, cheats.FALSE))
        if judgement.outcome != "correct":
            refused.append((row[0], judgement.reason, judgement.evidence.get("messages")))
    assert refused == []


def test_the_labelled_cases_are_all_judged_right(lean):
    rows = [json.loads(line) for line in real.shared("cases", "lean.jsonl").read_text(encoding="utf-8").splitlines()]
    wrong = []
    for row in rows:
        judgement = lean(row["proof"], row["statement"])
        if (judgement.outcome == "correct") != (row["must_be"] == "accept"):
            wrong.append((row["name"], judgement.outcome, judgement.reason))
    assert len(rows) >= 45
    assert wrong == []
    assert not Path("/tmp/lean_pwned").exists()


def test_the_canaries_pass(lean):
    shown = [
        (canary, lean(canary.candidate.response, canary.candidate.spec["statement"])) for canary in suite().canaries
    ]
    assert [c.name for c, judgement in shown if (judgement.outcome == "correct") != c.good] == []


#: Pieces that are no theorem, or that this build cannot check, each with its reason.
REASONS = {"is not a proposition": "an example that is data"}


def core_only():
    """(row, response, statement, header) of what has one theorem and a proof."""
    with gzip.open(real.shared("datasets", "lean_core_only", "checked.jsonl.gz"), "rt", encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    for row in rows:
        if row["status"] != "complete":
            continue
        if row.get("statement"):
            name = re.search(r"theorem (\S+)", row["lean"])[1]
            yield row, row["lean"], f"theorem {name} {row['statement']}", ""
        elif (snippet := snippet_of(row["lean"])) is not None:
            yield row, snippet.proof, snippet.statement, snippet.header


def test_real_theorems_are_accepted_and_those_on_axioms_of_their_own_are_not(lean):
    accepted, listed, refused, on_axioms = 0, [], [], []
    for row, response, statement, header in core_only():
        judgement = lean(response, statement, header)
        if re.search(r"^axiom\b", row["lean"], re.MULTILINE):
            on_axioms.append((row["id"], judgement.outcome, judgement.reason))
        elif judgement.outcome == "correct":
            accepted += 1
        elif any(text in judgement.reason for text in REASONS):
            listed.append((row["id"], judgement.reason))
        else:
            refused.append((row["id"], judgement.outcome, judgement.reason))
    total = accepted + len(listed) + len(refused)
    print(f"\n{accepted} of {total} accepted; listed: {listed}; refused: {refused}; axioms of their own: {on_axioms}")
    assert accepted >= 150
    assert accepted / total >= 0.98
    assert [row for row in on_axioms if row[1] == "correct"] == []


def test_a_header_s_axiom_is_no_axiom_of_mathematics(lean):
    judgement = lean("h.elim", cheats.FALSE, "axiom h : False")
    assert judgement.outcome == "incorrect"
    assert "uses h" in judgement.reason


def test_a_module_that_is_not_there_is_whose_header_asks_for_it(lean):
    ours = lean("rfl", "theorem target : 1 = 1", "import Mathlib")
    assert (ours.outcome, "no such module" in ours.reason) == ("error", True)
    theirs = lean("import Std.Nothing\ntheorem target : 1 = 1 := rfl", "theorem target : 1 = 1")
    assert theirs.outcome == "incorrect"


def test_evidence_has_the_goals_and_the_place_of_the_first_error(lean):
    judgement = lean("by\n  intro h\n  have : n = n := rfl\n  omega", "theorem target (n : Nat) : n < 5 → n < 4")
    error = judgement.evidence["first_error"]
    assert (error["line"], error["column"]) == (4, 2)
    assert "⊢ n < 4" in error["goals"]
    assert "this : n = n" in error["goals"]
    assert judgement.evidence["messages"][0]["line"] == 4


def test_memory_is_flat_over_a_thousand_checks(lean):
    bodies = ["by omega", "by simp", "by grind", "by sorry", "by decide"]

    def some(count):
        for n in range(count):
            lean(bodies[n % 5], f"theorem target (a b : Nat) (h : a + {n} < b) : a + {n} + 1 ≤ b")
        return lean.process.resident()

    some(100)
    starts = lean.process.starts
    before, after = some(100), some(800)
    print(f"\n{before / 1e6:.0f} MB after 200 checks, {after / 1e6:.0f} MB after 1,000")
    assert lean.process.starts == starts
    assert after < before + 60e6


def test_a_pool_of_workers_gives_the_same_verdicts_in_order(lean):
    lean.process.close()  # at most two processes at once
    given = []
    for place in range(40):
        true = place % 3 != 0
        given.append(
            Candidate(
                str(place), "by decide", spec={"statement": f"theorem t : {place} {'=' if true else '≠'} {place}"}
            )
        )
    verdicts = verify_all(verifier.verifier({"backend": "embedded"}), given, workers=2)
    assert [verdict.subject_id for verdict in verdicts] == [str(place) for place in range(40)]
    assert [verdict.judgement.outcome == "correct" for verdict in verdicts] == [place % 3 != 0 for place in range(40)]
    assert {verdict.backend for verdict in verdicts} == {"lean-embedded 4.28.0-pre"}


# --- a process that reads declarations only: what a wholly forged elaborator could send it


@pytest.fixture(scope="module")
def judge():
    """``judge(certificate)``: what the second process makes of these declarations, for ``1 = 2``."""
    with LeanProcess(choose.backend("embedded"), verifier.policy()) as process:

        def run(certificate, statement=cheats.FALSE, header=""):
            request = {"cmd": "replay", "imports": ["Init"], "header": header, "statement": statement}
            return process.ask({**request, "axioms": list(verifier.AXIOMS), "certificate": certificate}, 20)

        run.process = process
        yield run


NAMES = [[0, "target"], [0, "Eq"], [0, "Nat"], [0, "OfNat"], [4, "ofNat"], [0, "instOfNatNat"], [0, "True"], [7, "intro"], [0, "h"], [0, "False"], [10, "elim"], [0, "sorryAx"]]  # fmt: skip
#: 0-15: 1 = 2 as the elaborator writes it; then True.intro, h, target, False
EXPRS = [
    ["c", 2, 1], ["c", 3], ["a", 0, 1], ["c", 5, 0], ["a", 3, 1], ["n", "1"], ["a", 4, 5], ["c", 6], ["a", 7, 5], ["a", 6, 8],
    ["n", "2"], ["a", 4, 10], ["a", 7, 10], ["a", 11, 12], ["a", 2, 9], ["a", 14, 13], ["c", 8], ["c", 9], ["c", 1], ["c", 10],
    ["c", 7], ["s", 0],
]  # fmt: skip
TYPE, INTRO, H, TARGET, NO, YES, PROP = 15, 16, 17, 18, 19, 20, 21


def made(*decls):
    return {"names": NAMES, "levels": [["s", 0]], "exprs": EXPRS, "decls": list(decls)}


def decl(kind, name, type_, value=None, **more):
    return {"k": kind, "n": name, "l": [], "t": type_, **({} if value is None else {"v": value}), **more}


FORGED = {
    "another value": [decl("theorem", 1, TYPE, INTRO)],
    "itself": [decl("theorem", 1, TYPE, TARGET)],
    "each other": [decl("theorem", 1, TYPE, H), decl("theorem", 9, TYPE, TARGET)],
    "an axiom": [decl("axiom", 1, TYPE)],
    "a lemma that is an axiom": [decl("axiom", 9, TYPE), decl("theorem", 1, TYPE, H)],
    "an opaque": [decl("opaque", 9, TYPE, INTRO), decl("theorem", 1, TYPE, H)],
    "another type": [decl("theorem", 1, YES, INTRO)],
    "a definition": [decl("def", 1, TYPE, INTRO, h=0)],
    "nothing": [],
    "another name": [decl("theorem", 9, YES, INTRO)],
    "an unknown constant": [decl("theorem", 1, TYPE, H)],
    "twice": [decl("theorem", 1, YES, INTRO), decl("theorem", 1, TYPE, INTRO)],
    "a new False": [decl("inductive", 10, PROP, p=0, a=[10], c=[[9, NO]]), decl("theorem", 1, TYPE, H)],
    "a new Eq": [decl("axiom", 2, YES), decl("theorem", 1, TYPE, INTRO)],
    "an inductive type with what it lacks": [decl("inductive", 1, TYPE, p=0, a=[1], c=[])],
    "a place out of range": [decl("theorem", 1, TYPE, 999)],
}


@pytest.mark.parametrize("name", FORGED)
def test_forged_declarations_are_refused(judge, name):
    answer = judge(made(*FORGED[name]))
    assert any(answer.get(key) != [] for key in ("axioms", "statement", "replay")), answer


def test_true_declarations_are_accepted_and_garbage_is_not(judge):
    true = judge(made(decl("theorem", 1, YES, INTRO)), "theorem target : True")
    assert [true[key] for key in ("axioms", "statement", "replay")] == [[], [], []]
    for garbage in (None, 3, [], {}, {"names": [1, [[]]], "exprs": [["?"], 3], "decls": [[], {"k": "theorem"}]}):
        assert judge(garbage)["statement"] != []


def test_a_proof_goes_from_one_process_to_the_other(judge):
    """Level ``replay_fresh_process`` on proofs of every kind, with the cheats that elaborate."""
    built = verifier.verifier({"backend": "embedded", "level": "replay_fresh_process", "time_limit": 20.0})
    verifier._SESSIONS.clear()
    session = verifier._session(built.config)
    session.judge.close()
    session.judge = judge.process  # no third process
    rows = [(row, True) for row in cheats.PROOFS]
    rows += [(row, False) for klass in ("sorry", "statement", "kinds") for row in cheats.CLASSES[klass]]
    wrong = []
    for row, good in rows:
        response, statement, header = real.task(row, cheats.FALSE)
        spec = {"statement": statement, "header": header}
        judgement = verifier.check(Candidate("s", response, spec=spec), built.config)
        if (judgement.outcome == "correct") != good:
            wrong.append((row[0], judgement.outcome, judgement.reason))
        elif good:
            assert judgement.evidence["level"] == "replay_fresh_process"
    session.reader.close()
    verifier._SESSIONS.clear()
    assert wrong == []


# --- the sandbox, with a hostile program in the server's place

HOSTILE = """module
public import Lean
public section
set_option compiler.small 0
def say (s : String) : IO Unit := do
  let o ← IO.getStdout
  o.putStr (s ++ "\\n")
  o.flush
def reads (what path : String) : IO Unit := do
  try
    let h ← IO.FS.Handle.mk path .read
    let _ ← h.getLine
    say ("did read " ++ what)
  catch _ => say ("no read " ++ what)
def writes (what path : String) : IO Unit := do
  try
    let h ← IO.FS.Handle.mk path .write
    h.putStr "x"
    h.flush
    say ("did write " ++ what)
  catch _ => say ("no write " ++ what)
public def main (_ : List String) : IO Unit := do
  reads "passwd" "/etc/passwd"
  reads "own" "SECRET"
  reads "environment" "/proc/self/environ"
  reads "lean" "/lean/manifest.json"
  writes "lean" "/lean/pwned"
  writes "server" "/server/pwned"
  writes "tmp" "/tmp/tracemill_pwned"
  writes "home" "/home/tracemill_pwned"
  try
    let c ← IO.Process.output { cmd := "/bin/sh", args := #["-c", "echo x > /tmp/tracemill_pwned"] }
    say (if c.exitCode == 0 then "did spawn" else "no spawn")
  catch _ => say "no spawn"
  match (← IO.getEnv "TRACEMILL_SECRET") with
  | some _ => say "did env"
  | none => say "no env"
  say "did end"
"""


def test_a_program_in_the_sandbox_reaches_nothing_of_the_host(tmp_path, monkeypatch):
    secret = tmp_path / "secret"
    secret.write_text("s")
    folder = tmp_path / "server"
    folder.mkdir()
    (folder / "Server.lean").write_text(HOSTILE.replace("SECRET", str(secret)))
    monkeypatch.setenv("TRACEMILL_SECRET", "s")
    monkeypatch.setattr(backends, "SERVER", folder)
    choose._embedded.cache_clear()
    hostile = choose.backend("embedded")
    choose._embedded.cache_clear()
    monkeypatch.undo()
    said = subprocess.run(
        backends.launcher(hostile.command, die_with_parent=True),
        env=backends.plain_environment(hostile.environment) | {"TRACEMILL_SECRET": "s"},
        cwd=hostile.folder,
        capture_output=True,
        text=True,
        timeout=200,
    ).stdout
    lines = dict(reversed(line.split(" ", 1)) for line in said.splitlines() if line.startswith(("did ", "no ")))
    assert lines == {
        "read passwd": "no", "read own": "no", "read environment": "no", "read lean": "did", "write lean": "no",
        "write server": "no", "write tmp": "did", "write home": "did", "spawn": "no", "env": "no", "end": "did",
    }, said  # fmt: skip
    assert not Path("/tmp/tracemill_pwned").exists(), "its /tmp is in its own memory"
    assert sorted(os.listdir(folder)) == ["Server.lean"]


# --- the tactic environment


def test_tactics_one_at_a_time_make_a_proof_that_the_verifier_accepts(lean):
    lean.process.close()
    statement = "theorem target (p q : Prop) (hp : p) (hq : q) : p ∧ q ∧ p"
    with TacticEnvironment(choose.backend("embedded")) as environment:
        start = environment.start(statement)
        assert start.goals == ("p q : Prop\nhp : p\nhq : q\n⊢ p ∧ q ∧ p",)
        tried = environment.step(
            start,
            ["constructor", "exact ⟨hp, hq, hp⟩", "exact hq", "sorry", "skip", "run_tac pure ()", "(", "simp_all"],
        )
        two = tried[0].state
        assert [goal.splitlines()[-1] for goal in two.goals] == ["⊢ p", "⊢ q ∧ p"]
        assert [o.done for o in tried] == [False, True, False, False, False, False, False, True]
        assert [o.error is not None for o in tried] == [False, False, True, True, False, True, True, False]
        assert tried[4].state.key == start.key
        again = environment.step(start, ["refine ⟨?_, ?_⟩", "apply And.intro"])
        assert again[1].state.key == two.key, "equal goals by another way are one state"
        assert again[0].state.goals[0].endswith("⊢ p")
        rest = environment.step(two, ["exact hp"])[0].state
        assert environment.step(rest, ["exact ⟨hq, hp⟩"])[0].done
        script = environment.script(statement, ["constructor", "exact hp", "exact ⟨hq, hp⟩"])
        cases = environment.step(
            environment.start("theorem t (n : Nat) : n = 0 ∨ 0 < n"), ["cases n with\n| zero => simp\n| succ m => simp"]
        )
        assert cases[0].done
        opened = environment.start("theorem t : f 1 = 2", "def f (n : Nat) := n + 1")
        assert environment.step(opened, ["rfl"])[0].done
        variables = environment.start("theorem t (h : n < m) : n ≤ m", "variable (n m : Nat)")
        assert environment.step(variables, ["exact Nat.le_of_lt h"])[0].done
    judgement = lean(script, statement)
    assert judgement.outcome == "correct"
