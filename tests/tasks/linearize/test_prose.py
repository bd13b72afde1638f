"""Streams in paragraphs: whatever the steps say, the text parses back to the visited path (§2.7, §2.20, §2.21, §C.4)."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.tasks.linearize.conftest import STEPS, text_domain, trees

from tracemill.schemas.enums import NodeStatus, SegmentKind
from tracemill.schemas.errors import DataError
from tracemill.tasks.domains.text import Thoughts
from tracemill.tasks.linearize import astro, condensed, interleaved, journey, phrases, stream_of_search
from tracemill.tasks.linearize.base import Untellable, visited_path
from tracemill.tasks.linearize.fit import dead_subtrees, fit, tell
from tracemill.tasks.linearize.prose import escaped, failing_ids, parse, plain
from tracemill.tasks.search.tree import Node, Plot, Tree

ALL = [journey.LINEARIZER, astro.LINEARIZER, interleaved.LINEARIZER, condensed.LINEARIZER]
DOMAIN = text_domain()


class Symbolic:
    """A domain whose root says something."""

    name = "countdown"

    def show(self, state):
        return '62:[40, "8\n\n3"]'


every = pytest.mark.parametrize("linearizer", ALL, ids=lambda one: one.name)


@given(step=STEPS)
def test_any_step_is_one_paragraph_and_is_read_back(step):
    said = escaped(step)
    assert "\n\n" not in said
    assert said != ""
    assert "\n" not in (said[0], said[-1])
    assert plain(said) == step


@every
@pytest.mark.parametrize("domain", [DOMAIN, Symbolic()], ids=["text", "symbolic"])
@given(tree=trees(), options=st.fixed_dictionaries({}, optional={"reasons": st.just("all"), "loss": st.just("all")}))
@settings(deadline=None)
def test_every_stream_parses_back_to_the_visited_path(linearizer, domain, tree, options):
    if options.get("reasons"):
        options = {**options, "reasons": dict.fromkeys(tree.nodes, "it says\n\n7 = 8. " + phrases.RETURNS[0])}
    stream = linearizer.write(tree, domain, options=options)
    assert linearizer.parse(stream.text) == visited_path(tree, stream)
    spans = [(s.start, s.end) for s in stream.segments]
    assert (spans[0][0], spans[-1][1]) == (0, len(stream.text))
    assert all(a[1] == b[0] for a, b in pairwise(spans))
    assert stream.segments[-1].kind is SegmentKind.FINAL
    assert tree.nodes[stream.segments[-1].node_id].goal
    assert all(s.start < s.end for s in stream.segments)


@every
@given(tree=trees())
@settings(deadline=None)
def test_the_way_to_the_goal_is_told_once_in_order_and_every_excursion_ends_wrong(linearizer, tree):
    stream = linearizer.write(tree, DOMAIN)
    way = [node.node_id for node in tree.best_leaf.lineage()[1:]]
    places = parse(stream.text)
    steps = [i for a, b, i in zip(((), *places), places, stream.told, strict=False) if len(b) > len(a)]
    assert [node_id for node_id in steps if node_id in way] == way
    failing = failing_ids(tree)
    wins = {n.node_id for goal in tree.goals() for n in goal.lineage()}
    assert all(node_id in failing for node_id in steps if node_id not in wins)


@every
@given(tree=trees(), skipped=st.data())
@settings(deadline=None)
def test_skipped_subtrees_are_not_told(linearizer, tree, skipped):
    whole = linearizer.write(tree, DOMAIN)
    dead = dead_subtrees(whole, tree)
    skip = frozenset(skipped.draw(st.lists(st.sampled_from(dead), unique=True))) if dead else frozenset()
    stream = linearizer.write(tree, DOMAIN, skip=skip)
    assert linearizer.parse(stream.text) == visited_path(tree, stream)
    assert not skip & {n.node_id for i in stream.told for n in tree.nodes[i].lineage()}


@every
@given(tree=trees(steps=st.text("abc ", min_size=1, max_size=30)), share=st.floats(0.05, 1.0))
@settings(deadline=None)
def test_a_stream_fits_or_is_a_drop(linearizer, tree, share):
    whole = linearizer.write(tree, DOMAIN)
    most = int(len(whole.text) * share)
    bare = linearizer.write(tree, DOMAIN, skip=frozenset(dead_subtrees(whole, tree)))
    if len(bare.text) > most:
        with pytest.raises(Untellable, match="too_long"):
            fit(linearizer, tree, DOMAIN, most)
        return
    stream = fit(linearizer, tree, DOMAIN, most)
    assert len(stream.text) <= most
    assert linearizer.parse(stream.text) == visited_path(tree, stream)
    assert tree.nodes[stream.told[-1]].goal


@every
def test_a_tree_without_a_goal_has_no_stream(linearizer):
    tree = Tree(Plot("p_1", "m_1", "t", {}, 0), Thoughts())
    with pytest.raises(Untellable, match="no_goal"):
        linearizer.write(tree, DOMAIN)


def small() -> Tree[Thoughts]:
    """Root -> a -> (x: wrong, b -> right), root -> y -> z: wrong."""
    tree: Tree[Thoughts] = Tree(Plot("p_1", "m_1", "t", {}, 0), Thoughts())

    def add(parent, step, status=NodeStatus.EXPANDED):
        node = Node(Thoughts((*parent.state.steps, step)), step, status=status)
        if status in (NodeStatus.DEAD, NodeStatus.GOAL):
            node.reward = node.value = float(status is NodeStatus.GOAL)
        tree.link(parent, node, step)
        return node

    y = add(tree.root, "Guess y.")
    add(y, "So 7.", NodeStatus.DEAD)
    a = add(tree.root, "Take a.")
    add(a, "So 9.", NodeStatus.DEAD)
    b = add(a, "Then b.")
    add(b, "So \\boxed{42}.", NodeStatus.GOAL)
    return tree


def shapes(stream):
    return [(s.kind.value, s.node_id) for s in stream.segments]


def test_a_journey_goes_astray_once_at_each_step_and_comes_back():
    stream = journey.write(small(), DOMAIN)
    assert stream.told == ("0,0", "0,0,0", "0", "0,1", "0,1,0", "0,1", "0,1,1", "0,1,1,0")
    assert shapes(stream) == [
        ("explore_bad", "0,0"),
        ("explore_bad", "0,0,0"),
        ("verify", "0,0,0"),
        ("marker", "0,0,0"),
        ("backtrack", "0"),
        ("explore_ok", "0,1"),
        ("explore_bad", "0,1,0"),
        ("verify", "0,1,0"),
        ("marker", "0,1,0"),
        ("backtrack", "0,1"),
        ("explore_ok", "0,1,1"),
        ("final", "0,1,1,0"),
    ]
    assert (stream.backtracks, stream.dead_ends) == (2, 2)
    wrong = [stream.text[s.start : s.end] for s in stream.segments if s.kind is SegmentKind.EXPLORE_BAD]
    assert not any(start <= stream.text.index(w) < end for w in wrong for start, end in stream.loss_spans)
    assert journey.write(small(), DOMAIN, options={"loss": "all"}).loss_spans == ((0, len(stream.text)),)


def test_a_journey_without_excursions_is_the_way_alone():
    stream = journey.write(small(), DOMAIN, options={"excursions": 0})
    assert stream.text == "Take a.\n\nThen b.\n\nSo \\boxed{42}."


def test_astro_goes_back_to_what_two_ends_share_and_names_it():
    stream = astro.write(small(), DOMAIN)
    assert stream.told == ("0,0", "0,0,0", "0", "0,1", "0,1,0", "0,1", "0,1,1", "0,1,1,0")
    back = [stream.text[s.start : s.end] for s in stream.segments if s.kind is SegmentKind.BACKTRACK]
    assert "the beginning" in back[0]
    assert 'step 1, "Take a.",' in back[1]


def test_a_quotation_of_another_step_is_not_accepted():
    text = astro.write(small(), DOMAIN).text
    with pytest.raises(DataError, match="does not begin so"):
        astro.LINEARIZER.parse(text.replace('step 1, "Take a."', 'step 1, "Take c."'))


@pytest.mark.parametrize(
    "text",
    [
        f"a\n\n{phrases.DOUBTS[0]} {phrases.RETURNS[0].format(step='step 1')}\n\nb",  # stands there already
        f"a\n\n{phrases.DOUBTS[0]} {phrases.RETURNS[0].format(step='the beginning')}",  # and then nothing
        f"a\n\n{phrases.WRONG[0]}\n\nb",  # goes on after a wrong end
        f"a\n\n{phrases.WRONG[0]}",
        "",
        'a\n\nWe start from "x".\n\nb',
    ],
)
def test_a_text_that_is_not_of_the_grammar_is_refused(text):
    if text == "":
        assert parse(" ") == (("",),)
        return
    with pytest.raises(DataError):
        parse(text)


def test_a_verify_block_stands_only_where_its_verdict_is_the_label():
    tree = small()
    critiques = {"0,1": ["Looks fine.", True], "0,1,1": ["No.", False], "0,1,0": ["9 is not it.", False]}
    stream = interleaved.write(tree, DOMAIN, options={"critiques": critiques})
    blocks = [stream.text[s.start : s.end] for s in stream.segments if s.kind is SegmentKind.VERIFY]
    assert any("Looks fine.\nVerdict: right" in block for block in blocks)
    assert any("9 is not it.\nVerdict: wrong" in block for block in blocks)
    assert "Verdict: wrong" not in stream.text[stream.text.index("Then b.") :]
    assert interleaved.parse(stream.text) == visited_path(tree, stream)


def test_labels_come_from_goals_ends_and_playouts():
    node = Node(Thoughts())
    assert interleaved.label_of(node, frozenset({"0"})) is True
    assert interleaved.label_of(node, frozenset()) is None
    node.mc_k, node.mc_correct = 8, 0
    assert interleaved.label_of(node, frozenset()) is False
    node.mc_correct = 1
    assert interleaved.label_of(node, frozenset()) is True
    node.mc_k, node.mc_correct = 4, 0
    assert interleaved.label_of(node, frozenset()) is None


def test_condensed_keeps_the_answer_and_the_way():
    tree = small()
    raw = condensed.write(tree, DOMAIN, options={"share": 1.0})
    short = condensed.write(tree, DOMAIN, options={"share": 0.1})
    assert raw.text.count("So ") == 3
    assert short.text == "Take a.\n\nThen b.\n\nSo \\boxed{42}."
    some = condensed.write(tree, DOMAIN, options={"share": 0.75})
    assert len(short.text) < len(some.text) < len(raw.text)


def test_what_cannot_be_told_is_a_drop_with_its_reason():
    told = tell(small(), DOMAIN, ALL, most=20)
    assert told.streams == ()
    assert {(drop.detail, drop.reason) for drop in told.drops} == {
        (name, "too_long") for name in [one.name for one in ALL] + ["shortcut"]
    }


def test_each_stream_has_its_twin_beside_it():
    told = tell(small(), DOMAIN, [journey.LINEARIZER, stream_of_search.LINEARIZER])
    assert [stream.linearizer for stream in told.streams] == ["shortcut", "journey", "direct", "stream_of_search"]
    assert told.streams[0].text == "Take a.\n\nThen b.\n\nSo \\boxed{42}."


def test_no_phrase_is_in_more_than_a_tenth_of_the_rows_and_the_same_tree_has_the_same_ones():
    used: dict[str, int] = {}
    rows = 600
    for number in range(rows):
        tree = small()
        tree.plot = Plot(f"p_{number}", "m_1", "t", {}, 0)
        text = astro.write(tree, DOMAIN).text
        assert text == astro.write(tree, DOMAIN).text
        for bank in (phrases.DOUBTS, phrases.WRONG, phrases.RIGHT):
            for phrase in bank:
                used[phrase] = used.get(phrase, 0) + (phrase in text)
        for phrase in phrases.RETURNS:
            head, tail = phrase.split("{step}")
            used[phrase] = used.get(phrase, 0) + any(head in p and tail in p for p in text.split("\n\n"))
    assert max(used.values()) <= rows / 10


def test_banks_are_large_and_have_no_phrase_twice():
    for bank in (phrases.DOUBTS, phrases.RETURNS, phrases.WRONG, phrases.RIGHT):
        assert len(set(bank)) == len(bank) == 64
