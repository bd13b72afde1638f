"""Proofs by tactics over a toy environment: equal goals merge, failing tactics are no steps, only the verifier says proved (§2.16)."""

from __future__ import annotations

import pytest

from tracemill.schemas.enums import NodeStatus, Outcome, TreeStatus
from tracemill.schemas.errors import DataError
from tracemill.schemas.records import Problem
from tracemill.tasks.domains.base import Draw
from tracemill.tasks.domains.lean import Lean, Proof, mark
from tracemill.tasks.domains.lean_refute import is_refuted, refutation
from tracemill.tasks.domains.lean_tactics import FINISHING, Names, portfolio
from tracemill.tasks.linearize.base import Untellable, visited_path, winning_ids
from tracemill.tasks.linearize.registry import LINEARIZERS
from tracemill.tasks.search.best_first import BestFirst
from tracemill.tasks.search.budget import Budgets
from tracemill.tasks.search.drive import run, run_now
from tracemill.tasks.search.ends import REFUTED, dead_ends
from tracemill.tasks.search.growth import Growth, grown, plant
from tracemill.tasks.search.mcts import Mcts
from tracemill.tasks.search.rows import edge_rows, node_rows, tree_of, tree_row
from tracemill.tasks.search.tree import Plot
from tracemill.tasks.search.values import Own
from tracemill.verifiers.base import Candidate
from tracemill.verifiers.lean.tactics import TacticEnvironment, TacticOutcome, TacticState
from tracemill.verifiers.lean.verifier import check, verifier

PROBLEM = Problem("Prove it.", "lean", "test", spec={"statement": "theorem t (p q : Prop) (hp : p) : p ∧ (q ∨ p)"})
CONTEXT = "p q : Prop\nhp : p\n⊢ "


class Toy:
    """``constructor`` splits ∧, ``left`` and ``right`` choose, ``exact hp`` and ``assumption`` close p; all else fails."""

    def reset(self):
        pass

    def close(self):
        pass

    def start(self, statement, header=""):
        return TacticState(statement, header, (CONTEXT + "p ∧ (q ∨ p)",))

    def step(self, state, tactics):
        return [self._step(state, tactic) for tactic in tactics]

    def _step(self, position, tactic):
        first, *rest = position.goals
        target = first.rpartition("⊢ ")[2]
        after = {
            ("constructor", "p ∧ (q ∨ p)"): ["p", "q ∨ p"],
            ("left", "q ∨ p"): ["q"],
            ("right", "q ∨ p"): ["p"],
            ("assumption", "p"): [],
            ("exact hp", "p"): [],
        }.get((tactic, target))
        if tactic == "simp" and target == "p ∧ (q ∨ p)":
            after = [target]
        if after is None:
            return TacticOutcome(tactic, error="it fails")
        goals = (*(CONTEXT + goal for goal in after), *rest)
        if not goals:
            return TacticOutcome(tactic, done=True)
        tried = (*position.tactics, tactic)
        return TacticOutcome(tactic, TacticState(position.statement, "", goals, tried))


def domain(verify=lambda text: 1.0, **options):
    return Lean(Toy(), verify, **options)


def searched(walk, search, **options):
    tree = plant(walk, Plot("p_1", "m_1", search.name, {}, 3), walk.initial(PROBLEM), Budgets())
    return grown(search, Growth(walk, tree, merge="states", **options))


def test_best_first_finds_the_proof_and_the_verifier_sees_the_whole_theorem():
    seen = []

    def verify(text):
        seen.append(text)
        return 1.0

    tree = run_now(searched(domain(verify), BestFirst(by="logprob")))
    assert tree.status is TreeStatus.SOLVED
    (goal,) = tree.goals()
    assert goal.actions()[0] == "constructor"
    assert "right" in goal.actions()
    assert seen[-1].startswith(PROBLEM.spec["statement"] + " := by\n  constructor\n")
    assert {node.node_id for node in goal.lineage()} <= winning_ids(tree)


def test_what_the_verifier_refuses_is_no_proof():
    tree = run_now(searched(domain(lambda text: 0.0), BestFirst(by="logprob")))
    assert tree.goals() == []
    assert tree.status is TreeStatus.EXHAUSTED


def test_failing_tactics_and_those_that_change_nothing_are_no_steps():
    walk = domain()
    steps = walk.expand(walk.initial(PROBLEM), None, Draw(0))
    assert [step.action for step in steps] == ["constructor"]
    after = walk.expand(steps[0].state, None, Draw(0))
    assert len(after) == 1  # `assumption` and `exact hp` lead to the same goals


def test_a_search_that_may_try_no_more_says_so_and_calls_nothing_dead_that_it_did_not_try():
    walk = domain(lambda text: 0.0, budget=30)
    tree = run_now(searched(walk, BestFirst(by="logprob")))
    mark(tree, walk)
    assert tree.status is TreeStatus.CALL_BUDGET
    cut = [node for node in tree.nodes.values() if node.prune_reason == "calls"]
    assert cut
    assert not {node.node_id for node in cut} & dead_ends(tree).exhausted


class Refuting(Toy):
    """The toy, with a Lean that proves ``q`` false of all p, q and p's proof."""

    def step(self, state, tactics):
        if len(tactics) == 1 and tactics[0].startswith("focus"):
            if state.goals[0].endswith("⊢ q"):
                goals = ("refuted : ¬∀ (p q : Prop), p → q\n⊢ False", *state.goals[1:])
                return [TacticOutcome(tactics[0], TacticState(state.statement, "", goals, state.tactics))]
            return [TacticOutcome(tactics[0], error="no counterexample")]
        return super().step(state, tactics)


def test_a_state_with_a_counterexample_is_dead_and_says_why():
    walk = Lean(Refuting(), lambda text: 1.0)
    tree = run_now(searched(walk, BestFirst(by="logprob", stop_at_goal=False)))
    mark(tree, walk)
    (dead,) = [n for n in tree.nodes.values() if n.prune_reason == REFUTED]
    assert (dead.status, dead.state.goals[0].rpartition(" ")[2]) == (NodeStatus.DEAD, "q")
    assert dead_ends(tree).refuted == {dead.node_id}


def test_a_state_that_no_tactic_leads_on_from_is_dead():
    tree = run_now(searched(domain(), BestFirst(by="logprob", stop_at_goal=False)))
    dead = [n for n in tree.nodes.values() if n.status is NodeStatus.DEAD]
    assert [n.state.goals[0].rpartition(" ")[2] for n in dead] == ["q"]


def test_calls_are_never_more_than_allowed():
    walk = domain(budget=30)
    run_now(searched(walk, BestFirst(by="logprob")))
    assert walk.calls <= 30


def test_mcts_finds_it_too():
    tree = run_now(searched(domain(), Mcts(iterations=30, stop_at_goal=True), value=Own()))
    assert tree.status is TreeStatus.SOLVED
    assert all(0.0 <= n.value <= 1.0 for n in tree.nodes.values() if n.value is not None)


@pytest.mark.parametrize("name", sorted(LINEARIZERS))
def test_every_stream_of_a_proof_search_is_parsed_back(name):
    walk = domain()
    tree = run_now(searched(walk, BestFirst(by="logprob", stop_at_goal=False)))
    try:
        stream = LINEARIZERS[name].write(tree, walk)
    except Untellable as reason:
        pytest.fail(str(reason))
    assert LINEARIZERS[name].parse(stream.text) == visited_path(tree, stream)
    assert "constructor" in stream.text


def test_a_tree_is_stored_and_read_back():
    walk = domain()
    tree = run_now(searched(walk, BestFirst(by="logprob")))
    rows = tree_row(tree), node_rows(tree, walk.show), edge_rows(tree)
    again = tree_of(*rows, walk.read)
    assert (tree_row(again), node_rows(again, walk.show), edge_rows(again)) == rows


async def test_somebody_else_may_propose_tactics():
    async def propose(goals, k, draw):
        return [("constructor", -0.1), ("left", -2.0), ("right", -1.0), ("exact hp", -0.5), ("constructor", -0.1)]

    tree = await run(_engine_search(domain(propose=propose)))
    assert tree.status is TreeStatus.SOLVED
    assert tree.nodes["0,0"].parents[0].logprob == -0.1


def _engine_search(walk):
    return searched(walk, BestFirst(k=8, by="logprob"))


def test_a_rollout_ends_in_a_proof_or_nowhere():
    walk = domain()
    state = walk.initial(PROBLEM)
    rewards = {walk.rollout(state, Draw(seed)).reward for seed in range(20)}
    assert rewards == {0.0, 1.0}


def test_a_problem_without_a_statement_is_refused():
    with pytest.raises(DataError, match="no Lean statement"):
        domain().initial(Problem("Prove it.", "lean", "test"))


def test_a_state_is_read_back():
    walk = domain()
    state = Proof(("intro x", "cases h with | inl u => ?_"), ("a : Nat\n⊢ a = a",))
    assert walk.read(walk.show(state)) == state


def test_the_portfolio_without_finishing_tactics_has_none_of_them():
    goals = ("n m : Nat\nl : List Nat\nh : n = m ∧ p\n⊢ m = n",)
    with_them = [tactic for tactic, _ in portfolio(goals)]
    without = [tactic for tactic, _ in portfolio(goals, finishing=False)]
    assert with_them[: len(FINISHING)] == list(FINISHING)
    assert not any(word in tactic for tactic in without for word in FINISHING)
    assert "obtain ⟨hl, hr⟩ := h" in without
    assert "induction n with | zero => ?_ | succ n1 ih => ?_" in without
    assert "induction l with | nil => ?_ | cons a l1 ih2 => ?_" in without
    assert len(without) == len(set(without))
    elementary = [tactic for tactic, _ in portfolio(goals, finishing=False, simp=False)]
    assert set(elementary) < set(without)
    assert not any("simp" in tactic for tactic in elementary)


@pytest.mark.parametrize(
    ("target", "tactic"),
    [
        ("∀ (x y : Nat), x = y → ¬p", "intro x y h h1"),
        ("p ∧ q → r", "intro ⟨h1, h2⟩"),
        ("p ∨ q → r", "rintro (h | h)"),
        ("(p ↔ q) ∧ r", "constructor"),
        ("∃ x, x < n", "refine ⟨n, ?_⟩"),
        ("a ∧ b ∨ c", "rcases Classical.em (a ∧ b) with hc | hc"),
    ],
)
def test_tactics_fit_the_outermost_connective(target, tactic):
    found = [tactic for tactic, _ in portfolio((f"n : Nat\np q r : Prop\n⊢ {target}",), finishing=False)]
    assert tactic in found
    assert ("left" in found) == target.startswith("a")


def test_names_are_never_given_twice():
    goal = "h h1 : p\nn n1 ih : Nat\n⊢ q → n + n1 = ih"
    tactics = [tactic for tactic, _ in portfolio((goal,), finishing=False)]
    assert "intro h2" in tactics
    assert "induction n with | zero => ?_ | succ n2 ih1 => ?_" in tactics


def test_the_names_of_a_header_are_used():
    header = (
        "inductive Day where\n | a\n@[simp] def next (d : Day) : Day := d\ntheorem same (d : Day) : next d = d := rfl\n"
    )
    names = Names.of(header)
    assert names == Names(("next",), ("same",), ("Day",))
    tactics = [tactic for tactic, _ in portfolio(("d : Day\n⊢ next d = d",), finishing=False, names=names)]
    assert {"unfold next", "apply same", "cases d", "induction d"} <= set(tactics)
    assert "simp_all [next, same]" in dict(portfolio(("d : Day\n⊢ next d = d",), names=names))


@pytest.fixture(scope="module")
def prover():
    with TacticEnvironment() as made:
        yield made


@pytest.mark.lean
def test_the_real_lean_finds_a_proof_without_finishing_tactics_and_the_verifier_agrees(prover):
    config = verifier().config

    def verify(text):
        candidate = Candidate("s", f"```lean\n{text}\n```", spec=PROBLEM.spec)
        return float(check(candidate, config).outcome is Outcome.CORRECT)

    walk = Lean(prover, verify, finishing=False, simp=False)
    tree = run_now(searched(walk, BestFirst(by="logprob")))
    assert tree.status is TreeStatus.SOLVED
    assert tree.goals()[0].depth >= 2


@pytest.mark.lean
@pytest.mark.parametrize(
    ("statement", "false"),
    [
        ("(x : Nat) (h : x ≤ 1) : x = 0", True),
        ("(p q : Prop) (h : p ∨ q) : q", True),
        ("{α : Type} (p : α → Prop) (x y : α) (h : p x) : p y", True),
        ("{α : Type u} (a b : α) : a = b", True),
        ("{α : Type} [Add α] (a b : α) : a + b = b", True),
        ("(l : List Nat) : l = l.reverse", True),
        ("(a b c d : Nat) (h : a = b) (k : b = c + 1) : a = d", True),
        (": False", True),
        ("(x : Nat) (h : x ≤ 1) : x = 0 ∨ x = 1", False),
        ("(p q : Prop) (h : p ∧ q) : q", False),
        ("(a b c : Nat) : a + b + c = a + (b + c)", False),
        ("(n : Nat) (h : ∀ m : Nat, m = n) : False", False),
    ],
)
def test_the_real_lean_refutes_what_is_false_and_nothing_else(prover, statement, false):
    state = prover.start(f"theorem t {statement}")
    tactic = refutation(state.goals)
    (outcome,) = prover.step(state, [tactic]) if tactic is not None else (TacticOutcome("", error="nothing to try"),)
    assert (outcome.state is not None and is_refuted(state.goals, outcome.state.goals)) is false
    assert not outcome.done


@pytest.mark.lean
def test_the_real_lean_refutes_a_state_with_hidden_names_and_leaves_the_other_goals(prover):
    state = prover.start("theorem t : True ∧ ∀ (x : Nat) (h : x ≤ 1), x = 0")
    (outcome,) = prover.step(state, ["constructor; rotate_left; intros"])
    assert "✝" in outcome.state.goals[0]
    (refuted,) = prover.step(outcome.state, [refutation(outcome.state.goals)])
    assert is_refuted(outcome.state.goals, refuted.state.goals)
    assert refuted.state.goals[1:] == outcome.state.goals[1:]
