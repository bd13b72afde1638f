"""Near-duplicates meet, templated problems do not, and neither order nor chance has a say (algorithms §3.2)."""

from __future__ import annotations

import random
import time
from collections import Counter

import numpy as np
import pytest
from datasketch import MinHash
from hypothesis import given
from hypothesis import strategies as st

from tracemill.schemas.recipe import SourceSpec
from tracemill.schemas.records import Problem
from tracemill.tasks.sources import load_problems
from tracemill.tasks.sources.clusters import BANDS, ROWS, cluster, shingles, signatures

LONG = (
    "a farmer walks to the market with a basket of ripe pears and sells them to her neighbours one by one all day long"
)


def problem(prompt: str, verifier: str = "answer") -> Problem:
    return Problem(prompt=prompt, verifier=verifier, source="test", gold="1")


def sets_of_similarity(s: float, size: int, rng: random.Random) -> tuple[list[str], list[str]]:
    """Two sets of ``size`` tokens each whose Jaccard similarity is as near to ``s`` as whole numbers allow."""
    both = round(2 * size * s / (1 + s))
    tokens = [f"{rng.getrandbits(64):x}" for _ in range(2 * size - both)]
    return tokens[:size], tokens[size - both :]


@pytest.mark.parametrize(
    ("s", "p"), [(0.5, 0.053), (0.6, 0.211), (0.7, 0.565), (0.72, 0.650), (0.8, 0.924), (0.9, 1.0)]
)
def test_two_prompts_meet_with_the_probability_of_section_3_2(s: float, p: float) -> None:
    rng = random.Random(17)
    pairs = [sets_of_similarity(s, 300, rng) for _ in range(600)]
    bands = signatures([tokens for pair in pairs for tokens in pair])
    met = sum(
        any(x == y for x, y in zip(bands[2 * i], bands[2 * i + 1], strict=True)) for i in range(len(pairs))
    ) / len(pairs)
    # four standard errors, and a little for whole numbers and the shared hash family
    assert abs(met - p) < 4 * np.sqrt(max(p * (1 - p), 0.002) / len(pairs)) + 0.02


def test_the_signatures_estimate_similarity_as_datasketch_does() -> None:
    rng = random.Random(5)
    for s in (0.3, 0.6, 0.9):
        ours, theirs = [], []
        for _ in range(20):
            one, other = sets_of_similarity(s, 200, rng)
            rows = [np.frombuffer(b"".join(bands), dtype=np.uint32) for bands in signatures([one, other])]
            ours.append(float(np.mean(rows[0] == rows[1])))
            hashes = [MinHash(num_perm=BANDS * ROWS) for _ in range(2)]
            for hashed, tokens in zip(hashes, (one, other), strict=True):
                hashed.update_batch([token.encode() for token in tokens])
            theirs.append(hashes[0].jaccard(hashes[1]))
        assert abs(np.mean(ours) - np.mean(theirs)) < 0.05
        assert abs(np.mean(ours) - s) < 0.04


def test_a_reworded_long_prompt_joins_and_another_does_not() -> None:
    problems = [problem(LONG), problem(LONG.replace("long", "short")), problem("quite another thing " * 8)]
    clusters = cluster(problems)
    ids = [p.problem_id for p in problems]
    assert clusters[ids[0]] == clusters[ids[1]] == min(ids[:2])
    assert clusters[ids[2]] == ids[2]


def test_prompts_with_different_numbers_are_different_however_alike_their_words() -> None:
    problems = [problem(f"{LONG} for {n} coins") for n in range(50)]
    assert len(set(cluster(problems).values())) == 50


def test_short_prompts_are_compared_whole() -> None:
    assert shingles(["one", "two"]) == ["one two"]
    assert shingles(list("abcdef")) == ["a b c d e", "b c d e f"]
    one, same, other = problem("Name a prime"), problem("name  a PRIME"), problem("Name an even prime")
    clusters = cluster([one, same, other])
    assert clusters[one.problem_id] == clusters[same.problem_id] != clusters[other.problem_id]


@given(st.permutations(range(12)))
def test_clusters_do_not_depend_on_the_order(order: list[int]) -> None:
    words = LONG.split()
    problems = [
        problem(" ".join([*words[: len(words) - i // 3], *["end"] * (i // 3)]) + " " + "ab" * (i % 3))
        for i in range(12)
    ]
    assert cluster([problems[i] for i in order]) == cluster(problems)


def test_no_problems_make_no_clusters() -> None:
    assert cluster([]) == {}


@pytest.mark.parametrize("family", ["chain_sum", "products", "knights_knaves", "family_relationships"])
def test_a_familys_shared_wording_does_not_make_one_cluster_of_it(family: str) -> None:
    loaded = load_problems([SourceSpec(kind="reasoning_gym", family=family, size=300)])
    largest = Counter(p.cluster_id for p in loaded.problems).most_common(1)[0][1]
    assert largest <= max(3, len(loaded.problems) // 50)


def test_ten_thousand_problems_cost_under_200_microseconds_each() -> None:
    rng = random.Random(3)
    words = LONG.split()
    problems = [problem(" ".join(rng.choice(words) for _ in range(45)) + f" {n}") for n in range(10_000)]
    start = time.process_time()
    clusters = cluster(problems)
    assert (time.process_time() - start) / len(problems) < 200e-6
    assert len(set(clusters.values())) == 10_000
