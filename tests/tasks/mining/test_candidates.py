"""Candidates: the near ones are found, the far ones are not compared, and the work is bounded."""

from __future__ import annotations

import random

import numpy as np

from tracemill.tasks.mining.candidates import POSTINGS, SLOTS, candidates, rank_within, sketches
from tracemill.tasks.mining.similarity import Alphabet


def words(rng: random.Random, count: int = 80) -> list[str]:
    return [f"w{rng.randrange(400)}" for _ in range(count)]


def sketch_of(texts: list[str]):
    alphabet = Alphabet()
    return sketches(alphabet.write(texts), alphabet)


def bits(count: int):
    return np.random.default_rng(0).integers(0, 2**63, count).astype(np.uint64)


def test_slots_agree_as_often_as_the_texts_are_alike():
    rng = random.Random(1)
    shares = []
    for _ in range(300):
        base = words(rng, 120)
        changed = list(base)
        for place in rng.sample(range(120), 8):
            changed[place] = "other"
        grams = [{tuple(text[i : i + 3]) for i in range(len(text) - 2)} for text in (base, changed)]
        jaccard = len(grams[0] & grams[1]) / len(grams[0] | grams[1])
        one, other = sketch_of([" ".join(base), " ".join(changed)])
        shares.append(((one == other).mean(), jaccard))
    measured, true = np.mean(shares, axis=0)
    assert abs(measured - true) < 0.02


def test_a_sketch_depends_on_the_text_alone():
    rng = random.Random(2)
    texts = [" ".join(words(rng, n)) for n in (1, 2, 3, 50, 90)]
    alone = np.concatenate([sketch_of([text]) for text in texts])
    assert (sketch_of(texts) == alone).all()
    assert (sketch_of(["", "a b c"])[0] == np.uint64(2**64 - 1)).all()


def test_the_nearest_right_attempt_is_found_for_each_wrong_one():
    rng = random.Random(3)
    bases = [words(rng) for _ in range(40)]
    texts = [" ".join(base) for base in bases] + [" ".join([*base[:40], "slip", *base[41:]]) for base in bases]
    group = np.zeros(80, np.int64)
    one, other, shared = candidates(sketch_of(texts), group, bits(80), np.arange(40), np.arange(40, 80), most=3)
    first = rank_within(one) == 0
    assert one[first].tolist() == list(range(40, 80))
    assert (one[first] - 40 == other[first]).all()
    assert (shared[first] > SLOTS / 2).all()
    assert np.bincount(one).max() <= 3


def test_groups_do_not_mix_and_a_stranger_still_gets_somebody():
    texts = ["a b c d e", "a b c d e f", "p q r s t", "nothing in common here at all"]
    one, other, shared = candidates(
        sketch_of(texts), np.array([1, 1, 2, 1]), bits(4), np.array([0, 2]), np.array([1, 3]), most=4
    )
    assert list(zip(one.tolist(), other.tolist(), strict=True)) == [(1, 0), (3, 0)]
    assert shared[1] == 0


def test_long_lists_are_read_in_part_and_evenly():
    """2,000 texts that all share every 3-gram: the work per wrong text is bounded, and all right ones are seen."""
    texts = ["the same words again and again"] * 2000
    one, other, _ = candidates(
        sketch_of(texts), np.zeros(2000, np.int64), bits(2000), np.arange(1000), np.arange(1000, 2000), most=10**6
    )
    assert np.bincount(one).max() <= POSTINGS * SLOTS
    assert len(np.unique(other)) > 950
