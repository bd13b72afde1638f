"""Which traces stand for a problem (algorithms §2.3)."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tracemill.tasks.views.diversity import EXCERPT, Item, choose, equations, excerpt, reasoning_key


def items(texts: list[str]) -> list[Item]:
    return [Item.of(f"t{index:04d}", index, text) for index, text in enumerate(texts)]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("He has <<3+4=7>>7 and <<7*2=14>>14.", ["3+4=7", "7*2=14"]),
        ("First 3 + 4 = 7. Then $7 \\times 2 = 14$.", ["3+4=7", "7times2=14"]),
        ("so x = 5 and y == 3", []),
        ("$1,200 / 4 = $300.", ["1,200/4=300"]),
        ("", []),
    ],
)
def test_equations_are_read_in_order_without_spaces(text: str, found: list[str]) -> None:
    assert equations(text) == found


def test_the_same_equations_are_the_same_reasoning_whatever_the_words() -> None:
    assert reasoning_key("Well, 3 + 4 = 7!") == reasoning_key("thus 3+4=7 apples")
    assert reasoning_key("3+4=7, 7+1=8") != reasoning_key("7+1=8, 3+4=7")


def test_a_number_beside_an_equation_is_no_part_of_it() -> None:
    assert equations("step 5 3+4=7") == ["3+4=7"]
    assert equations("1)3+4=7") == ["3+4=7"]
    assert reasoning_key("step 5 3+4=7") != reasoning_key("step 53+4=7")


def test_without_equations_the_words_decide_but_not_their_spacing() -> None:
    assert reasoning_key("It is  even.\n") == reasoning_key("it is even.")
    assert reasoning_key("It is even.") != reasoning_key("It is odd.")


def test_of_duplicates_the_one_farthest_from_the_others_is_kept() -> None:
    chosen, refused = choose(items(["aaaa 1+1=2", "zzzz qqqq 1+1=2", "aaaa 2+2=4"]), 10)
    assert chosen == ["t0001", "t0002"]
    assert [(r.trace_id, r.reason, r.detail) for r in refused] == [("t0000", "duplicate_reasoning", "as t0001")]


def test_the_cap_keeps_what_is_most_different() -> None:
    chosen, refused = choose(items(["aaaaaaaa", "aaaaaaab", "zzzzzzzz", "aaaaaabb"]), 2)
    assert chosen == ["t0000", "t0002"]
    assert {r.reason for r in refused} == {"over_cap"}


def test_a_long_text_is_excerpted_from_end_to_end() -> None:
    text = "".join(chr(97 + i * 26 // 5000) for i in range(5000))
    assert len(excerpt(text)) == EXCERPT
    assert excerpt(text)[0] == "a"
    assert excerpt(text)[-1] == "z"


@settings(deadline=None)
@given(
    texts=st.lists(st.text("ab1+2=3 ", max_size=20), max_size=14),
    cap=st.integers(1, 12),
    seed=st.randoms(use_true_random=False),
)
def test_no_key_twice_never_over_the_cap_nobody_lost_and_order_does_not_matter(texts, cap, seed) -> None:
    given_items = items(texts)
    chosen, refused = choose(given_items, cap)
    key = {item.trace_id: item.key for item in given_items}
    assert len(chosen) == min(cap, len(set(key.values())))
    assert len({key[trace] for trace in chosen}) == len(chosen)
    assert sorted([*chosen, *(r.trace_id for r in refused)]) == sorted(key)
    shuffled = list(given_items)
    seed.shuffle(shuffled)
    assert choose(shuffled, cap) == (chosen, refused)


def test_hostile_text_costs_no_more_than_its_length() -> None:
    before = time.process_time()
    for hostile in ("1+" * 20000 + "=", "((((1)+1)" * 4000 + "=3", "=" * 40000, "1=" * 20000):
        reasoning_key(hostile)
    assert time.process_time() - before < 2.0
