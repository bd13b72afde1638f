"""The compiled streams are, byte for byte, those of the searches and the linearizer."""

from __future__ import annotations

import pytest

from tracemill.tasks.domains.countdown_instances import drawn, split_targets
from tracemill.tasks.linearize import stream_of_search
from tracemill.tasks.linearize.base import visited_path
from tracemill.tasks.linearize.bulk import instances, streams
from tracemill.tasks.linearize.mixture import mixed_of, searched
from tracemill.tasks.search.rows import tree_row

TRAIN = split_targets(4).train


@pytest.fixture(scope="module")
def chunk():
    (first,) = streams(seed=11, count=200, targets=TRAIN)
    return first


def test_every_stream_is_that_of_the_searched_tree(chunk):
    rows = chunk.streams.to_pylist()
    trees = chunk.trees.to_pylist()
    problems = chunk.problems
    for index in range(200):
        mixed = drawn(11, index, TRAIN)
        domain, tree = searched(mixed, problems[index].problem_id)
        stream = stream_of_search.write(tree, domain)
        expected = stream.row(tree.tree_id, tree.status == "solved")
        assert rows[index] == expected
        row = trees[index]
        assert row == tree_row(tree)


def test_instances_alone_are_those_that_are_told(chunk):
    found = list(instances(11, 200, TRAIN, chunk=64))
    assert found == [drawn(11, index, TRAIN).state for index in range(200)]


def test_chunks_do_not_change_the_streams(chunk):
    cut = list(streams(seed=11, count=200, targets=TRAIN, chunk=64))
    assert [c.streams.num_rows for c in cut] == [64, 64, 64, 8]
    assert [t for c in cut for t in c.streams["text"].to_pylist()] == chunk.streams["text"].to_pylist()


def test_a_stream_does_not_depend_on_where_the_count_starts(chunk):
    (tail,) = streams(seed=11, count=50, first=150, targets=TRAIN)
    assert tail.streams["text"].to_pylist() == chunk.streams["text"].to_pylist()[150:]


def test_the_nodes_that_are_left_out_are_rebuilt_from_the_tree_and_its_problem(chunk):
    for index, row in enumerate(chunk.trees.to_pylist()[:60]):
        problem = chunk.problems[index]
        domain, tree = searched(mixed_of(row, problem), problem.problem_id)
        assert tree.tree_id == row["tree_id"]
        stream = stream_of_search.write(tree, domain)
        assert stream.text == chunk.streams["text"][index].as_py()
        explored = [n for n in tree.nodes.values() if n.status != "rejected"]
        assert len(explored) - 1 == chunk.explored[index]
        assert visited_path(tree, stream) == stream_of_search.parse(stream.text)
