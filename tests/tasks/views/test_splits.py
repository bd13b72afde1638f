"""Splits are by problem cluster."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tracemill.tasks.views.splits import assign

rows = st.lists(
    st.tuples(st.integers(0, 30), st.integers(0, 8) | st.none(), st.sampled_from(["train", "validation", "test"])),
    unique_by=lambda row: row[0],
)


@given(rows=rows, share=st.floats(0, 0.99))
def test_no_cluster_is_in_two_splits_and_test_stays_test(rows, share) -> None:
    problems = [(f"p{p}", None if c is None else f"c{c}", split) for p, c, split in rows]
    split_of = assign(problems, share)
    clusters: dict[str, set[str]] = {}
    for problem, cluster, own in problems:
        clusters.setdefault(cluster or problem, set()).add(split_of[problem])
        assert own != "test" or split_of[problem] == "test"
    assert all(len(found) == 1 for found in clusters.values())


def test_a_share_of_the_clusters_is_set_aside_and_adding_problems_moves_none() -> None:
    problems = [(f"p{i}", f"c{i}", "train") for i in range(4000)]
    split_of = assign(problems, 0.1)
    aside = sum(split == "validation" for split in split_of.values())
    assert 320 < aside < 480
    fewer = assign(problems[:500], 0.1)
    assert all(split_of[problem] == split for problem, split in fewer.items())


def test_without_a_share_nothing_is_set_aside() -> None:
    assert set(assign([("p", None, "train"), ("q", "c", "train")], 0.0).values()) == {"train"}
