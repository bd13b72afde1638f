"""Every linearizer, on every domain, of every search: the text gives the visited path back, and its segments partition it."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tracemill.schemas.enums import SegmentKind
from tracemill.schemas.errors import DataError
from tracemill.tasks.linearize import stream_of_search
from tracemill.tasks.linearize.base import Linearizer, Untellable, visited_path
from tracemill.tasks.linearize.fit import fit, tell
from tracemill.tasks.linearize.registry import LINEARIZERS, build_linearizer
from tracemill.tasks.search.budget import Budgets
from tracemill.tasks.search.rows import edge_rows, node_rows, tree_of, tree_row
from tracemill.verifiers.stream_of_search import replay

SEARCHES = ("dfs", "bfs", "best_first", "beam", "dvts", "best_of_n", "guess_and_check", "mcts")
EACH = settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def check(linearizer, tree, domain, stream):
    assert linearizer.parse(stream.text) == visited_path(tree, stream)
    at = 0
    for segment in stream.segments:
        assert (segment.start, segment.start < segment.end) == (at, True)
        assert segment.node_id in tree.nodes
        at = segment.end
    assert at == len(stream.text)
    assert stream.segments[0].kind is SegmentKind.SETUP
    for start, end in stream.loss_spans:
        assert stream.segments[0].end <= start < end <= len(stream.text)
    if domain.name == "countdown" and linearizer.name in ("stream_of_search", "direct"):
        assert replay(stream.text).mistakes == ()


@pytest.mark.parametrize("name", sorted(LINEARIZERS))
@pytest.mark.parametrize("domain_name", ["countdown", "game24", "sudoku"])
@EACH
@given(
    seed=st.integers(0, 10_000), search=st.sampled_from(SEARCHES), merge=st.sampled_from(["none", "siblings", "states"])
)
def test_the_text_gives_the_visited_path_back(grow, name, domain_name, seed, search, merge):
    domain, tree = grow(domain_name, search, seed, merge=merge)
    linearizer = build_linearizer(name)
    with suppress(Untellable):
        check(linearizer, tree, domain, linearizer.write(tree, domain))


@EACH
@given(seed=st.integers(0, 10_000), search=st.sampled_from(SEARCHES), name=st.sampled_from(sorted(LINEARIZERS)))
def test_a_tree_from_its_rows_is_told_in_the_same_words(grow, seed, search, name):
    domain, tree = grow("countdown", search, seed)
    again = tree_of(tree_row(tree), node_rows(tree, domain.show), edge_rows(tree), domain.read)
    linearizer = build_linearizer(name)
    try:
        told = linearizer.write(tree, domain)
    except Untellable as reason:
        with pytest.raises(Untellable, match=str(reason)):
            linearizer.write(again, domain)
        return
    assert linearizer.write(again, domain) == told


@pytest.mark.parametrize("domain_name", ["countdown", "sudoku"])
@EACH
@given(seed=st.integers(0, 10_000), search=st.sampled_from(SEARCHES), share=st.floats(0.05, 1.0))
def test_a_shortened_stream_is_a_whole_search_that_is_told_right(grow, domain_name, seed, search, share):
    domain, tree = grow(domain_name, search, seed)
    for name in ("stream_of_search", "mcts_visits"):
        linearizer = build_linearizer(name)
        with suppress(Untellable):
            whole = linearizer.write(tree, domain)
            most = int(len(whole.text) * share)
            try:
                short = fit(linearizer, tree, domain, most)
            except Untellable:
                if tree.goals() and name == "stream_of_search" and search in ("dfs", "bfs"):
                    direct = build_linearizer("direct").write(tree, domain)
                    assert len(direct.text) > most
                continue
            assert len(short.text) <= most
            assert (short == whole) == (len(whole.text) <= most)
            check(linearizer, tree, domain, short)
            if tree.goals():
                assert short.text.endswith(whole.text.rpartition("\n")[0].rpartition("\n")[2] + "\n")
            if not tree.goals():
                assert short == whole


def test_a_search_that_was_cut_has_no_stream(grow):
    domain, tree = grow("countdown", "bfs", 3, budgets=Budgets(nodes=9))
    assert tree.status == "node_budget"
    for name in ("stream_of_search", "mcts_visits"):
        with pytest.raises(Untellable, match="search_cut"):
            build_linearizer(name).write(tree, domain)
    with pytest.raises(Untellable, match="unsolved"):
        build_linearizer("direct").write(tree, domain)


@pytest.mark.parametrize("name", ["stream_of_search", "direct", "mcts_visits"])
@pytest.mark.parametrize(
    "text", ["", "hello\n", "Moving to Node #0\n", "Current State: 1:[1], Operations: []\nMoving to Node #0,1\n"]
)
def test_text_that_no_linearizer_wrote_is_an_error_that_names_the_line(name, text):
    with pytest.raises(DataError):
        build_linearizer(name).parse(text)


def test_a_stream_that_does_not_parse_back_is_a_drop(grow):
    domain, tree = grow("sudoku", "best_first", 4)
    whole = stream_of_search.write(tree, domain)
    mangled = Linearizer(
        "mangled",
        lambda tree, domain, *, skip=frozenset(), options=None: replace(whole, text=whole.text.partition("\n")[0]),
        stream_of_search.parse,
    )
    assert tree.goals()
    told = tell(tree, domain, [mangled])
    assert [stream.linearizer for stream in told.streams] == ["direct"]
    assert [(drop.reason, drop.detail) for drop in told.drops] == [("unfaithful", "mangled")]
