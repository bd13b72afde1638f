"""Similarity over tokens: in [0, 1], symmetric, the same as the plain definition."""

from __future__ import annotations

import re
from functools import cache
from itertools import chain

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracemill.tasks.mining.similarity import Alphabet, similarities, similarity

TEXTS = st.lists(st.sampled_from(["so", "3", "+", "4", "=", "7", "8", "x_1", "\n", "."]), max_size=12).map(" ".join)


def longest_common(a: list[str], b: list[str]) -> int:
    @cache
    def at(i: int, j: int) -> int:
        if i == len(a) or j == len(b):
            return 0
        return 1 + at(i + 1, j + 1) if a[i] == b[j] else max(at(i + 1, j), at(i, j + 1))

    return at(0, 0)


@given(TEXTS, TEXTS)
def test_it_is_one_less_the_share_of_tokens_to_delete_and_insert(one, other):
    """§2.23: 1 - d / (|y| + |y'|)."""
    a, b = (re.findall(r"\w+|[^\w\s]", text) for text in (one, other))
    common = longest_common(a, b)
    expected = 1.0 if not a and not b else 2 * common / (len(a) + len(b))
    assert similarity(one, other) == pytest.approx(expected)
    assert 0 <= similarity(one, other) <= 1
    assert similarity(one, other) == similarity(other, one)


@given(st.lists(st.text(st.sampled_from("ab1_ \n.+é²×中\x1c\x00\u3000\ud800\U0001f600")), max_size=8))
def test_tokens_are_words_and_marks_whatever_the_script(texts):
    alphabet = Alphabet()
    written = alphabet.write(texts)
    tokens = [re.findall(r"\w+|[^\w\s]", text) for text in texts]
    assert list(map(len, written)) == list(map(len, tokens))
    stands_for = dict(zip("".join(written), chain.from_iterable(tokens), strict=True))
    assert [[stands_for[character] for character in text] for text in written] == tokens
    assert len(set(stands_for.values())) == len(stands_for)


def test_golden_values():
    assert similarity("3 + 4 = 7", "3 + 4 = 8") == pytest.approx(0.8)
    assert similarity("one two", "three four") == 0
    assert similarity("a  b\n", "a b") == 1


@given(st.lists(st.tuples(TEXTS, TEXTS), min_size=1, max_size=5))
def test_many_at_once_are_the_same_as_one_by_one(pairs):
    alphabet = Alphabet()
    found = similarities(alphabet.write([a for a, _ in pairs]), alphabet.write([b for _, b in pairs]))
    assert found == pytest.approx([similarity(a, b) for a, b in pairs])


def test_tokens_beyond_the_surrogates_are_told_apart():
    alphabet = Alphabet()
    words = [f"w{i}" for i in range(60_000)]
    (written,) = alphabet.write([" ".join(words)])
    assert len(set(written)) == 60_000
    assert not any(0xD800 <= ord(c) < 0xE000 for c in written)
    other = Alphabet()
    (again,) = other.write([" ".join(reversed(words))])
    points = [np.array([ord(c) for c in text]) for text in (written, again)]
    assert (alphabet.hashes()[points[0]] == other.hashes()[points[1]][::-1]).all()
