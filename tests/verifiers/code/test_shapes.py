"""Specs as shapes, values as data, outputs as words, answers as programs: the parts that decide without running anything."""

from __future__ import annotations

import ast
import collections
import decimal
import fractions
import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracemill.schemas.errors import UsageError
from tracemill.verifiers.code import expression, output, shapes
from tracemill.verifiers.code.inside.plain import BAD, DEPTH, Encoder, NotPlain, decode
from tracemill.verifiers.code.options import options_of
from tracemill.verifiers.code.program import program_of
from tracemill.verifiers.code.shapes import BadSpec, Calls, Cases, same, shape_of

ATOMS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(), st.binary(), st.fractions(),
    st.decimals(allow_nan=False), st.complex_numbers(allow_nan=False), st.integers(-99, 99).map(range),
)  # fmt: skip
HASHABLE = st.recursive(
    ATOMS, lambda inner: st.one_of(st.tuples(inner, inner), st.frozensets(inner, max_size=3)), max_leaves=4
)
VALUES = st.recursive(
    ATOMS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.tuples(inner), st.dictionaries(HASHABLE, inner, max_size=3), st.sets(HASHABLE, max_size=3),
        st.lists(inner, max_size=3).map(collections.deque),
    ),
    max_leaves=8,
)  # fmt: skip


def crossed(value):
    return decode(json.loads(json.dumps(Encoder().encode(value))))


@given(VALUES)
def test_data_comes_over_the_line_as_it_was(value):
    back = crossed(value)
    assert back == value
    assert type(back) is type(value)


@given(VALUES)
def test_what_is_sent_is_ascii_without_surprises(value):
    assert json.dumps(Encoder().encode(value)).isascii()


def test_a_subclass_is_read_through_its_built_in():
    class Liar(int):
        def __eq__(self, other):
            return True

        def __index__(self):
            raise AssertionError("called")

        __int__ = __repr__ = __str__ = __index__
        __hash__ = int.__hash__

    Pair = collections.namedtuple("Pair", "a b")
    assert (crossed(Liar(3)), type(crossed(Liar(3)))) == (3, int)
    assert crossed(Pair(1, 2)) == (1, 2)
    assert type(crossed(Pair(1, 2))) is tuple
    assert crossed(collections.Counter("aab")) == {"a": 2, "b": 1}
    assert crossed(collections.defaultdict(list, {1: [2]})) == {1: [2]}
    assert crossed(int) is int


@pytest.mark.parametrize(
    "value", [object(), lambda: 1, iter([]), {1: object()}, [[object]], type("T", (), {})(), Encoder]
)
def test_what_is_no_data_is_not_sent(value):
    with pytest.raises(NotPlain):
        Encoder().encode(value)


def test_depth_is_bounded_both_ways():
    deep: list = []
    for _ in range(DEPTH + 5):
        deep = [deep]
    with pytest.raises(NotPlain, match="deep"):
        Encoder().encode(deep)
    hostile: object = {"t": []}
    for _ in range(DEPTH + 50):
        hostile = [hostile, {"t": []}]
    with pytest.raises(BAD):
        decode(hostile)


@pytest.mark.parametrize(
    "message",
    [{"x": 1}, {}, {"i": "zz"}, {"i": 3}, {"h": 0}, {"t": 3}, {"d": [[1]]}, {"m": []}, {"s": [[1]]}, {"f": [1, 0]}, {"e": "x"}, {"k": "object"},
     {"k": "__import__"}, {"b": "0"}, {"c": [1]}, {"r": [1, 2, 0]}, {"t": 1, "s": 2}, {"d": [[[1], 2]]}],
)  # fmt: skip
def test_a_forged_message_is_no_value(message):
    with pytest.raises(BAD):
        decode(message)


@pytest.mark.parametrize(
    ("tests", "entry", "kind"),
    [
        ("assert f(1) == 2", None, Calls),
        (["assert f(1) == 2", "assert 3 == f(2)", "assert f(1, k=2) in (1, 2)"], None, Calls),
        ("def check(g):\n    assert g(1) == 2\n    assert True", "f", Calls),
        ("assert abs(f(1) - 0.5) < 1e-6\nassert not f(2)\nassert f(3) is None", None, Calls),
        ("assert set(f([1, 2])) == {1, 2}\nassert f('a' * 3, -1) == 10**6", None, Calls),
        ("for i in range(3):\n    assert f(i) == i", None, shapes.Tests),
        ("assert f(1) == f(1)", None, shapes.Tests),
        ("assert f(1) == g(1)", None, shapes.Tests),
        ("assert f(x) == 1", None, shapes.Tests),
        ("import math\nassert math.isclose(f(1), 1)", None, shapes.Tests),
        ("assert f(1) == 2, 'why'", None, Calls),
        ("assert f(1) is not 3", None, shapes.Tests),
        ("assert f(1) == 9 ** 9 ** 9", None, shapes.Tests),
        ("assert f(*[1]) == 1", None, shapes.Tests),
        ("assert f(1).x == 1", None, shapes.Tests),
    ],
)
def test_asserts_that_are_one_call_need_no_referee(tests, entry, kind):
    assert type(shape_of({"tests": tests, "entry_point": entry})) is kind


def test_the_function_that_is_tested_is_found_from_the_asserts():
    def entry(*tests):
        shape = shape_of({"tests": list(tests)})
        return shape.calls[0].target if isinstance(shape, Calls) else shape.entry

    assert entry("assert set(common((1,), (2,))) == set()", "assert sorted(common((1,), (1,))) == [1]") == "common"
    assert entry("assert sum(10, 15) == 6", "assert sum(100, 150) == 93") == "sum"
    assert entry("def near(a, b): return a == b\nassert near(f(1), 2)", "assert near(f(2), 3)") == "f"
    assert entry("from math import isclose\nassert isclose(f(1), 2)") == "f"
    assert entry("assert isinstance(f(1), int)", "assert all(f(n) for n in range(3))") == "f"
    assert entry("assert isinstance(Stack.size, int)") is None


@pytest.mark.parametrize(
    ("spec", "why"),
    [
        ({}, "neither"),
        ({"tests": "assert f(1) == 1", "cases": [["", ""]]}, "tests and cases"),
        ({"tests": "assert ("}, "cannot be read"),
        ({"tests": [1]}, "list of texts"),
        ({"tests": "def check(f): assert f(1)"}, "entry_point"),
        ({"calls": [{"args": [], "output": 1}]}, "entry_point"),
        ({"calls": [{"args": 1, "output": 1}], "entry_point": "f"}, "call 0"),
        ({"calls": [{"args": []}], "entry_point": "f"}, "call 0"),
        ({"cases": [["a"]]}, "case 0"),
        ({"cases": [{"input": 1, "output": "x"}]}, "not text"),
        ({"cases": {"inputs": ["a"], "outputs": []}}, "as many"),
        ({"tests": "assert f(1)", "entry_point": "f()"}, "no name"),
        ({"cases": [["", ""]], "tolerance": -1}, "tolerance"),
    ],
)
def test_a_spec_that_cannot_be_used_says_why(spec, why):
    with pytest.raises(BadSpec, match=why):
        shape_of(spec)


def test_cases_come_in_three_forms():
    pair = (("1\n", "2\n"),)
    for form in ([["1\n", "2\n"]], [{"input": "1\n", "output": "2\n"}], {"inputs": ["1\n"], "outputs": ["2\n"]}):
        shape = shape_of({"cases": form})
        assert isinstance(shape, Cases)
        assert shape.cases == pair


@pytest.mark.parametrize(
    ("value", "expected", "right"),
    [
        ((1, [2]), [1, [2]], True), ({1: 2}, {"1": 2}, True), ({"a": (1,)}, {"a": [1]}, True), (1.0, 1, True), ("1", 1, False),
        ([1, 2], [2, 1], False), ({1}, [1], False), (None, None, True), ([1], [1, 1], False), (0.1 + 0.2, 0.3, False),
    ],
)  # fmt: skip
def test_json_results_compare_as_python_does_but_for_tuples_and_keys(value, expected, right):
    assert same(value, expected) is right


def test_a_tolerance_is_for_numbers_alone():
    assert same([0.1 + 0.2, "a"], [0.3, "a"], 1e-9)
    assert not same([0.31], [0.3], 1e-3)
    assert not same(math.nan, 1.0, 0.5)
    assert not same(True, 1.0001, 0.1)


@pytest.mark.parametrize(
    ("printed", "expected", "right"),
    [
        ("1 2\n3\n", "1 2\n3", True), ("1  2 \r\n3\n\n\n", "1 2\n3", True), ("1.50", "1.5", True), ("1e3", "1000", True), (" 7", "7", True),
        ("1\n2 3", "1 2\n3", False), ("YES", "yes", False), ("1", "01x", False), ("", "0", False), ("\n1", "1", False), ("nan", "nan", True),
        ("0.30000000000000004", "0.3", False), ("1 2 3", "1 2", False), ("٣", "3", False), ("1_000", "1000", False), ("0x10", "16", False),
        ("1" * 500, "1" * 500, True), ("inf", "1e999", False),
    ],
)  # fmt: skip
def test_output_is_compared_word_by_word(printed, expected, right):
    assert (output.first_difference(printed, expected) is None) is right


def test_output_with_a_tolerance():
    assert output.first_difference("0.3333", "0.33333333", 1e-3) is None
    assert output.first_difference("1000.5", "1000.0", 1e-3) is None
    assert output.first_difference("0.34", "0.33333333", 1e-3) is not None


@given(st.text(max_size=200))
def test_any_output_equals_itself(text):
    assert output.first_difference(text, text) is None


FENCED = "First\n```python\ndef g(): pass\n```\nthen\n```python\ndef f(x):\n    return x\n```\nso:\n```python\nprint(f(1))\n```\n"


@pytest.mark.parametrize(
    ("response", "entry", "prompt", "holds", "how"),
    [
        (FENCED, "f", "", "return x", "fence"),
        (FENCED, None, "", "print(f(1))", "fence"),
        (
            "<think>```python\ndef f(x): return 0\n```</think>\n```\ndef f(x): return 1\n```",
            "f",
            "",
            "return 1",
            "fence",
        ),
        ("def f(x):\n    return x", "f", "", "return x", "whole"),
        ("    return x + 1\n", "f", "def f(x):\n    '''doc'''\n", "'''doc'''\n    return x + 1", "completion"),
        ("    return x + 1\n~~~~\n", "f", "def f(x):\n    'doc'\n", "return x + 1", "completion"),
        ("def f(x):\n    return x", "f", "import math\n\ndef f(x):\n    '''doc'''\n", "import math", "whole"),
        ("```cpp\nint f;\n```\n```py\ndef f(): return 3\n```", "f", "", "return 3", "fence"),
        ("~~~python\ndef f(): return 3\n~~~", "f", "", "return 3", "fence"),
        ("class Solution:\n    def f(self, x): return x", "f", "", "class Solution", "whole"),
    ],
)
def test_the_program_of_an_answer(response, entry, prompt, holds, how):
    found = program_of(response, entry, prompt)
    assert found.how == how
    assert holds in found.texts[0]


@pytest.mark.parametrize(
    ("response", "finish", "why"),
    [
        ("<think>def f(x): return x", "stop", "does not end"),
        ("```python\ndef f(x):\n    ret", "length", "cut"),
        ("The answer is forty-two, I think.", "stop", "no program"),
        ("  \n ", "stop", "empty"),
    ],
)
def test_an_answer_without_a_program(response, finish, why):
    found = program_of(response, "f", "", finish)
    assert found.texts == ()
    assert why in found.reason


@given(st.text(alphabet="`~ \npython<think>/def f():", max_size=400))
def test_any_answer_has_a_program_or_a_reason(text):
    found = program_of(text, "f")
    assert bool(found.texts) != (found.how == "none")


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os')",
        "f(1)",
        "x.y",
        "[i for i in (1,)]",
        "lambda: 1",
        "open('x')",
        "len.__class__",
        "f'{1}'",
        "(y := 1)",
    ],
)
def test_an_expression_is_worked_out_only_where_every_part_is_known(text):
    assert not expression.supported(ast.parse(text, mode="eval").body)


@pytest.mark.parametrize("text", ["9 ** 99999", "'a' * 10**9", "[0] * 10**8", "1 / 0", "{[]: 1}", "2 ** 4000 ** 2"])
def test_constants_have_bounds(text):
    with pytest.raises(expression.Unsupported):
        expression.constant(ast.parse(text, mode="eval").body)


def test_a_small_constant_works_out():
    assert expression.constant(ast.parse("10**6 + -3", mode="eval").body) == 999_997


@given(
    st.recursive(
        st.one_of(st.integers(-99, 99), st.booleans(), st.none(), st.text(max_size=3)),
        lambda i: st.one_of(st.lists(i), st.tuples(i)),
    )
)
def test_a_constant_is_what_python_says(value):
    assert expression.constant(ast.parse(repr(value), mode="eval").body) == value


@pytest.mark.parametrize(
    "given_",
    [{"speed": 1}, {"time_limit": 0}, {"memory": 1.5}, {"processes": 0}, {"packages": ["no_such_package_here"]}, {"without": ["walls"]}, {"packages": 3}, {"output": True}],
)  # fmt: skip
def test_a_wrong_option_is_refused(given_):
    with pytest.raises(UsageError):
        options_of(given_)


def test_decimals_and_fractions_keep_their_type():
    assert type(crossed(decimal.Decimal("1.50"))) is decimal.Decimal
    assert str(crossed(decimal.Decimal("1.50"))) == "1.50"
    assert crossed(fractions.Fraction(1, 3)) == fractions.Fraction(1, 3)
