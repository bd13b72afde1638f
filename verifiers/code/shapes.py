"""What a problem asks of a program: calls with a check of each value, test text for the referee, or cases of bytes.

What must stay true: expected values are in these records only, never in a message to the program's process. A spec that
cannot be read is ``BadSpec``, which is our error and not the candidate's.
"""

from __future__ import annotations

import ast
import builtins
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final

from tracemill.verifiers.code.expression import HOLE, Unsupported, constant, evaluate, supported

CHECK: Final = "check"
#: Library modules that do things when imported.
_SILLY: Final = frozenset({"antigravity", "this", "turtle", "idlelib", "turtledemo"})


class BadSpec(Exception):
    """The problem's spec cannot be used; the message says why."""


@dataclass(frozen=True, slots=True)
class Call:
    """One call and what its value must be: ``test`` is an expression over HOLE, or ``expected`` a value to equal."""

    target: str
    args: Sequence[Any]
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    test: ast.expr | None = None
    expected: Any = None
    tolerance: float = 0.0
    source: str = ""

    @property
    def asks_truth(self) -> bool:
        """Whether the test looks at no more than the truth of the value."""
        test = (
            self.test.operand if isinstance(self.test, ast.UnaryOp) and isinstance(self.test.op, ast.Not) else self.test
        )
        return isinstance(test, ast.Name) and test.id == HOLE

    def holds(self, value: Any) -> bool:
        """Whether ``value``, which is plain data, is right. Raises what the test would raise."""
        if self.test is not None:
            return bool(evaluate(self.test, value))
        return same(value, self.expected, self.tolerance)


@dataclass(frozen=True, slots=True)
class Calls:
    calls: tuple[Call, ...]


@dataclass(frozen=True, slots=True)
class Tests:
    """Test text for the referee. ``wanted``: the names that it reads; ``modules``: those of them that it takes attributes
    of and never sets; ``check``: call ``check(entry)`` at its end."""

    texts: tuple[str, ...]
    entry: str | None
    setup: str
    wanted: tuple[str, ...]
    modules: tuple[str, ...]
    check: bool


@dataclass(frozen=True, slots=True)
class Cases:
    """(input, expected output) over standard input and output."""

    cases: tuple[tuple[str, str], ...]
    tolerance: float = 0.0


Shape = Calls | Tests | Cases


def shape_of(spec: Mapping[str, Any]) -> Shape:
    """The one shape that ``spec`` has: ``tests``, ``calls`` or ``cases``. Raises BadSpec."""
    given = [name for name in ("tests", "calls", "cases") if spec.get(name) not in (None, [], "")]
    if len(given) != 1:
        raise BadSpec(f"it has {' and '.join(given) or 'neither tests, calls nor cases'}; one of them is needed")
    entry = spec.get("entry_point") or None
    entry = entry.strip() if isinstance(entry, str) else entry
    if entry is not None and not (isinstance(entry, str) and all(part.isidentifier() for part in entry.split("."))):
        raise BadSpec(f"entry_point {str(entry)[:80]!r} is no name")
    tolerance = spec.get("tolerance") or 0.0
    if isinstance(tolerance, bool) or not isinstance(tolerance, int | float) or tolerance < 0:
        raise BadSpec("tolerance is not a number of at least 0")
    if given[0] == "tests":
        return _tests(spec["tests"], entry, spec.get("setup") or "")
    if given[0] == "calls":
        return _calls(spec["calls"], entry, float(tolerance))
    return _cases(spec["cases"], float(tolerance))


def _calls(rows: Any, entry: str | None, tolerance: float) -> Calls:
    if entry is None:
        raise BadSpec("calls need an entry_point")
    if not isinstance(rows, list):
        raise BadSpec("calls is not a list")
    found = []
    for number, row in enumerate(rows):
        if not isinstance(row, dict) or not {"args", "output"} <= set(row) or not isinstance(row["args"], list):
            raise BadSpec(f"call {number} is not an object with a list args and an output")
        kwargs = row.get("kwargs") or {}
        if not isinstance(kwargs, dict):
            raise BadSpec(f"the kwargs of call {number} are not an object")
        found.append(Call(entry, row["args"], kwargs, None, row["output"], tolerance, f"call {number}"))
    return Calls(tuple(found))


def _cases(rows: Any, tolerance: float) -> Cases:
    if isinstance(rows, dict) and isinstance(rows.get("inputs"), list) and isinstance(rows.get("outputs"), list):
        if len(rows["inputs"]) != len(rows["outputs"]):
            raise BadSpec("cases has not as many outputs as inputs")
        rows = [list(pair) for pair in zip(rows["inputs"], rows["outputs"], strict=True)]
    if not isinstance(rows, list):
        raise BadSpec("cases is not a list")
    found = []
    for number, row in enumerate(rows):
        pair = [row.get("input"), row.get("output")] if isinstance(row, dict) else row
        if not isinstance(pair, list | tuple) or len(pair) != 2:
            raise BadSpec(f"case {number} is neither {{input, output}} nor a list of two")
        texts = ["\n".join(map(str, part)) if isinstance(part, list) else part for part in pair]
        if not all(isinstance(text, str) for text in texts):
            raise BadSpec(f"the input and output of case {number} are not text")
        found.append((texts[0], texts[1]))
    return Cases(tuple(found), tolerance)


def _tests(tests: Any, entry: str | None, setup: Any) -> Shape:
    texts = (tests,) if isinstance(tests, str) else tests
    if not isinstance(texts, list | tuple) or not all(isinstance(text, str) for text in texts):
        raise BadSpec("tests is neither a text nor a list of texts")
    if not isinstance(setup, str):
        raise BadSpec("setup is not a text")
    return _parsed(tuple(texts), entry, setup)


@lru_cache(maxsize=1024)
def _parsed(texts: tuple[str, ...], entry: str | None, setup: str) -> Shape:
    try:
        trees = [ast.parse(text) for text in texts]
        nodes = [node for tree in (*trees, ast.parse(setup)) for node in ast.walk(tree)]
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise BadSpec(f"the tests cannot be read as Python: {error}") from error
    statements = [(tree, statement) for tree in trees for statement in tree.body]
    checks = [s for _, s in statements if isinstance(s, ast.FunctionDef) and s.name == CHECK]
    called = {CHECK for _, s in statements for n in ast.walk(s) if isinstance(n, ast.Call) and _name(n.func) == CHECK}
    check = bool(checks) and not called
    if check and entry is None:
        raise BadSpec("tests with a check function need an entry_point")
    own = entry or _inferred([s for _, s in statements], _bound(nodes))
    if not setup.strip():
        flat = _flat([s for _, s in statements], checks, own) if check else [(s, own) for _, s in statements]
        calls = None if flat is None else _as_calls(flat, own)
        if calls:
            return Calls(tuple(calls))
    wanted = {n.id for n in nodes if isinstance(n, ast.Name)}
    used = {n.value.id for n in nodes if isinstance(n, ast.Attribute) and isinstance(n.value, ast.Name)}
    return Tests(texts, own, setup, tuple(sorted(wanted)), tuple(sorted(used - _bound(nodes) - _SILLY)), check)


def _name(node: ast.expr) -> str | None:
    return node.id if isinstance(node, ast.Name) else None


def _flat(
    statements: Sequence[ast.stmt], checks: Sequence[ast.FunctionDef], entry: str | None
) -> list[tuple[ast.stmt, str | None]] | None:
    """The body of the one ``check`` function, each statement with the name it calls the program by; None if that is not all."""
    if len(checks) != 1 or len(checks[0].args.args) != 1 or checks[0].decorator_list:
        return None
    for statement in statements:
        if not (statement is checks[0] or _harmless(statement)):
            return None
    return [(statement, checks[0].args.args[0].arg) for statement in checks[0].body if not _harmless(statement)]


def _harmless(statement: ast.stmt) -> bool:
    """Constants that are assigned or stand alone, ``pass``, and asserts of a true constant: they test nothing."""
    match statement:
        case ast.Pass() | ast.Expr(value=ast.Constant()):
            return True
        case ast.Assert(test=ast.Constant(value=found)):
            return bool(found)
        case ast.Assign(targets=[ast.Name(id="METADATA")], value=value):
            return supported(value)
    return False


def _inferred(statements: Sequence[ast.stmt], own: set[str]) -> str | None:
    """The function that every assert calls: the program's, where the spec does not name it. ``own`` are the tests' names.

    A name of Python's is meant only where it is called with constants and no other name is there to be meant.
    """
    common: list[str] | None = None
    literal: set[str] = set()
    for statement in statements:
        if isinstance(statement, ast.Assert):
            calls = [n for n in ast.walk(statement.test) if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)]
            names = [name for call in calls if (name := _name(call.func)) is not None and name not in own]
            literal |= {_name(call.func) or "" for call in calls if call.args and all(map(_is_constant, call.args))}
            common = names if common is None else [name for name in common if name in names]
    foreign = [name for name in common or () if not hasattr(builtins, name)]
    return next(iter(foreign or [name for name in common or () if name in literal]), None)


def _is_constant(node: ast.expr) -> bool:
    try:
        constant(node)
    except Unsupported:
        return False
    return True


def _bound(nodes: Sequence[ast.AST]) -> set[str]:
    """The names that a text defines, imports or sets."""
    found = {n.name for n in nodes if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)}
    found |= {
        (a.asname or a.name).partition(".")[0]
        for n in nodes
        if isinstance(n, ast.Import | ast.ImportFrom)
        for a in n.names
    }
    return found | {n.id for n in nodes if isinstance(n, ast.Name) and not isinstance(n.ctx, ast.Load)}


class _Cut(ast.NodeTransformer):
    """Puts HOLE in the place of the calls of any of ``names``."""

    def __init__(self, names: set[str]) -> None:
        self.names = names
        self.calls: list[ast.Call] = []

    def visit_Call(self, node: ast.Call) -> ast.AST:
        if _name(node.func) in self.names:
            self.calls.append(node)
            return ast.copy_location(ast.Name(HOLE, ast.Load()), node)
        return self.generic_visit(node)


def _as_calls(statements: Sequence[tuple[ast.stmt, str | None]], entry: str | None) -> list[Call] | None:
    """Each assert as one call and an expression over its value; None where one is more than that."""
    found = []
    for statement, name in statements:
        if _harmless(statement):
            continue
        if not isinstance(statement, ast.Assert) or name is None or entry is None:
            return None
        source = ast.unparse(statement.test)
        cut = _Cut({name, entry})
        test = cut.visit(statement.test)
        if len(cut.calls) != 1 or not supported(test):
            return None
        call = cut.calls[0]
        try:
            args = [constant(argument) for argument in call.args]
            kwargs = {word.arg: constant(word.value) for word in call.keywords if word.arg is not None}
        except Unsupported:
            return None
        if len(kwargs) != len(call.keywords):
            return None
        found.append(Call(entry, args, kwargs, test, source=source))
    return found


def same(value: Any, expected: Any, tolerance: float = 0.0) -> bool:
    """Whether a program's value is the JSON value ``expected``: Python's ``==``, with tuples as lists (JSON has none) and
    the keys of objects as text. With a ``tolerance`` numbers may differ by it, relative to the larger where that is above 1.
    """
    if isinstance(value, tuple | list) and isinstance(expected, list):
        return len(value) == len(expected) and all(
            same(one, other, tolerance) for one, other in zip(value, expected, strict=True)
        )
    if isinstance(value, dict) and isinstance(expected, dict):
        texts = {key if isinstance(key, str) else json.dumps(key, default=repr): item for key, item in value.items()}
        return texts.keys() == expected.keys() and all(same(texts[k], expected[k], tolerance) for k in expected)
    if tolerance and _is_number(value) and _is_number(expected):
        return value == expected or math.isclose(value, expected, rel_tol=tolerance, abs_tol=tolerance)
    return bool(value == expected)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
